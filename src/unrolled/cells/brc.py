"""The bistable recurrent cell."""

from __future__ import annotations

from .cell import Cell
from .functions import sigmoid, tanh


class BRC(Cell):
    """Bistable recurrent cell (Vecoven, Ernst & Drion, PLOS ONE 16, 2021, arXiv:2006.05252).

    Each unit sees its own past alone. Where a is above 1 a unit has two stable values and can
    remember one for ever; c is how much of the past stays.
    """

    gates_of_memory = {"c": 1}
    candidate = "n"

    def step(W, V, x, h):
        a = 1 + tanh(W.a(x) + V.a * h)
        c = sigmoid(W.c(x) + V.c * h)
        n = tanh(W.n(x) + a * h)
        return c * h + (1 - c) * n
