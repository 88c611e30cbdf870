"""The long short-term memory that forgets as much as it takes in."""

from __future__ import annotations

from .cell import Cell
from .functions import sigmoid, tanh


class CoupledLSTM(Cell):
    """LSTM with coupled input and forget gates (CIFG; Greff et al., IEEE TNNLS 28, 2017).

    f = 1 - i: one gate and a quarter of the weights fewer. Greff et al. vary an LSTM with
    peepholes; here there are none, as in `LSTM`.
    """

    gates_of_memory = {"i": -1}
    candidate = "g"

    def step(W, U, x, h, c):
        i = sigmoid(W.i(x) + U.i(h))
        g = tanh(W.g(x) + U.g(h))
        o = sigmoid(W.o(x) + U.o(h))
        c = (1 - i) * c + i * g
        return o * tanh(c), c
