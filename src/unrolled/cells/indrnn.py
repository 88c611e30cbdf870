"""The recurrent network of independent units."""

from __future__ import annotations

from .cell import Cell
from .functions import relu


class IndRNN(Cell):
    """Independently recurrent network (Li, Li, Cook, Zhu & Gao, CVPR 2018, equation 2).

    Each unit sees its own past alone, through the weight V.u; units meet in the next layer. The
    paper draws these weights from 0 to 1 where relu is the nonlinearity.
    """

    initial = {"V.u": lambda u: u}

    def step(W, V, x, h, *, nonlinearity=relu):
        return nonlinearity(W.h(x) + V.u * h)
