"""The vanilla recurrent network."""

from __future__ import annotations

from .cell import Cell
from .functions import tanh


class RNN(Cell):
    """Simple recurrent network (Elman, 1990), with a nonlinearity of choice."""

    def step(W, U, x, h, *, nonlinearity=tanh):
        return nonlinearity(W.h(x) + U.h(h))
