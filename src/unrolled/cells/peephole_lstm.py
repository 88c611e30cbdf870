"""The long short-term memory whose gates see the memory."""

from __future__ import annotations

from .cell import Cell
from .functions import sigmoid, tanh


class PeepholeLSTM(Cell):
    """Peephole LSTM (Gers & Schmidhuber, 2000; Gers, Schraudolph & Schmidhuber, JMLR 3, 2002).

    As `LSTM`, and each gate sees the memory: i and f the one before the step, o the one after it.
    V.i, V.f and V.o are the peepholes, one weight for each unit. The output is o ∘ tanh(c), as in
    "LSTM: A Search Space Odyssey" (Greff et al., 2015, section II); Gers et al. take o ∘ c.
    """

    gates_of_memory = {"f": 1, "i": -1}
    candidate = "g"

    def step(W, U, V, x, h, c):
        i = sigmoid(W.i(x) + U.i(h) + V.i * c)
        f = sigmoid(W.f(x) + U.f(h) + V.f * c)
        g = tanh(W.g(x) + U.g(h))
        c = f * c + i * g
        o = sigmoid(W.o(x) + U.o(h) + V.o * c)
        return o * tanh(c), c
