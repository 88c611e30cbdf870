"""Backward: one pass against time; gradients of everything."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..weights import Weights
from . import checkpointing
from .direction import run_backward
from .layout import contiguous, fresh, plain, side_by_side, time_major, zeros_like
from .parallel import alone_after_fork


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
    reset: Tensor | None = None,
    checkpoint: int = 0,
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
    anew = reset is not None or checkpoint > 0
    gradient_anew = [torch.zeros_like(state) for state in initial] if anew else []
    gradient_weights = []
    gradient_x: Tensor | None = None
    for d, own in enumerate(weights):
        readable = contiguous(own)
        found = zeros_like(readable)
        found_x = fresh(x, *sequence.shape) if need_x else None
        part = slice(d * size, (d + 1) * size)
        states = [state[d] for state in initial]
        given = (program, isa, sequence, states, readable, lengths, reset)
        wanted = (
            None if gradients is None else gradients[..., part],
            [None if g is None else g[d] for g in incoming],
            found_x,
            found,
            [state[d] for state in gradient_initial],
            [state[d] for state in gradient_anew],
        )
        if checkpoint:
            kept = tapes[d * len(states) : (d + 1) * len(states)]
            checkpointing.backward(checkpoint, *given, d == 1, outputs[..., part], kept, *wanted)
        else:
            run_backward(*given, states, d == 1, outputs[..., part], tapes[d], *wanted)
        gradient_weights.append(found)
        if gradient_x is not None and found_x is not None:
            gradient_x.add_(found_x)
        else:
            gradient_x = found_x
    if gradient_x is not None:
        gradient_x = time_major(gradient_x, batch_first)
    for state, more in zip(gradient_initial, gradient_anew, strict=False):
        state.add_(more)
    return gradient_x, gradient_initial, gradient_weights
