"""The coupled oscillatory recurrent network."""

from __future__ import annotations

from .cell import Cell
from .functions import tanh


class CoRNN(Cell):
    """Coupled oscillatory network (coRNN; Rusch & Mishra, ICLR 2021, equation 3).

    Units are damped oscillators: y is where they are, z how fast they move, and the network's
    input drives them. dt, gamma (frequency) and epsilon (damping) are numbers of the task, or one
    for each unit; the defaults are the authors' for sequential MNIST. Damping is explicit: it sees
    z before the step.
    """

    def step(W, U, x, y, z, *, dt=0.042, gamma=2.7, epsilon=4.7):
        drive = tanh(W.a(x) + U.y(y) + U.z(z))
        z = z + dt * (drive - gamma * y - epsilon * z)
        y = y + dt * z
        return y, z
