"""The real-gated linear recurrent unit."""

from __future__ import annotations

from .cell import Cell
from .functions import exp, log, sigmoid, softplus, sqrt, tanh


class RGLRU(Cell):
    """Real-gated linear recurrent unit (RG-LRU of Griffin, De et al., 2024, equations 1-4).

    How much of the past stays is a, with log a = -c softplus(Λ) r: V.Lambda is Λ as the authors'
    implementation has it, which is minus the Λ of equation 3. It is drawn so that a is uniform
    between 0.9 and 0.999 where r is 1. x itself stands in the equation, for which the input must
    have as many features as there are units. 1 - a² is written (1 + a²) tanh(-log a), because
    float32 would lose it where a is nearly 1.
    """

    gates_of_memory = {"r": -1}
    initial = {"V.Lambda": lambda u: log((0.9 + 0.099 * u) ** -0.125 - 1)}

    def step(W, V, x, h, *, c=8.0):
        r = sigmoid(W.r(x))
        i = sigmoid(W.i(x))
        log_a = -c * softplus(V.Lambda) * r
        a = exp(log_a)
        return a * h + sqrt((1 + a * a) * tanh(-log_a)) * (i * x)
