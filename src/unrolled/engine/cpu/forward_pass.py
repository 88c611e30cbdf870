"""Forward: one pass over time, the input products of a block of steps at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .. import _cpu
from ..weights import Weights
from .layout import (
    arguments,
    contiguous,
    fresh,
    like,
    part,
    plain,
    side_by_side,
    states,
    strided,
    tape_width,
    time_major,
)
from .parallel import alone_after_fork, threads


@alone_after_fork
def forward(
    program: str,
    isa: str,
    x: Tensor,
    initial: Sequence[Tensor],
    weights: Sequence[Weights],
    lengths: Tensor | None,
    batch_first: bool,
    save: bool,
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

    Returns:
        The output, in float32; the last value of each state ``[directions, N, ·]``, in the dtype
        of its first; for each direction the tape (none unless ``save``).
    """
    sequence = side_by_side(time_major(x, batch_first))
    steps, rows = sequence.shape[0], sequence.shape[1]
    size = weights[0].output_size
    output = fresh(x, x.shape[0], x.shape[1], len(weights) * size)
    outputs = time_major(output, batch_first)
    lengths = plain(lengths)
    first = states(initial)
    last = [torch.empty_like(state) for state in first]
    tapes = []
    for d, own in enumerate(weights):
        tape = fresh(x, steps, rows, tape_width(program, own)) if save else None
        readable = contiguous(own, x.dtype)
        _cpu.call(
            mode="forward" if save else "inference",
            initial=[part(state, d) for state in first],
            last=[part(state, d) for state in last],
            output=strided(outputs, d * size),
            tape=(0, 0, 0) if tape is None else strided(tape),
            **arguments(program, isa, threads(), d == 1, sequence, lengths, readable),
        )
        if tape is not None:
            tapes.append(tape)
    return output, like(last, initial), tapes
