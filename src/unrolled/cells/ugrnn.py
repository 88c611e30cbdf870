"""The recurrent network with an update gate."""

from __future__ import annotations

from .cell import Cell
from .functions import sigmoid, tanh


class UGRNN(Cell):
    """Update gate RNN (Collins, Sohl-Dickstein & Sussillo, ICLR 2017, arXiv:1611.09913).

    A vanilla network and one gate, g, how much of the past stays.
    """

    gates_of_memory = {"g": 1}
    candidate = "n"

    def step(W, U, x, h):
        g = sigmoid(W.g(x) + U.g(h))
        n = tanh(W.n(x) + U.n(h))
        return g * h + (1 - g) * n
