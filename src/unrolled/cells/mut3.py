"""The third of three mutated gated recurrent units."""

from __future__ import annotations

from .cell import Cell
from .functions import sigmoid, tanh


class MUT3(Cell):
    """MUT3, found by evolution from a GRU (Jozefowicz, Zaremba & Sutskever, ICML 2015, section 4).

    As `OriginalGRU` with its update gate turned round, and tanh(h) for h in that gate.
    """

    gates_of_memory = {"z": -1}
    candidate = "n"

    def step(W, U, x, h):
        z = sigmoid(W.z(x) + U.z(tanh(h)))
        r = sigmoid(W.r(x) + U.r(h))
        n = tanh(U.n(r * h) + W.n(x))
        return z * n + (1 - z) * h
