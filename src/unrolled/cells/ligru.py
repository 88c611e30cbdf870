"""The light gated recurrent unit."""

from __future__ import annotations

from .cell import Cell
from .functions import relu, sigmoid


class LiGRU(Cell):
    """Light GRU (Ravanelli, Brakel, Omologo & Bengio, 2018, arXiv:1803.10225).

    No reset gate, and relu for tanh. In the paper W x of both gates is normalised over the batch,
    which keeps relu from growing: not part of a step, so put it, or another bound, on the input.
    """

    gates_of_memory = {"z": 1}
    candidate = "n"

    def step(W, U, x, h):
        z = sigmoid(W.z(x) + U.z(h))
        n = relu(W.n(x) + U.n(h))
        return z * h + (1 - z) * n
