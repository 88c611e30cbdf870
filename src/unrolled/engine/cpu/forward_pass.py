"""Forward: one pass over time, the input products of a block of steps at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..noise import QUIET, Noise
from ..weights import Weights
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
from .parallel import settle_after_fork


def forward(
    program: str,
    isa: str,
    x: Tensor,
    initial: Sequence[Tensor],
    weights: Sequence[Weights],
    lengths: Tensor | None,
    batch_first: bool,
    save: bool,
    reset: Tensor | None = None,
    checkpoint: int = 0,
    noise: Noise = QUIET,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """One layer, all directions.

    Args:
        program: the program's name.
        isa: instruction set.
        x: ``[T, N, input_size]``, or ``[N, T, input_size]`` with ``batch_first``; float32, or
            bfloat16 to have products of it.
        initial: for each state ``[directions, N, ·]``, float32 or bfloat16.
        weights: for each direction; of x's dtype, or rounded to it.
        lengths: ``[N]``, integers of 0...T, on the CPU, or None.
        batch_first: the order of x's dimensions, and of the output's.
        save: whether to return what `backward` needs.
        reset: ``[T, N]``, of bools, on the CPU: where a row's step and the one before it are cut
            apart; or None.
        checkpoint: keep for backward, instead of a tape, the states every so many steps; 0 for not.
        noise: of the program's masks.

    Returns:
        The output, in float32; the last value of each state ``[directions, N, ·]``, in the dtype
        of its first; with ``save``, in float32, for each direction the tape, or with checkpoints
        for each direction and state its values.
    """
    settle_after_fork()
    sequence = side_by_side(time_major(x, batch_first))
    size = weights[0].output_size
    output = fresh(x, x.shape[0], x.shape[1], len(weights) * size)
    outputs = time_major(output, batch_first)
    lengths = plain(lengths)
    first = states(initial)
    last = [torch.empty_like(state) for state in first]
    exact = exact_input(program, sequence)
    tapes = []
    for d, own in enumerate(weights):
        before = [state[d] for state in first]
        direction = Direction(
            program,
            isa,
            sequence,
            exact,
            before,
            before,
            contiguous(own, x.dtype),
            lengths,
            reset,
            d == 1,
            noise,
        )
        part = outputs[..., d * size : (d + 1) * size]
        after = [state[d] for state in last]
        if save and checkpoint:
            tapes += checkpointing.forward(checkpoint, direction, part, after)
            continue
        tape = fresh(x, *sequence.shape[:2], tape_width(program, own)) if save else None
        direction.forward(part, after, tape)
        if tape is not None:
            tapes.append(tape)
    return output, like(last, initial), tapes
