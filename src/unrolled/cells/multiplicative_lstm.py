"""The long short-term memory whose transition depends on the input."""

from __future__ import annotations

from .cell import Cell
from .functions import sigmoid, tanh


class MultiplicativeLSTM(Cell):
    """Multiplicative LSTM (mLSTM; Krause, Lu, Murray & Renals, 2016, arXiv:1609.07959).

    The gates see m instead of h: a product of the input's part and the state's, so that each input
    has a transition of its own.
    """

    gates_of_memory = {"f": 1, "i": -1}
    candidate = "g"

    def step(W, U, x, h, c):
        m = W.m(x) * U.m(h)
        i = sigmoid(W.i(x) + U.i(m))
        f = sigmoid(W.f(x) + U.f(m))
        g = tanh(W.g(x) + U.g(m))
        o = sigmoid(W.o(x) + U.o(m))
        c = f * c + i * g
        return o * tanh(c), c
