"""The leaky integrator network."""

from __future__ import annotations

from .cell import Cell
from .functions import tanh


class LeakyRNN(Cell):
    """Network of leaky integrators (Jaeger, Lukoševičius, Popovici & Siewert, 2007).

    The state moves a part alpha of the way to what `RNN` would compute; 1 / alpha is its time scale
    in steps. The unit of echo state networks, and of rate models of the brain: alpha may be a
    number for each unit, and the nonlinearity any.
    """

    def step(W, U, x, h, *, alpha=0.1, nonlinearity=tanh):
        return (1 - alpha) * h + alpha * nonlinearity(W.h(x) + U.h(h))
