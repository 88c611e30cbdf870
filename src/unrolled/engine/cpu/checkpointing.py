"""Checkpoints: memory for time.

Forward keeps the states at the beginning of every segment of k steps and no tape. Backward takes
the segments from the last to the first: it runs one forward again, with a tape, and then backward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..weights import Weights
from .direction import run_backward, run_forward
from .layout import fresh, tape_width

_TAPE = 2**22
"""A segment's tape, in floats (16 MiB), where nobody asks for another: it stays in the cache."""


def automatic(program: str, steps: int, rows: int, weights: Weights) -> int:
    """Steps of a segment; 0 where the whole tape is no longer than one.

    Segments get longer with the sequence, so that the states kept do not outgrow the tape. Their
    length is at least the root of the sequence's, rounded up to a power of two: torch.compile, to
    which the number of steps is a symbol, compiles anew for each.
    """
    root = 1
    while root * root < steps:
        root *= 2
    every = max(_TAPE // max(1, rows * tape_width(program, weights)), root)
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


def _segments(
    every: int, steps: int, lengths: Tensor | None, reset: Tensor | None, descending: bool
) -> list[_Segment]:
    """All segments in the order of going."""
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


def forward(
    every: int,
    program: str,
    isa: str,
    x: Tensor,
    initial: Sequence[Tensor],
    weights: Weights,
    lengths: Tensor | None,
    reset: Tensor | None,
    descending: bool,
    output: Tensor,
    last: Sequence[Tensor],
) -> list[Tensor]:
    """One direction; see `direction.run_forward`.

    Returns:
        For each state its values ``[segments - 1, N, ·]`` where a segment is entered.
    """
    segments = _segments(every, len(x), lengths, reset, descending)
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
        run_forward(
            program,
            isa,
            x[segment.times],
            states,
            weights,
            segment.lengths,
            segment.reset,
            initial,
            descending,
            output[segment.times],
            last,
            None,
        )
    return kept


def backward(
    every: int,
    program: str,
    isa: str,
    x: Tensor,
    initial: Sequence[Tensor],
    weights: Weights,
    lengths: Tensor | None,
    reset: Tensor | None,
    descending: bool,
    output: Tensor,
    kept: Sequence[Tensor],
    gradient: Tensor | None,
    gradient_last: Sequence[Tensor | None],
    gradient_x: Tensor | None,
    gradient_weights: Weights,
    gradient_initial: Sequence[Tensor],
    gradient_anew: Sequence[Tensor],
) -> None:
    """One direction; see `direction.run_backward`. ``kept`` is what `forward` returned."""
    segments = _segments(every, len(x), lengths, reset, descending)
    longest, rows = min(every, len(x)), x.shape[1]
    whole_tape = fresh(x, longest, rows, tape_width(program, weights))
    whole_output = fresh(x, longest, rows, output.shape[-1])
    last = [torch.empty_like(state) for state in initial]
    incoming: list[Tensor | None] = list(gradient_last)
    for number in reversed(range(len(segments))):
        segment = segments[number]
        times, count = segment.times, segment.times.stop - segment.times.start
        states = [state[number - 1] for state in kept] if number > 0 else initial
        given = (
            program,
            isa,
            x[times],
            states,
            weights,
            segment.lengths,
            segment.reset,
            initial,
            descending,
        )
        tape = whole_tape[:count]
        run_forward(*given, whole_output[:count], last, tape)
        run_backward(
            *given,
            output[times],
            tape,
            None if gradient is None else gradient[times],
            incoming,
            None if gradient_x is None else gradient_x[times],
            gradient_weights,
            gradient_initial,
            gradient_anew,
        )
        if number > 0:
            found = [state.clone() for state in gradient_initial]
            if segment.anew is not None:
                for state, total in zip(found, gradient_anew, strict=True):
                    total += torch.where(segment.anew, state, 0)
                    state.masked_fill_(segment.anew, 0)
            incoming = list(found)
