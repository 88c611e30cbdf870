"""Calls with a gradient and nothing else to them: one layer, a whole batch, float32.

In a call of a step or two, most of the time goes to looking at everything again. Here the layer is
looked at once, until one of its attributes is set, and a call looks at its tensors alone. Whatever
is out of the ordinary takes the layer's long way, which says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor as is_wrapped
from torch.nn import Parameter

from ..engine.choice import is_usual
from ..engine.cpu import ensure, fastest
from ..engine.cpu.kept import MOST_ROWS
from ..engine.operator import apply_directly
from ..engine.request import NOTHING, Recurrence
from .description import Description, prepare


class TrainingCall:
    """A layer as it is at the moment, ready for calls with a gradient.

    Args:
        description: The layer.
        training: Whether it is in training mode.
        watched: Whether someone looks at every step.
    """

    __slots__ = (
        "_batch_first",
        "_features",
        "_parameters",
        "_program",
        "_settings",
        "_states",
        "_zeros",
    )

    def __init__(self, description: Description, training: bool, watched: bool) -> None:
        prepared = prepare(description, training, NOTHING)
        program, cell, options = prepared.program, description.cell, description.options
        self._program = None
        if (
            watched
            or description.num_layers > 1
            or prepared.rates
            or (training and options.weight_drop)
            or options.learn_initial
            or program.vectors
            or cell.antisymmetric
        ):
            return
        self._program = program
        self._batch_first = description.batch_first
        self._features = description.input_size
        self._parameters = [
            (start + suffix, dict(shapes)[start])
            for suffix, shapes in prepared.shapes
            for start in prepared.names
        ]
        directions = 1 + description.bidirectional
        self._states = [(directions, size) for size in description.state_sizes(program)]
        isa = fastest(bfloat16=False)
        self._zeros: dict[int, list[Tensor]] = {}
        self._settings = program.name, isa, directions, description.batch_first, True, 0

    def run(self, x: Tensor, hx: Any, parameters: dict[str, Parameter | None]) -> Any:
        """What the layer returns, gradients enabled; None where it is to look for itself."""
        program = self._program
        if program is None or not is_usual(x) or not _is_ordinary(x) or is_wrapped(x):
            return None
        shape = x.shape
        if len(shape) != 3 or shape[2] != self._features:
            return None
        trains = x.requires_grad
        weights: list[Tensor] = []
        for name, expected in self._parameters:
            weight = parameters.get(name)
            if (
                type(weight) is not Parameter
                or weight.shape != expected
                or not _is_ordinary(weight)
            ):
                return None
            trains = trains or weight.requires_grad
            weights.append(weight)
        rows = shape[not self._batch_first]
        initial = self._zeros_of(x, rows) if hx is None else self._given(hx, rows)
        if initial is None or not (trains or True in [s.requires_grad for s in initial]):
            return None
        if ensure(program, self._settings[1]) is not None:
            return None
        call = Recurrence(x, initial, weights, None, None, *self._settings, None, [])
        output, *last = apply_directly(x, call, *initial, *weights)
        return output, last[0] if len(last) == 1 else tuple(last)

    def _zeros_of(self, x: Tensor, rows: int) -> list[Tensor]:
        """Initial states of zeros; those of one size are one tensor, and few rows are kept."""
        kept = self._zeros.get(rows)
        if kept is not None:
            return kept
        made = {size: x.new_zeros(count, rows, size) for count, size in self._states}
        found = [made[size] for _, size in self._states]
        if rows <= MOST_ROWS:
            self._zeros[rows] = found
        return found

    def _given(self, hx: Any, rows: int) -> list[Tensor] | None:
        """Initial states as a list; None if they are not what a layer takes."""
        states: Sequence[Any] = [hx] if len(self._states) == 1 else hx
        if not isinstance(states, (tuple, list)) or len(states) != len(self._states):
            return None
        for state, (count, size) in zip(states, self._states, strict=True):
            if type(state) is not Tensor or state.shape != (count, rows, size):
                return None
            if not _is_ordinary(state) or is_wrapped(state):
                return None
        return list(states)


def _is_ordinary(tensor: Tensor) -> bool:
    """Whether a tensor is one of float32 numbers in the memory of this machine."""
    return (
        tensor.dtype is torch.float32
        and tensor.is_cpu
        and tensor.layout is torch.strided
        and not tensor.is_nested
    )
