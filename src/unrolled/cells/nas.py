"""The cell found by neural architecture search."""

from __future__ import annotations

from .cell import Cell
from .functions import relu, sigmoid, tanh


class NAS(Cell):
    """The cell that neural architecture search found (Zoph & Le, ICLR 2017, arXiv:1611.01578).

    A binary tree over eight pairs of products, found for language modelling; the memory c enters in
    the middle. The paper gives it as a picture.
    """

    def step(W, U, x, h, c):
        a = tanh(sigmoid(W.a(x) + U.a(h)) * relu(W.b(x) + U.b(h)))
        b = tanh(sigmoid(W.c(x) + U.c(h)) + relu(W.d(x) * U.d(h)))
        d = tanh(tanh(W.e(x) + U.e(h)) * sigmoid(W.f(x) + U.f(h)))
        e = sigmoid(tanh(W.g(x) + U.g(h)) + sigmoid(W.h(x) + U.h(h)))
        c = tanh(a + c) * b
        return tanh(c * tanh(d + e)), c
