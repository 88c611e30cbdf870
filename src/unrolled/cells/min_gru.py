"""The gated recurrent unit without its recurrent products."""

from __future__ import annotations

from .cell import Cell
from .functions import sigmoid


class MinGRU(Cell):
    """minGRU (Feng, Tung, Ahmed, Bengio & Hajimirsadeghi, 2024, arXiv:2410.01201, section 3.1).

    z opens to the present: it is 1 - z of `GRU`. The candidate is linear in the input; the paper's
    appendix, which computes logarithms, bounds it from below to have one.
    """

    gates_of_memory = {"z": -1}

    def step(W, x, h):
        z = sigmoid(W.z(x))
        n = W.n(x)
        return (1 - z) * h + z * n
