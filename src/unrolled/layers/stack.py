"""Layers on top of each other: what runs between a module's arguments and the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from ..compiler.program import Program
from ..engine import operator, reference
from ..engine.choice import Choice
from ..engine.weights import Weights

Dropout = Callable[[Tensor], Tensor]
Checkpoint = int | Literal["auto"] | None

# Under autocast torch's layers return bfloat16, but for the state, if any, whose old value enters
# the new one without a product: it is as it came.
_KEPT = {"gru": 0, "originalgru": 0, "lstm,projected": 1}


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
) -> tuple[Tensor, list[Tensor]]:
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

    Returns:
        The last layer's output, directions side by side, in x's order, and for each state its last
        value ``[layers * directions, N, ·]``.
    """
    directions = len(weights[0])
    zeros = _zeros(program, x, weights[0], batch_first) if initial is None else []
    lasts: list[list[Tensor]] = []
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
        x, last = _run_layer(choice, program, x, states, own, lengths, first, reset, checkpoint)
        lasts.append(last)
        if dropout is not None and not final:
            x = dropout(x)
    if len(lasts) == 1:
        return x, lasts[0]
    return x, [torch.cat(states) for states in zip(*lasts, strict=True)]


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
) -> tuple[Tensor, list[Tensor]]:
    if choice.engine == "kernels":
        if choice.bfloat16:
            x = x.to(torch.bfloat16)
            kept = _KEPT.get(program.name, -1)
            initial = [s if k == kept else s.to(torch.bfloat16) for k, s in enumerate(initial)]
        return operator.run_layer(
            program.name, choice.isa, x, initial, weights, lengths, batch_first, reset, checkpoint
        )
    found = reference.layer(program, x, initial, weights, lengths, batch_first, reset)
    return found.output, found.last


def _zeros(
    program: Program, x: Tensor, weights: Sequence[Weights], batch_first: bool
) -> list[Tensor]:
    """Initial states of one layer; the first state is the output, the others have all units."""
    rows, directions = x.shape[0 if batch_first else 1], len(weights)
    hidden, output = weights[0].hidden_size, weights[0].output_size
    first = x.new_zeros(directions, rows, output)
    if len(program.states) == 1:
        return [first]
    other = first if hidden == output else x.new_zeros(directions, rows, hidden)
    return [first, *[other] * (len(program.states) - 1)]
