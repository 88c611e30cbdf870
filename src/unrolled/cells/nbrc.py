"""The recurrently neuromodulated bistable cell."""

from __future__ import annotations

from .cell import Cell
from .functions import sigmoid, tanh


class NBRC(Cell):
    """Neuromodulated bistable cell (nBRC; Vecoven, Ernst & Drion, PLOS ONE 16, 2021).

    As `BRC`, but the gates see all units.
    """

    gates_of_memory = {"c": 1}
    candidate = "n"

    def step(W, U, x, h):
        a = 1 + tanh(W.a(x) + U.a(h))
        c = sigmoid(W.c(x) + U.c(h))
        n = tanh(W.n(x) + a * h)
        return c * h + (1 - c) * n
