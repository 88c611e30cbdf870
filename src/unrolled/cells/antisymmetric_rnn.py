"""The antisymmetric recurrent network, gated."""

from __future__ import annotations

from .cell import Cell
from .functions import sigmoid, tanh


class AntisymmetricRNN(Cell):
    """AntisymmetricRNN with gating (Chang, Chen, Haber & Chi, 2019, arXiv:1902.09689).

    One step, of size epsilon, along a differential equation whose Jacobian has imaginary
    eigenvalues only, but for the diffusion gamma that keeps the numerical solution stable: nothing
    vanishes and nothing explodes. For that U is antisymmetric, U = A - Aᵀ, which is what a layer
    makes of its weights A. Gate and candidate share the recurrent product.
    """

    antisymmetric = ("h",)
    candidate = "n"

    def step(W, U, x, h, *, epsilon=0.01, gamma=0.01):
        flow = U.h(h) - gamma * h
        z = sigmoid(W.z(x) + flow)
        n = tanh(W.n(x) + flow)
        return h + epsilon * z * n
