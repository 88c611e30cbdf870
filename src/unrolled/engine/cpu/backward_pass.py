"""Backward: one pass against time; gradients of everything."""

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
    matrices,
    part,
    plain,
    pointer,
    rounded_like,
    side_by_side,
    states,
    strided,
    time_major,
    zeros_like,
)
from .parallel import alone_after_fork, threads

_BLOCK = 0
"""Steps whose adjoints are held at a time; 0 leaves it to the kernels."""


@alone_after_fork
def backward(
    program: str,
    isa: str,
    gradient: Tensor | None,
    gradient_last: Sequence[Tensor | None],
    x: Tensor,
    initial: Sequence[Tensor],
    weights: Sequence[Weights],
    lengths: Tensor | None,
    output: Tensor,
    tapes: Sequence[Tensor],
    batch_first: bool,
    need_x: bool,
) -> tuple[Tensor | None, list[Tensor], list[Weights]]:
    """Gradients of `forward`, given those of its output and last states (None where zero).

    ``output`` is forward's own; what belongs to a tensor that is not float32 is rounded at the end.

    Returns:
        The gradients of x (None unless ``need_x``), of the initial states, and of the weights.
    """
    sequence = side_by_side(time_major(x, batch_first))
    outputs = time_major(output, batch_first)
    gradients = None
    if gradient is not None:
        gradients = side_by_side(time_major(gradient.to(torch.float32), batch_first))
    lengths = plain(lengths)
    size = weights[0].output_size
    first = states(initial)
    incoming = [None if g is None else states([g])[0] for g in gradient_last]
    gradient_initial = [torch.empty_like(state) for state in first]
    gradient_weights = []
    gradient_x: Tensor | None = None
    for d, (own, tape) in enumerate(zip(weights, tapes, strict=True)):
        readable = contiguous(own, x.dtype)
        found = zeros_like(own)
        found_x = fresh(x, *sequence.shape) if need_x else None
        _cpu.call(
            mode="backward",
            initial=[part(state, d) for state in first],
            last=[part(state, d) for state in gradient_initial],
            output=strided(outputs, d * size),
            tape=strided(tape),
            block=_BLOCK,
            gradient=(0, 0, 0) if gradients is None else strided(gradients, d * size),
            gradient_last=[part(state, d) for state in incoming],
            gradient_input=(0, 0, 0) if found_x is None else strided(found_x),
            gradient_input_weights=found.input.data_ptr(),
            gradient_input_bias=pointer(found.input_bias),
            gradient_recurrent_bias=pointer(found.recurrent_bias),
            gradient_matrices=matrices(found),
            **arguments(program, isa, threads(), d == 1, sequence, lengths, readable),
        )
        gradient_weights.append(rounded_like(found, own))
        if found_x is not None:
            gradient_x = found_x if gradient_x is None else gradient_x.add_(found_x)
    if gradient_x is not None:
        gradient_x = time_major(gradient_x.to(x.dtype), batch_first)
    return gradient_x, like(gradient_initial, initial), gradient_weights
