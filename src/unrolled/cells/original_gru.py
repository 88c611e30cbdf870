"""The gated recurrent unit as first published."""

from __future__ import annotations

from .cell import Cell
from .functions import sigmoid, tanh


class OriginalGRU(Cell):
    """Gated recurrent unit (Cho et al., 2014, equations 5-8); reset acts before the product.

    It differs from `GRU` in one place: the candidate sees U_n (r ∘ h), not r ∘ (U_n h).
    """

    gates_of_memory = {"z": 1}
    candidate = "n"

    def step(W, U, x, h):
        r = sigmoid(W.r(x) + U.r(h))
        z = sigmoid(W.z(x) + U.z(h))
        n = tanh(W.n(x) + U.n(r * h))
        return (1 - z) * n + z * h
