"""The gated recurrent unit."""

from __future__ import annotations

from .cell import Cell
from .functions import sigmoid, tanh


class GRU(Cell):
    """Gated recurrent unit (Cho et al., 2014); the reset gate acts after the recurrent product.

    r is the reset gate, z the update gate (how much of the past stays), n the candidate.
    """

    gates_of_memory = {"z": 1}
    candidate = "n"

    def step(W, U, x, h):
        r = sigmoid(W.r(x) + U.r(h))
        z = sigmoid(W.z(x) + U.z(h))
        n = tanh(W.n(x) + r * U.n(h))
        return (1 - z) * n + z * h
