"""Operations of our operators, for `torch.utils.flop_counter.FlopCounterMode`."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import register_flop_formula

from .request import Recurrence, RecurrenceBackward
from .weights import program_named, split

_Shape = tuple[int, ...]


class _Sized:
    """A weight of which torch's counter gives the shape."""

    def __init__(self, shape: _Shape) -> None:
        self.shape = shape


def _of_products(x: _Shape, weights: list[_Shape], program: str, directions: int) -> list[int]:
    """Of one product with W of every direction, and of all others.

    As torch counts its own layers: two for each weight of a matrix and each step of each row, and
    nothing that is elementwise.
    """
    sized: Any = [_Sized(shape) for shape in weights]
    found = split(program_named(program), sized, directions)
    steps = 2 * x[0] * x[1]
    of_input, of_rest = 0, 0
    for own in found:
        of_input += steps * own.input.shape[0] * own.input.shape[1]
        for matrix in (own.recurrent, own.projection):
            if matrix is not None:
                of_rest += steps * matrix.shape[0] * matrix.shape[1]
    return [of_input, of_rest]


def _forward(*arguments: Any, **more: Any) -> int:
    call: Any = Recurrence(*arguments)  # shapes stand in the place of tensors
    return sum(_of_products(call.x, call.weights, call.program, call.directions))


def _backward(*arguments: Any, **more: Any) -> int:
    """Every product once for its weight and once for what it multiplies; checkpoints run again."""
    call: Any = RecurrenceBackward(*arguments)
    directions = call.initial[0][0]
    of_input, of_rest = _of_products(call.x, call.weights, call.program, directions)
    again = of_input + of_rest if call.checkpoint else 0
    return of_input * (1 + int(call.need_x)) + of_rest * 2 + again


register_flop_formula(torch.ops.unrolled.recurrence)(_forward)
register_flop_formula(torch.ops.unrolled.recurrence_backward)(_backward)
