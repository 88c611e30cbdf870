"""Checkpoints: memory for time.

Forward keeps the states at the beginning of every segment of k steps and no tape. Backward takes
the segments from the last to the first: it runs one forward again, with a tape, and then backward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .. import _cpu
from ..request import Recurrence, RecurrenceBackward
from ..weights import hidden_size, program_named
from . import layout
from .layout import exact, fresh, like, side_by_side, tape_width, time_major, zeros
from .parallel import threads

_TAPE = 2**22
"""A segment's tape, in floats (16 MiB), where nobody asks for another: it stays in the cache."""


def automatic(width: int, steps: int, rows: int) -> int:
    """Steps of a segment; 0 where the whole tape, ``width`` floats a step, is no longer than one.

    Segments get longer with the sequence, so that the states kept do not outgrow the tape. Their
    length is at least the root of the sequence's, rounded down to a power of two: torch.compile,
    to which the number of steps is a symbol, compiles anew for each.
    """
    root = 1
    while 4 * root * root <= steps:
        root *= 2
    every = max(_TAPE // max(1, rows * width), root)
    return every if every < steps else 0


def segment_count(steps: int, every: int) -> int:
    """Segments of a sequence; one even if there is no step."""
    return max((steps + every - 1) // every, 1)


class _Direction(NamedTuple):
    """One direction of a layer, or a segment of it: what `_cpu.forward_part` begins with.

    Attributes:
        x: ``[T, N, input_size]``.
        initial: for each state ``[1, N, ·]``, before the first step.
        weights: the direction's, as the operator has them.
        lengths: ``[N]``, or None.
        reset: ``[T, N]``, or None.
        program: the program's name.
        isa: instruction set.
        seed: of the noise, or None.
        rates: for each of the program's masks its probability.
        descending: whether it goes from the last step to the first.
        first_step: what time x begins at, for the noise.
        anew: for each state ``[1, N, ·]``, after a reset.
    """

    x: Tensor
    initial: list[Tensor]
    weights: list[Tensor]
    lengths: Tensor | None
    reset: Tensor | None
    program: str
    isa: str
    seed: Tensor | None
    rates: list[float]
    descending: bool
    first_step: int
    anew: list[Tensor]


def _directions(call: Recurrence | RecurrenceBackward, count: int) -> list[_Direction]:
    """The directions of a call, which share what is converted."""
    x = side_by_side(time_major(call.x, call.batch_first))
    weights = [w.to(x.dtype) if w.ndim == 2 else w.to(torch.float32) for w in call.weights]
    each = len(weights) // count
    found = []
    for d in range(count):
        initial = [exact(state)[d : d + 1] for state in call.initial]
        found.append(
            _Direction(
                x,
                initial,
                weights[d * each : (d + 1) * each],
                None if call.lengths is None else call.lengths.to(torch.int64),
                call.reset,
                call.program,
                call.isa,
                call.seed,
                call.rates,
                d == 1,
                0,
                initial,
            )
        )
    return found


@dataclass(frozen=True)
class _Segment:
    """Steps ``times`` of a sequence, as a sequence of its own.

    Attributes:
        times: which steps.
        lengths: of the rows, in this segment; or None.
        reset: the mask's part; or None.
        anew: rows ``[N, 1]`` that enter it from the initial states, not from the segment gone
            before; or None.
    """

    times: slice
    lengths: Tensor | None
    reset: Tensor | None
    anew: Tensor | None


def _segments(every: int, direction: _Direction) -> list[_Segment]:
    """All segments in the order of going."""
    lengths, reset, descending = direction.lengths, direction.reset, direction.descending
    steps = len(direction.x)
    found = []
    for number in range(segment_count(steps, every)):
        start, stop = number * every, min((number + 1) * every, steps)
        border = stop if descending else start
        anew = None
        if 0 < border < steps:
            if reset is not None:
                anew = reset[border]
                if lengths is not None and not descending:
                    anew = anew & (lengths > border)  # who has ended keeps the last state
            if lengths is not None and descending:
                late = lengths <= border  # begins here or later
                anew = late if anew is None else anew | late
        found.append(
            _Segment(
                slice(start, stop),
                None if lengths is None else (lengths - start).clamp(0, stop - start),
                None if reset is None else reset[start:stop],
                None if anew is None else anew.unsqueeze(-1),
            )
        )
    return found[::-1] if descending else found


def _part(direction: _Direction, segment: _Segment, states: list[Tensor]) -> _Direction:
    """A segment of a direction, entered in the given states."""
    return direction._replace(
        x=direction.x[segment.times],
        initial=states,
        lengths=segment.lengths,
        reset=segment.reset,
        first_step=segment.times.start,
    )


def _features(sequence: Tensor, number: int, count: int) -> Tensor:
    """A direction's part of what lies side by side in the last dimension."""
    size = sequence.shape[-1] // count
    return sequence[..., number * size : (number + 1) * size]


def forward(call: Recurrence) -> list[Tensor]:
    """One layer; see `unrolled.engine.cpu.forward`."""
    program, count, x = program_named(call.program), call.directions, call.x
    if program.exposed:
        raise ValueError(
            f"{call.program}: checkpoint must be 0, since what the program exposes is kept"
        )
    directions = _directions(call, count)
    size = call.initial[0].shape[-1]
    output = fresh(x, x.shape[0], x.shape[1], count * size)
    last = [torch.empty_like(exact(state)) for state in call.initial]
    kept = []
    for d, direction in enumerate(directions):
        part = _features(time_major(output, call.batch_first), d, count)
        kept += _forward(call.checkpoint, direction, part, [state[d : d + 1] for state in last])
    found = [output, *like(last, call.initial), *(kept if call.save else [])]
    if call.initial[0].dtype != output.dtype:
        found[0] = output.to(call.initial[0].dtype)
        if call.save:
            found.append(output)
    return found


def _forward(every: int, direction: _Direction, output: Tensor, last: list[Tensor]) -> list[Tensor]:
    """One direction; its output and last states are written.

    Returns:
        For each state its values ``[segments - 1, N, ·]`` where a segment is entered.
    """
    segments = _segments(every, direction)
    initial = direction.initial
    kept = [state.new_empty(len(segments) - 1, *state.shape[1:]) for state in initial]
    states = initial
    for number, segment in enumerate(segments):
        if number > 0:
            states = [state[number - 1 : number] for state in kept]
            for state, before, first in zip(states, last, initial, strict=True):
                entered = before
                if segment.anew is not None:
                    entered = torch.where(segment.anew, first, before)
                state.copy_(entered)
        part = _part(direction, segment, states)
        _cpu.forward_part(*part, threads(), layout.SLICES, output[segment.times], last, [])
    return kept


class _Gradients(NamedTuple):
    """Gradients that backward of a direction is given, and memory for those that it finds.

    Attributes:
        output: of the output, or None where it is zero.
        last: of the states after the last step; each may be None.
        x: one tensor to be written; none if nobody asks for it.
        weights: to be added to.
        initial: to be written.
        anew: to be added to.
    """

    output: Tensor | None
    last: list[Tensor | None]
    x: list[Tensor]
    weights: list[Tensor]
    initial: list[Tensor]
    anew: list[Tensor]


def backward(call: RecurrenceBackward) -> list[Tensor]:
    """One layer; see `unrolled.engine.cpu.backward`."""
    batch_first, count, states = call.batch_first, len(call.initial[0]), len(call.initial)
    output, gradient = time_major(call.output, batch_first), call.gradient
    if gradient is not None:
        gradient = side_by_side(time_major(gradient.to(torch.float32), batch_first))
    last = [None if state is None else exact(state) for state in call.gradient_last]
    of_initial = [torch.empty_like(exact(state)) for state in call.initial]
    of_anew = [zeros(state, *state.shape) for state in of_initial]
    of_weights = [zeros(weight, *weight.shape) for weight in call.weights]
    of_x: Tensor | None = None
    each = len(of_weights) // count
    for d, direction in enumerate(_directions(call, count)):
        own = slice(d, d + 1)
        found_x = [fresh(direction.x, *direction.x.shape)] if call.need_x else []
        _backward(
            call.checkpoint,
            direction,
            _features(output, d, count),
            call.tapes[d * states : (d + 1) * states],
            _Gradients(
                None if gradient is None else _features(gradient, d, count),
                [None if state is None else state[own] for state in last],
                found_x,
                of_weights[d * each : (d + 1) * each],
                [state[own] for state in of_initial],
                [state[own] for state in of_anew],
            ),
        )
        for more in found_x:
            of_x = more if of_x is None else of_x.add_(more)
    for state, more in zip(of_initial, of_anew, strict=True):
        state.add_(more)
    found = [*like(of_initial, call.initial), *like(of_weights, call.weights)]
    return found if of_x is None else [*found, time_major(of_x.to(call.x.dtype), batch_first)]


def _backward(
    every: int,
    direction: _Direction,
    output: Tensor,
    kept: Sequence[Tensor],
    gradients: _Gradients,
) -> None:
    """One direction; ``kept`` is what `_forward` returned."""
    segments = _segments(every, direction)
    x, initial = direction.x, direction.initial
    longest, rows, size = min(every, len(x)), x.shape[1], output.shape[-1]
    hidden = hidden_size(program_named(direction.program), direction.weights, 1)
    whole_tape = fresh(x, longest, rows, tape_width(direction.program, hidden, size))
    whole_output = fresh(x, longest, rows, size)
    last = [torch.empty_like(state) for state in initial]
    of_last = gradients.last
    for number in reversed(range(len(segments))):
        segment = segments[number]
        times, count = segment.times, segment.times.stop - segment.times.start
        states = [state[number - 1 : number] for state in kept] if number > 0 else initial
        part, tape = _part(direction, segment, states), [whole_tape[:count]]
        _cpu.forward_part(*part, threads(), layout.SLICES, whole_output[:count], last, tape)
        _cpu.backward_part(
            *part,
            threads(),
            layout.SLICES,
            output[times],
            tape,
            layout.BLOCK,
            None if gradients.output is None else gradients.output[times],
            of_last,
            [of_x[times] for of_x in gradients.x],
            gradients.weights,
            gradients.initial,
            gradients.anew,
        )
        if number > 0:
            entered = [state.clone() for state in gradients.initial]
            if segment.anew is not None:
                for state, total in zip(entered, gradients.anew, strict=True):
                    total += torch.where(segment.anew, state, 0)
                    state.masked_fill_(segment.anew, 0)
            of_last = [*entered]
