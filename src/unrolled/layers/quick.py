"""Short calls without a gradient: the layer as a stream that begins anew with every call.

In a call of a step or two, most of the time goes to looking at everything again, and to packing
weights that have not changed. Here the layer is looked at once, until one of its attributes is set;
the packed weights are kept, with a copy of what they were packed from, which every call compares
with the parameters as they are. So nobody has to say that he has changed them, be it through
``.data``, an optimizer, a tied parameter or another thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from ..compiler.program import Program
from ..engine import _cpu
from ..engine.choice import is_usual
from ..engine.cpu import ensure, fastest
from ..engine.cpu.kept import MOST_ROWS, MOST_STEPS, is_worth_keeping
from ..engine.request import NOTHING
from .description import Description, prepare

_MOST_KEPT = 4
"""Threads that call a layer at the same time and find it kept."""


class Quick:
    """A layer as it is at the moment, ready for short calls.

    Args:
        description: The layer.
        training: Whether it is in training mode.
        dropout: Probability of dropout between its layers, in training.
        watched: Whether someone looks at every step.
        weight: One of its parameters.
    """

    __slots__ = (
        "_bare_states",
        "_batch_first",
        "_kept",
        "_new",
        "_output_size",
        "_ready",
        "_states",
    )

    def __init__(
        self,
        description: Description,
        training: bool,
        dropout: float,
        watched: bool,
        weight: Any,
    ) -> None:
        prepared = prepare(description, training, NOTHING)
        program, cell = prepared.program, description.cell
        drawn = training and (prepared.rates or (dropout and description.num_layers > 1))
        count = sum(prod(shape) for _, shapes in prepared.shapes for _, shape in shapes)
        self._ready = False
        self._kept: list[list[_cpu.Kept]] = [[] for _ in range(MOST_ROWS + 1)]  # by rows
        self._batch_first = description.batch_first
        if (
            type(weight) is not Parameter
            or weight.dtype != torch.float32
            or weight.device.type != "cpu"
            or watched
            or drawn
            or prepared.reweighing
            or description.bidirectional
            or description.options.learn_initial
            or program.vectors
            or cell.antisymmetric
            or not is_worth_keeping(1, count)
            or ensure(program, fastest(bfloat16=False)) is not None
        ):
            return
        names = [
            _named(program, [start + suffix for start in prepared.names])
            for suffix, _ in prepared.shapes
        ]
        masks = [mask.mean(rate) for mask, rate in zip(program.masks, prepared.rates, strict=True)]
        sizes = description.state_sizes(program)
        count = description.num_layers
        # Tensors like these are made in half the time that shapes take.
        self._states = [
            [_like(count, rows, size) for size in sizes] for rows in range(MOST_ROWS + 1)
        ]
        self._bare_states = [_like(count, size) for size in sizes]
        self._output_size = (description.output_size,)
        self._new = partial(
            _cpu.Kept,
            fastest(bfloat16=False),
            program.name,
            input_size=description.input_size,
            hidden=description.hidden_size,
            projected=description.output_size,
            heads=description.heads,
            names=names,
            masks=masks,
            kind=Parameter,
        )
        self._ready = True

    def run(self, x: Any, hx: Any, parameters: dict[str, Parameter | None]) -> Any:
        """What the layer returns, gradients disabled; None where it is to look for itself."""
        if not self._ready or not is_usual(x):
            return None
        dimensions = x.ndim
        if dimensions == 2:
            return self._call(x, hx, parameters, 1, self._bare_states)
        if dimensions != 3:
            return None
        rows = x.shape[not self._batch_first]
        if not 0 < rows <= (1 if self._batch_first else MOST_ROWS):
            return None
        if rows > 1 and x.shape[0] > MOST_STEPS:
            return None  # several threads may share them
        return self._call(x, hx, parameters, rows, self._states[rows])

    def _call(
        self,
        x: Tensor,
        hx: Any,
        parameters: dict[str, Parameter | None],
        rows: int,
        states: Sequence[Tensor],
    ) -> Any:
        kept = self._kept[rows]
        try:
            stream = kept.pop()
        except IndexError:
            stream = self._new(rows)
        try:
            output = x.new_empty(x.shape[:-1] + self._output_size)
            last = [torch.empty_like(state) for state in states]
            stream.run(parameters, x, self._batch_first, _states(hx, len(last)), output, last)
        except (TypeError, ValueError):
            return None  # whatever it is, the layer's own checks say it better
        finally:
            if len(kept) < _MOST_KEPT:
                kept.append(stream)
        return output, last[0] if len(last) == 1 else tuple(last)


def _like(*sizes: int) -> Tensor:
    return torch.empty(sizes, dtype=torch.float32, device="cpu")


def _named(program: Program, names: list[str]) -> tuple[str | None, ...]:
    """The names of W, b, c (None where there is none) and of the matrices inside the step."""
    projection = [names.pop()] if program.projected else []
    biases: list[str | None] = [None, None]
    if len(names) > 2:
        biases = [*names[2:]]
    recurrent = [names[1]] if program.rows("U") else []
    return (names[0], *biases, *recurrent, *projection)


def _states(hx: Any, count: int) -> list[Tensor]:
    """Initial states as a list; empty for zeros.

    Raises:
        TypeError: if it is not what a layer takes for so many states, or a tensor of another class.
    """
    if hx is None:
        return []
    given = [hx] if count == 1 else hx
    if not isinstance(given, (tuple, list)) or any(type(state) is not Tensor for state in given):
        raise TypeError("no states, or of a class of their own")
    return list(given)
