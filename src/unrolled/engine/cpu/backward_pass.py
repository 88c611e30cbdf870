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
    matrices,
    part,
    plain,
    pointer,
    side_by_side,
    strided,
    time_major,
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

    Returns:
        The gradients of x (None unless ``need_x``), of the initial states, and of the weights.
    """
    sequence = side_by_side(time_major(x, batch_first))
    outputs = time_major(output, batch_first)
    gradients = None if gradient is None else side_by_side(time_major(gradient, batch_first))
    lengths = plain(lengths)
    size = weights[0].output_size
    initial = [state.contiguous() for state in initial]
    incoming = [None if g is None else g.contiguous() for g in gradient_last]
    gradient_initial = [torch.empty_like(state) for state in initial]
    gradient_weights = []
    gradient_x = None
    for d, (own, tape) in enumerate(zip(weights, tapes, strict=True)):
        readable = contiguous(own)
        found = Weights(
            *(None if tensor is None else torch.zeros_like(tensor) for tensor in readable)
        )  # type: ignore[arg-type]
        found_x = fresh(x, *sequence.shape) if need_x else None
        _cpu.call(
            mode="backward",
            initial=[part(state, d) for state in initial],
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
        gradient_weights.append(found)
        gradient_x = found_x if gradient_x is None else gradient_x.add_(found_x)
    if gradient_x is not None:
        gradient_x = time_major(gradient_x, batch_first)
    return gradient_x, gradient_initial, gradient_weights
