"""The long short-term memory without its recurrent products."""

from __future__ import annotations

from .cell import Cell
from .functions import sigmoid


class MinLSTM(Cell):
    """minLSTM (Feng, Tung, Ahmed, Bengio & Hajimirsadeghi, 2024, arXiv:2410.01201, section 3.2).

    f and i are scaled to have the sum 1, so that the state's scale does not depend on time.
    """

    gates_of_memory = {"f": 1, "i": -1}

    def step(W, x, h):
        f = sigmoid(W.f(x))
        i = sigmoid(W.i(x))
        n = W.n(x)
        return (f * h + i * n) / (f + i)
