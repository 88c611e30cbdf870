"""The long expressive memory."""

from __future__ import annotations

from .cell import Cell
from .functions import sigmoid, tanh


class LEM(Cell):
    """Long expressive memory (Rusch, Mishra, Erichson & Mahoney, ICLR 2022, equation 3).

    Two states with time steps of their own, a for z and b for y, which the input and y set, up to
    dt. y, the output, sees z after the step.
    """

    gates_of_memory = {"a": -1, "b": -1}

    def step(W, U, x, y, z, *, dt=1.0):
        a = dt * sigmoid(W.a(x) + U.a(y))
        b = dt * sigmoid(W.b(x) + U.b(y))
        z = (1 - a) * z + a * tanh(W.z(x) + U.z(y))
        y = (1 - b) * y + b * tanh(W.y(x) + U.y(z))
        return y, z
