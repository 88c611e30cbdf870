"""The reference: what every kernel must agree with.

A plain loop over the steps of a program in torch's own operations: any device and dtype, and as
often differentiable as one likes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from ..cells.functions import FUNCTIONS
from ..compiler.program import INPUT, Product, Program, Symbol, evaluate
from .weights import Weights


def _compare(comparison: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Tensor]:
    """1 or 0 in the dtype of what is compared, which `_where` then gives to numbers."""

    def compare(a: Any, b: Any) -> Tensor:
        like = a if isinstance(a, Tensor) else b
        result: Tensor = comparison(a, b).to(like.dtype)
        return result

    return compare


def _where(condition: Tensor, a: Any, b: Any) -> Tensor:
    a, b = (v if isinstance(v, Tensor) else condition.new_full((), v) for v in (a, b))
    return torch.where(condition > 0, a, b)


_OPERATIONS: dict[str, Callable[..., Any]] = {
    **{function.name: function for function in FUNCTIONS},
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "negate": operator.neg,
    "power": operator.pow,
    "less": _compare(operator.lt),
    "less_equal": _compare(operator.le),
    "greater": _compare(operator.gt),
    "greater_equal": _compare(operator.ge),
    "where": _where,
}


def step(
    program: Program, x: Tensor, gates: Tensor, states: Sequence[Tensor], weights: Weights
) -> list[Tensor]:
    """One step: x ``[N, ·]``, its products ``[N, G * H]``, states ``[N, ·]``; the new states."""
    values: dict[Symbol, Any] = {INPUT: x}
    if program.gates:
        values.update(zip(program.gates, gates.chunk(len(program.gates), dim=-1), strict=True))
    values.update(zip([state.previous for state in program.states], states, strict=True))
    if weights.vectors is not None:
        shared = weights.vectors.chunk(len(program.vectors))
        values.update(zip([vector.symbol for vector in program.vectors], shared, strict=True))
    rows = {"U": weights.recurrent, "P": weights.projection}
    biases = {"U": weights.recurrent_bias, "P": None}
    for instruction in program.instructions:
        if isinstance(instruction, Product):
            blocks = program.matrix(instruction.matrix)
            matrix, bias = rows[instruction.matrix], biases[instruction.matrix]
            assert matrix is not None
            block = blocks.index(instruction)
            values[instruction.symbol] = _multiply(
                values[instruction.operand],
                matrix.chunk(len(blocks))[block],
                None if bias is None else bias.chunk(len(blocks))[block],
            )
        else:
            values[instruction.symbol] = evaluate(
                instruction.expression, values.__getitem__, _OPERATIONS
            )
    new = [values[state.new] for state in program.states]
    return [
        torch.full_like(old, value) if isinstance(value, float) else value.expand_as(old)
        for value, old in zip(new, states, strict=True)
    ]


def _multiply(operand: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    """The product with a matrix, or with the blocks of a block-diagonal one."""
    heads = operand.shape[-1] // matrix.shape[1]
    if heads == 1:
        return linear(operand, matrix, bias)
    parts = zip(operand.chunk(heads, dim=-1), matrix.chunk(heads), strict=True)
    product = torch.cat([linear(part, block) for part, block in parts], dim=-1)
    return product if bias is None else product + bias


def run(
    program: Program,
    x: Tensor,
    initial: Sequence[Tensor],
    weights: Weights,
    lengths: Tensor | None = None,
    reverse: bool = False,
    reset: Tensor | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """All steps of one direction.

    Args:
        program: the cell's program.
        x: input ``[T, N, input_size]``.
        initial: for each state ``[N, ·]``.
        weights: the direction's parameters.
        lengths: ``[N]``, on x's device; a row has no steps at or after its length.
        reverse: from the last step to the first.
        reset: ``[T, N]``, of bools: where a row's step and the one before it are cut apart.

    Returns:
        The output ``[T, N, S]``, zero where a row has no step, and for each state its value
        ``[N, ·]`` after the row's own last step.
    """
    gates = linear(x, weights.input, weights.input_bias)
    states = list(initial)
    outputs: list[Tensor] = []
    steps = range(x.shape[0])
    if reset is not None and lengths is not None:  # at or after a row's end they mean nothing
        reset = reset & (torch.arange(len(x), device=x.device).unsqueeze(-1) < lengths)
    for t in reversed(steps) if reverse else steps:
        cut = t + reverse  # in time, between this step and the one taken before it
        if reset is not None and 0 < cut < len(steps):
            here = reset[cut].unsqueeze(-1)
            states = [torch.where(here, a, b) for a, b in zip(initial, states, strict=True)]
        new = step(program, x[t], gates[t], states, weights)
        if lengths is None:
            states = new
            outputs.append(new[0])
        else:
            running = (t < lengths).unsqueeze(-1)
            states = [torch.where(running, a, b) for a, b in zip(new, states, strict=True)]
            outputs.append(torch.where(running, new[0], torch.zeros_like(new[0])))
    if not outputs:  # empty, and still part of the graph
        return x[..., :1].expand(*x.shape[:-1], weights.output_size), states
    return torch.stack(outputs[::-1] if reverse else outputs), states


def layer(
    program: Program,
    x: Tensor,
    initial: Sequence[Tensor],
    weights: Sequence[Weights],
    lengths: Tensor | None = None,
    batch_first: bool = False,
    reset: Tensor | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """All directions of one layer; states are ``[directions, N, ·]``, outputs side by side.

    The mask of resets is ``[T, N]`` whatever the order of x's dimensions.
    """
    if batch_first:
        x = x.transpose(0, 1)
    results = [
        run(program, x, [state[d] for state in initial], own, lengths, d == 1, reset)
        for d, own in enumerate(weights)
    ]
    output = torch.cat([output for output, _ in results], dim=-1)
    last = [torch.stack(states) for states in zip(*(last for _, last in results), strict=True)]
    return (output.transpose(0, 1) if batch_first else output), last
