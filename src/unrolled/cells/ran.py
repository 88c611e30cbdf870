"""The recurrent additive network."""

from __future__ import annotations

from .cell import Cell
from .functions import sigmoid, tanh


class RAN(Cell):
    """Recurrent additive network (Lee, Levy & Zettlemoyer, 2017, arXiv:1705.07393, equations 1-5).

    The memory is a weighted sum of the inputs and nothing else: the candidate is linear in x. The
    paper has tanh or the identity for the output.
    """

    gates_of_memory = {"f": 1, "i": -1}

    def step(W, U, x, h, c, *, nonlinearity=tanh):
        i = sigmoid(W.i(x) + U.i(h))
        f = sigmoid(W.f(x) + U.f(h))
        c = i * W.n(x) + f * c
        return nonlinearity(c), c
