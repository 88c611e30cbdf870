"""Layers on top of each other: what runs between a module's arguments and the engine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Literal

import torch
from torch import Tensor

from ..compiler.program import Program
from ..engine import operator, reference
from ..engine.choice import Choice
from ..engine.fused import FUNCTIONS
from ..engine.noise import QUIET, Noise
from ..engine.observer import Observer
from ..engine.reference import Result
from ..engine.weights import Weights
from .parameters import state_sizes
from .program import NoiseSource

Dropout = Callable[[Tensor], Tensor]
Checkpoint = int | Literal["auto"] | None
Watch = Callable[[int, int], Observer]
"""Who looks at a layer (from 0) and direction; they run on the reference."""

# The states that torch's layers return, under autocast, in the dtype in which they came.
_KEPT_BY_TORCH = {"gru": (0,), "lstm,projected": (1,)}


def run_stack(
    choice: Choice,
    program: Program,
    x: Tensor,
    initial: Sequence[Tensor] | None,
    weights: Sequence[Sequence[Weights]],
    lengths: Tensor | None = None,
    batch_first: bool = False,
    dropout: Dropout | None = None,
    reset: Tensor | None = None,
    checkpoint: Checkpoint = None,
    noise: NoiseSource | None = None,
    watch: Watch | None = None,
) -> tuple[Tensor, list[Tensor], list[list[Tensor]]]:
    """All layers, each of one or two directions, by the kernels or the reference.

    Args:
        choice: the engine, ``"kernels"`` or ``"reference"``.
        program: what every layer runs.
        x: ``[T, N, input_size]``, or ``[N, T, input_size]`` with ``batch_first``.
        initial: for each state ``[layers * directions, N, ·]``; None for zeros.
        weights: for each layer, for each direction.
        lengths: ``[N]``, int64 on x's device; a row has no steps at or after its length.
        batch_first: the order of x's dimensions, and of the output's.
        dropout: applied to the output ``[T, N, ·]`` of every layer but the last.
        reset: ``[T, N]``, of bools, whatever the order of x's dimensions: where a row's step and
            the one before it are cut apart.
        checkpoint: every how many steps the kernels keep the states for backward; None for a tape.
        noise: what draws the program's masks, for every layer anew.
        watch: who looks at each layer and direction, on the reference.

    Returns:
        The last layer's output, directions side by side, in x's order; for each state its last
        value ``[layers * directions, N, ·]``; and for each layer its output and what the program
        exposes, in the same order.
    """
    directions = len(weights[0])
    if initial is None:
        zeros = zero_states(program, x, weights[0][0], directions, x.shape[not batch_first])
    lasts: list[list[Tensor]] = []
    sequences: list[list[Tensor]] = []
    for k, own in enumerate(weights):
        final = k + 1 == len(weights)
        if initial is None:
            states = zeros
        elif final and k == 0:
            states = list(initial)
        else:
            states = [state[k * directions : (k + 1) * directions] for state in initial]
        # Between layers everything is time-major; only the result is laid out as it was asked for.
        if batch_first and k == 0 and not final:
            x = x.transpose(0, 1)
        if batch_first and final and k > 0:
            x = x.transpose(0, 1)
        first = batch_first and final
        drawn = QUIET if noise is None else noise.draw()
        observers = [watch(k, d) for d in range(directions)] if watch else []
        x, last, exposed = _run_layer(
            choice, program, x, states, own, lengths, first, reset, checkpoint, drawn, observers
        )
        lasts.append(last)
        turned = batch_first and not first
        sequences.append([s.transpose(0, 1) if turned else s for s in (x, *exposed)])
        if dropout is not None and not final:
            x = dropout(x)
    if len(lasts) == 1:
        return x, lasts[0], sequences
    return x, [torch.cat(states) for states in zip(*lasts, strict=True)], sequences


def _run_layer(
    choice: Choice,
    program: Program,
    x: Tensor,
    initial: Sequence[Tensor],
    weights: Sequence[Weights],
    lengths: Tensor | None,
    batch_first: bool,
    reset: Tensor | None,
    checkpoint: Checkpoint,
    noise: Noise,
    observers: Sequence[Observer],
) -> Result:
    if choice.engine == "kernels":
        if choice.bfloat16:
            x = x.to(torch.bfloat16)
            kept = _kept(program)
            initial = [s if k in kept else s.to(torch.bfloat16) for k, s in enumerate(initial)]
        return operator.run_layer(
            program.name,
            choice.isa,
            x,
            initial,
            weights,
            lengths,
            batch_first,
            reset,
            checkpoint,
            noise,
        )
    return reference.layer(
        program,
        x,
        initial,
        weights,
        lengths,
        batch_first,
        reset,
        noise,
        observers or (None, None),
    )


def _kept(program: Program) -> Collection[int]:
    """The states that bfloat16 leaves alone: torch's own choice for its cells, else the inner ones.

    The first state is the output.
    """
    if program.name in FUNCTIONS:
        return _KEPT_BY_TORCH.get(program.name, ())
    return range(1, len(program.states))


def zero_states(
    program: Program, x: Tensor, weights: Weights, stacked: int, rows: int
) -> list[Tensor]:
    """Initial states ``[stacked, rows, ·]`` in x's dtype."""
    zeros = {
        size: x.new_zeros(stacked, rows, size)
        for size in (weights.hidden_size, weights.output_size)
    }
    return [zeros[size] for size in state_sizes(program, weights.hidden_size, weights.output_size)]
