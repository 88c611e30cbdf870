"""The gated unit with a single gate."""

from __future__ import annotations

from .cell import Cell
from .functions import sigmoid, tanh


class MGU(Cell):
    """Minimal gated unit (Zhou, Wu, Zhang & Zhou, 2016, arXiv:1603.09420, section 3).

    One gate f is both: how much of the past the candidate n sees, and how much of n is taken. Its
    opening *lets go* of the past.
    """

    gates_of_memory = {"f": -1}
    candidate = "n"

    def step(W, U, x, h):
        f = sigmoid(W.f(x) + U.f(h))
        n = tanh(W.n(x) + U.n(f * h))
        return (1 - f) * h + f * n
