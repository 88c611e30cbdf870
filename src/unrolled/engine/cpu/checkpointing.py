"""Checkpoints: memory for time.

Forward keeps the states at the beginning of every segment of k steps and no tape. Backward takes
the segments from the last to the first: it runs one forward again, with a tape, and then backward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .direction import Direction, Gradients
from .layout import Sized, fresh, tape_width

_TAPE = 2**22
"""A segment's tape, in floats (16 MiB), where nobody asks for another: it stays in the cache."""


def automatic(program: str, steps: int, rows: int, sized: Sized) -> int:
    """Steps of a segment; 0 where the whole tape is no longer than one.

    Segments get longer with the sequence, so that the states kept do not outgrow the tape. Their
    length is at least the root of the sequence's, rounded down to a power of two: torch.compile,
    to which the number of steps is a symbol, compiles anew for each.
    """
    root = 1
    while 4 * root * root <= steps:
        root *= 2
    every = max(_TAPE // max(1, rows * tape_width(program, sized)), root)
    return every if every < steps else 0


def segment_count(steps: int, every: int) -> int:
    """Segments of a sequence; one even if there is no step."""
    return max((steps + every - 1) // every, 1)


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


def _segments(every: int, direction: Direction) -> list[_Segment]:
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


def _part(direction: Direction, segment: _Segment, states: Sequence[Tensor]) -> Direction:
    """A segment of a direction, entered in the given states."""
    return direction._replace(
        x=direction.x[segment.times],
        exact_x=direction.exact_x[segment.times],
        initial=states,
        lengths=segment.lengths,
        reset=segment.reset,
        first_step=direction.first_step + segment.times.start,
    )


def forward(
    every: int, direction: Direction, output: Tensor, last: Sequence[Tensor]
) -> list[Tensor]:
    """One direction; see `Direction.forward`.

    Returns:
        For each state its values ``[segments - 1, N, ·]`` where a segment is entered.
    """
    segments = _segments(every, direction)
    initial = direction.initial
    kept = [state.new_empty(len(segments) - 1, *state.shape) for state in initial]
    states = list(initial)
    for number, segment in enumerate(segments):
        if number > 0:
            states = [state[number - 1] for state in kept]
            for state, before, first in zip(states, last, initial, strict=True):
                entered = before
                if segment.anew is not None:
                    entered = torch.where(segment.anew, first, before)
                state.copy_(entered)
        _part(direction, segment, states).forward(output[segment.times], last, None)
    return kept


def backward(
    every: int,
    direction: Direction,
    output: Tensor,
    kept: Sequence[Tensor],
    gradients: Gradients,
) -> None:
    """One direction; see `Direction.backward`. ``kept`` is what `forward` returned."""
    segments = _segments(every, direction)
    x, initial = direction.x, direction.initial
    longest, rows = min(every, len(x)), x.shape[1]
    whole_tape = fresh(x, longest, rows, tape_width(direction.program, direction.weights))
    whole_output = fresh(x, longest, rows, output.shape[-1])
    last = [torch.empty_like(state) for state in initial]
    for number in reversed(range(len(segments))):
        segment = segments[number]
        times, count = segment.times, segment.times.stop - segment.times.start
        states = [state[number - 1] for state in kept] if number > 0 else initial
        part, tape = _part(direction, segment, states), whole_tape[:count]
        part.forward(whole_output[:count], last, tape)
        of_part = gradients._replace(
            output=None if gradients.output is None else gradients.output[times],
            x=None if gradients.x is None else gradients.x[times],
        )
        part.backward(output[times], tape, of_part)
        if number > 0:
            found = [state.clone() for state in gradients.initial]
            if segment.anew is not None:
                for state, total in zip(found, gradients.anew, strict=True):
                    total += torch.where(segment.anew, state, 0)
                    state.masked_fill_(segment.anew, 0)
            gradients = gradients._replace(last=found)
