"""The second of three mutated gated recurrent units."""

from __future__ import annotations

from .cell import Cell
from .functions import sigmoid, tanh


class MUT2(Cell):
    """MUT2, found by evolution from a GRU (Jozefowicz, Zaremba & Sutskever, ICML 2015, section 4).

    x itself stands in the reset gate, for which the input must have as many features as there are
    units.
    """

    gates_of_memory = {"z": -1}
    candidate = "n"

    def step(W, U, x, h):
        z = sigmoid(W.z(x) + U.z(h))
        r = sigmoid(x + U.r(h))
        n = tanh(U.n(r * h) + W.n(x))
        return z * n + (1 - z) * h
