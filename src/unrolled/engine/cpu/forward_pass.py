"""Forward: one pass over time, the input products of a block of steps at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from ..noise import Noise
from ..request import Recurrence
from ..weights import program_named, split
from . import checkpointing
from .direction import Direction
from .layout import (
    contiguous,
    exact_input,
    fresh,
    like,
    plain,
    side_by_side,
    states,
    tape_width,
    time_major,
)
from .on_demand import isa_or_fastest
from .parallel import settle_after_fork


def forward(call: Recurrence) -> list[Tensor]:
    """One layer, all directions; an empty ``call.isa`` is the fastest that there is.

    Returns:
        The output and the last value of each state ``[D, N, ·]``, in the dtype of their first. With
        ``call.save``, in float32, for each direction the tape, or with checkpoints for each
        direction and state its values; and last of all, where it was rounded, the exact output.
    """
    settle_after_fork()
    name, isa, x, save = call.program, isa_or_fastest(call), call.x, call.save
    program = program_named(name)
    if call.checkpoint and program.exposed:
        raise ValueError(f"{name}: checkpoint must be 0, since what the program exposes is kept")
    weights = split(program, call.weights, call.directions)
    sequence = side_by_side(time_major(x, call.batch_first))
    size = weights[0].output_size
    output = fresh(x, x.shape[0], x.shape[1], len(weights) * size)
    outputs = time_major(output, call.batch_first)
    lengths = plain(call.lengths)
    first = states(call.initial)
    last = [torch.empty_like(state) for state in first]
    exact = exact_input(program, sequence)
    noise = Noise(call.seed, tuple(call.rates))
    tapes = []
    for d, own in enumerate(weights):
        before = [state[d] for state in first]
        direction = Direction(
            name,
            isa,
            sequence,
            exact,
            before,
            before,
            contiguous(own, x.dtype),
            lengths,
            call.reset,
            d == 1,
            noise,
        )
        part = outputs[..., d * size : (d + 1) * size]
        after = [state[d] for state in last]
        if save and call.checkpoint:
            tapes += checkpointing.forward(call.checkpoint, direction, part, after)
            continue
        tape = fresh(x, *sequence.shape[:2], tape_width(name, own)) if save else None
        direction.forward(part, after, tape)
        if tape is not None:
            tapes.append(tape)
    found = [output, *like(last, call.initial), *tapes]
    if call.initial[0].dtype != output.dtype:
        found[0] = output.to(call.initial[0].dtype)
        if save:
            found.append(output)
    return found
