"""The first of three mutated gated recurrent units."""

from __future__ import annotations

from .cell import Cell
from .functions import sigmoid, tanh


class MUT1(Cell):
    """MUT1, found by evolution from a GRU (Jozefowicz, Zaremba & Sutskever, ICML 2015, section 4).

    The update gate sees the input alone, and x itself stands in the candidate, for which the input
    must have as many features as there are units.
    """

    gates_of_memory = {"z": -1}
    candidate = "n"

    def step(W, U, x, h):
        z = sigmoid(W.z(x))
        r = sigmoid(W.r(x) + U.r(h))
        n = tanh(U.n(r * h) + tanh(x))
        return z * n + (1 - z) * h
