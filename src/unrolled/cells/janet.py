"""The long short-term memory with a forget gate alone."""

from __future__ import annotations

from .cell import Cell
from .functions import sigmoid, tanh


class JANET(Cell):
    """Just another network (van der Westhuizen & Lasenby, 2018, arXiv:1804.04849, section 3).

    An LSTM with a forget gate alone; beta makes it take in a little more than it forgets. The paper
    sets the gate's bias for long memories (chrono initialisation).
    """

    gates_of_memory = {"f": 1}
    candidate = "n"

    def step(W, U, x, h, *, beta=1.0):
        a = W.f(x) + U.f(h)
        n = tanh(W.n(x) + U.n(h))
        return sigmoid(a) * h + (1 - sigmoid(a - beta)) * n
