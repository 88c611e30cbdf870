"""The addition-subtraction twin-gated unit."""

from __future__ import annotations

from .cell import Cell
from .functions import sigmoid


class ATR(Cell):
    """Addition-subtraction twin-gated unit (Zhang, Xiong, Su, Lin & Zhang, EMNLP 2018).

    Both gates are made of the same two products, p of the input and q of the state, by a sum and a
    difference; h is a weighted sum of past inputs.
    """

    def step(W, U, x, h):
        p = W.p(x)
        q = U.p(h)
        i = sigmoid(p + q)
        f = sigmoid(p - q)
        return i * p + f * h
