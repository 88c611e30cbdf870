"""Chrono initialisation: a cell that remembers for given times at first."""

from __future__ import annotations

from typing import Annotated, Any

from ..ranges import Range
from .forget_bias import BiasOfMemory
from .option import Beginning, Subject


class Chrono(BiasOfMemory):
    """Longest time, in steps, over which a cell remembers at the beginning.

    For the longest time T_max: b = log u, u uniform on [1, T_max - 1], in gates that keep, and
    -log u in gates that let in (Tallec & Ollivier, 2018).
    """

    flag = Annotated[float | None, Range(2, 10**9, open_below=True)]
    rival = ("forget_bias", "bias")
    symbol = "T_max"
    equation = (
        "at first b = log u in gates that keep, −log u in gates that let in; u from 1 to T_max − 1"
    )
    source = "Tallec & Ollivier 2018"

    def check(self, value: Any, layer: Subject) -> None:
        """Refuse what is no number above 2, and a layer without biases."""
        super().check(value, layer)
        if value <= 2:
            raise ValueError(
                f"{layer.label}: {self.name} must be more than 2 steps, since log(T_max - 1) is "
                f"the largest bias, got {value}"
            )

    def begin(self, value: Any, weights: Beginning) -> None:
        """The biases of all gates of memory, of the same times."""
        times = weights.uniform() * (value - 2) + 1
        for gate, sign in weights.cell.gates_of_memory.items():
            weights.set_bias(gate, sign * times.log())
