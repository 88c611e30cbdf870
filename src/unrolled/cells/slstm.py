"""The long short-term memory with exponential gates."""

from __future__ import annotations

from .cell import Cell
from .functions import exp, maximum, sigmoid, softplus, tanh


class SLSTM(Cell):
    """sLSTM of xLSTM (Beck et al., NeurIPS 2024, arXiv:2405.04517, equations 8-17).

    The input gate is an exponential, so that a later step can overrule earlier ones; n, the sum of
    what the gates let in, normalises the memory c, and m, the largest exponent, keeps all within
    the range of numbers without changing h. The forget gate is σ, of the paper's two choices.
    """

    gates_of_memory = {"f": 1, "i": -1}
    candidate = "z"

    def step(W, U, x, h, c, n, m):
        z = tanh(W.z(x) + U.z(h))
        o = sigmoid(W.o(x) + U.o(h))
        log_i = W.i(x) + U.i(h)
        log_f = -softplus(-W.f(x) - U.f(h)) + m
        m = maximum(log_f, log_i)
        i = exp(log_i - m)
        f = exp(log_f - m)
        c = f * c + i * z
        n = f * n + i
        return o * c / n, c, n, m
