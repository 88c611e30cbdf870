"""The quasi-recurrent network."""

from __future__ import annotations

from .cell import Cell
from .functions import sigmoid, tanh


class QRNN(Cell):
    """Quasi-recurrent network (Bradbury, Merity, Xiong & Socher, ICLR 2017, equations 1 and 4).

    fo-pooling: the gates see the input alone, so that the recurrence has no products. The paper's
    convolution over time has a window of one step here; for a longer one, give the layer as input
    several steps side by side.
    """

    gates_of_memory = {"f": 1}
    candidate = "z"

    def step(W, x, h, c):
        z = tanh(W.z(x))
        f = sigmoid(W.f(x))
        o = sigmoid(W.o(x))
        c = f * c + (1 - f) * z
        return o * c, c
