"""The long short-term memory."""

from __future__ import annotations

from .cell import Cell
from .functions import sigmoid, tanh


class LSTM(Cell):
    """Long short-term memory (Hochreiter & Schmidhuber, 1997) with forget gate (Gers et al., 2000).

    i, f and o are the input, forget and output gates, g the candidate, c the memory.
    """

    gates_of_memory = {"f": 1, "i": -1}
    candidate = "g"

    def step(W, U, x, h, c):
        i = sigmoid(W.i(x) + U.i(h))
        f = sigmoid(W.f(x) + U.f(h))
        g = tanh(W.g(x) + U.g(h))
        o = sigmoid(W.o(x) + U.o(h))
        c = f * c + i * g
        return o * tanh(c), c
