"""The chaos-free network."""

from __future__ import annotations

from .cell import Cell
from .functions import sigmoid, tanh


class CFN(Cell):
    """Chaos-free network (Laurent & von Brecht, ICLR 2017, arXiv:1612.06212).

    Without input the state goes to zero whatever the weights: nothing in it oscillates by itself.
    f and i are the paper's θ and η.
    """

    gates_of_memory = {"f": 1, "i": -1}

    def step(W, U, x, h):
        f = sigmoid(W.f(x) + U.f(h))
        i = sigmoid(W.i(x) + U.i(h))
        return f * tanh(h) + i * tanh(W.n(x))
