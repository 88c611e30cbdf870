"""The simple recurrent unit."""

from __future__ import annotations

from .cell import Cell
from .functions import sigmoid


class SRU(Cell):
    """Simple recurrent unit (Lei, Zhang, Wang, Dai & Artzi, EMNLP 2018, equations 1-4).

    All matrices multiply the input; the gates f (forget) and r (reset) see the memory through the
    weights V.f and V.r, one for each unit. The output is a highway past the memory: x itself, for
    which the input must have as many features as there are units. ``SRU(projected_skip=True)``
    takes W.x(x) in its place, as the paper's implementation does where they differ.
    """

    gates_of_memory = {"f": 1}

    def step(W, V, x, h, c, *, projected_skip=False):
        f = sigmoid(W.f(x) + V.f * c)
        r = sigmoid(W.r(x) + V.r * c)
        c = f * c + (1 - f) * W.c(x)
        skip = W.x(x) if projected_skip else x
        return r * c + (1 - r) * skip, c
