"""The stackable recurrent cell."""

from __future__ import annotations

from .cell import Cell
from .functions import sigmoid, tanh


class STAR(Cell):
    """Stackable recurrent cell (Turkoglu, D'Aronco, Wegner & Schindler, 2019, arXiv:1911.11033).

    One gate k and one recurrent product, made for many layers: gradients keep their size from layer
    to layer as well as from step to step. The candidate n sees the input alone.
    """

    gates_of_memory = {"k": -1}
    candidate = "n"

    def step(W, U, x, h):
        k = sigmoid(W.k(x) + U.k(h))
        n = tanh(W.n(x))
        return tanh((1 - k) * h + k * n)
