"""The minimal recurrent network."""

from __future__ import annotations

from .cell import Cell
from .functions import sigmoid, tanh


class MinimalRNN(Cell):
    """MinimalRNN (Chen, Pennington & Schoenholz, 2017, arXiv:1711.06788, ICML 2018).

    The state is a weighted mean of z, what the network makes of each input, and of nothing else; u
    is how much of the past stays. The paper's map Φ from x to z is one layer with tanh here.
    """

    candidate = "z"

    def step(W, U, x, h):
        z = tanh(W.z(x))
        u = sigmoid(U.h(h) + U.z(z))
        return u * h + (1 - u) * z
