"""The fast gated recurrent network."""

from __future__ import annotations

from .cell import Cell
from .functions import sigmoid, tanh


class FastGRNN(Cell):
    """FastGRNN (Kusupati et al., NeurIPS 2018, section 3.2).

    Gate and candidate share one W and one U and differ in their biases, V.z and V.n; zeta and nu
    weigh the candidate through σ. Initial values are those of the authors' implementation. The
    biases of W and U add to both; ``bias=False`` leaves the paper's own two.
    """

    candidate = "n"
    initial = {"V.z": 1.0, "V.n": 1.0, "s.zeta": 1.0, "s.nu": -4.0}

    def step(W, U, V, s, x, h):
        a = W.a(x) + U.a(h)
        z = sigmoid(a + V.z)
        n = tanh(a + V.n)
        return (sigmoid(s.zeta) * (1 - z) + sigmoid(s.nu)) * n + z * h
