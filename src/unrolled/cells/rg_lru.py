"""The real-gated linear recurrent unit."""

from __future__ import annotations

from .cell import Cell
from .functions import exp, expm1, log, sigmoid, softplus, sqrt


class RGLRU(Cell):
    """Real-gated linear recurrent unit (RG-LRU of Griffin, De et al., 2024, equations 1-4).

    How much of the past stays is a, with log a = -c softplus(Λ) r: V.Lambda is Λ as the authors'
    implementation has it, which is minus the Λ of equation 3. It is drawn so that a is uniform
    between 0.9 and 0.999 where r is 1. x itself stands in the equation, for which the input must
    have as many features as there are units. 1 - a² is taken from the logarithm, because float32
    would lose it where a is nearly 1.
    """

    gates_of_memory = {"r": -1}
    initial = {"V.Lambda": lambda u: log(expm1(-log(0.9 + 0.099 * u) / 8))}

    def step(W, V, x, h, *, c=8.0):
        r = sigmoid(W.r(x))
        i = sigmoid(W.i(x))
        log_a = -c * softplus(V.Lambda) * r
        return exp(log_a) * h + sqrt(-expm1(2 * log_a)) * (i * x)
