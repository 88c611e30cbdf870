"""Backward: one pass against time; gradients of everything."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..noise import QUIET, Noise
from ..weights import Weights
from . import checkpointing
from .direction import Direction, Gradients
from .layout import (
    contiguous,
    exact_input,
    fresh,
    like,
    plain,
    rounded_like,
    side_by_side,
    states,
    time_major,
    zeros_like,
)
from .parallel import settle_after_fork


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
    noise: Noise = QUIET,
    gradient_tapes: Sequence[Tensor] = (),
) -> tuple[Tensor | None, list[Tensor], list[Weights]]:
    """Gradients of `forward`, given those of its output and last states (None where zero).

    ``output`` is forward's own; what belongs to a tensor that is not float32 is rounded at the end.

    ``gradient_tapes`` are the tapes', for each direction, where the caller got what they hold.

    Returns:
        The gradients of x (None unless ``need_x``), of the initial states, and of the weights.
    """
    settle_after_fork()
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
    anew = reset is not None or checkpoint > 0
    gradient_anew = [torch.zeros_like(state) for state in first] if anew else []
    exact = exact_input(program, sequence)
    gradient_weights = []
    gradient_x: Tensor | None = None
    for d, own in enumerate(weights):
        found = zeros_like(own)
        found_x = fresh(x, *sequence.shape) if need_x else None
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
        part = slice(d * size, (d + 1) * size)
        wanted = Gradients(
            None if gradients is None else gradients[..., part],
            [None if g is None else g[d] for g in incoming],
            side_by_side(gradient_tapes[d]) if gradient_tapes else None,
            found_x,
            found,
            [state[d] for state in gradient_initial],
            [state[d] for state in gradient_anew],
        )
        if checkpoint:
            kept = tapes[d * len(first) : (d + 1) * len(first)]
            checkpointing.backward(checkpoint, direction, outputs[..., part], kept, wanted)
        else:
            direction.backward(outputs[..., part], tapes[d], wanted)
        gradient_weights.append(rounded_like(found, own))
        if gradient_x is not None and found_x is not None:
            gradient_x.add_(found_x)
        else:
            gradient_x = found_x
    if gradient_x is not None:
        gradient_x = time_major(gradient_x.to(x.dtype), batch_first)
    for state, more in zip(gradient_initial, gradient_anew, strict=False):
        state.add_(more)
    return gradient_x, like(gradient_initial, initial), gradient_weights
