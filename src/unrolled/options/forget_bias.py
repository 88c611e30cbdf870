"""A bias with which a cell remembers at first."""

from __future__ import annotations

from typing import Annotated, Any

from ..ranges import Range
from .option import MEMORY, Beginning, Option, Subject, check_number


class BiasOfMemory(Option):
    """Base of options that set biases of the cell's gates of memory."""

    off_shown = "random"
    need = MEMORY
    at_first = True
    evaluation = ""

    def check(self, value: Any, layer: Subject) -> None:
        """Refuse what is no number, and a layer without biases."""
        check_number(self, value, layer)
        if not layer.bias:
            raise ValueError(
                f"{layer.label}: {self.name} sets a bias, so bias must be True, got False"
            )


class ForgetBias(BiasOfMemory):
    """Bias of the forget gate at the beginning: the larger, the longer a cell remembers.

    The gate is the first of the cell's gates of memory. Its b is this number, times -1 where
    opening the gate forgets, and its c is 0 (Gers, Schmidhuber & Cummins, 2000; Jozefowicz, Zaremba
    & Sutskever, 2015).
    """

    flag = Annotated[float | None, Range(-100, 100)]
    symbol = "b"
    equation = "at first b_f = b, c_f = 0"
    source = "Gers, Schmidhuber & Cummins 2000"

    def begin(self, value: Any, weights: Beginning) -> None:
        """The bias of the first gate of memory."""
        gate, sign = next(iter(weights.cell.gates_of_memory.items()))
        weights.set_bias(gate, sign * value)
