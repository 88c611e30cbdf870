"""Backward: one pass against time; gradients of everything."""

from __future__ import annotations

import torch
from torch import Tensor

from ..noise import Noise
from ..request import RecurrenceBackward
from ..weights import Weights, join, program_named, split
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
    zeros,
    zeros_like,
)
from .on_demand import isa_or_fastest
from .parallel import settle_after_fork


def backward(call: RecurrenceBackward) -> list[Tensor]:
    """The gradients of `forward`; an empty ``call.isa`` is the fastest that there is.

    What belongs to a tensor that is not float32 is rounded at the end.

    Returns:
        The gradients of the initial states, of the weights and, with ``call.need_x``, of x.
    """
    settle_after_fork()
    x, gradient, batch_first, checkpoint = call.x, call.gradient, call.batch_first, call.checkpoint
    name, isa, reset = call.program, isa_or_fastest(call), call.reset
    program = program_named(name)
    weights = split(program, call.weights, len(call.initial[0]))
    noise = Noise(call.seed, tuple(call.rates))
    sequence = side_by_side(time_major(x, batch_first))
    outputs = time_major(call.output, batch_first)
    gradients = None
    if gradient is not None:
        gradients = side_by_side(time_major(gradient.to(torch.float32), batch_first))
    lengths = plain(call.lengths)
    size = weights[0].output_size
    first = states(call.initial)
    incoming = [None if g is None else states([g])[0] for g in call.gradient_last]
    gradient_initial = [torch.empty_like(state) for state in first]
    anew = reset is not None or checkpoint > 0
    gradient_anew = [zeros(state, *state.shape) for state in first] if anew else []
    exact = exact_input(program, sequence)
    gradient_weights: list[Weights] = []
    gradient_x: Tensor | None = None
    for d, own in enumerate(weights):
        found = zeros_like(own)
        found_x = fresh(x, *sequence.shape) if call.need_x else None
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
            reset,
            d == 1,
            noise,
        )
        part = slice(d * size, (d + 1) * size)
        wanted = Gradients(
            None if gradients is None else gradients[..., part],
            [None if g is None else g[d] for g in incoming],
            side_by_side(call.gradient_tapes[d]) if call.gradient_tapes else None,
            found_x,
            found,
            [state[d] for state in gradient_initial],
            [state[d] for state in gradient_anew],
        )
        if checkpoint:
            kept = call.tapes[d * len(first) : (d + 1) * len(first)]
            checkpointing.backward(checkpoint, direction, outputs[..., part], kept, wanted)
        else:
            direction.backward(outputs[..., part], call.tapes[d], wanted)
        gradient_weights.append(rounded_like(found, own))
        if gradient_x is not None and found_x is not None:
            gradient_x.add_(found_x)
        else:
            gradient_x = found_x
    if gradient_x is not None:
        gradient_x = time_major(gradient_x.to(x.dtype), batch_first)
    for state, more in zip(gradient_initial, gradient_anew, strict=False):
        state.add_(more)
    results = [*like(gradient_initial, call.initial), *join(gradient_weights)]
    return results if gradient_x is None else [*results, gradient_x]
