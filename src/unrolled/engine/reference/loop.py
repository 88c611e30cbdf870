"""The reference: what every kernel must agree with.

A plain loop over the steps of a program in torch's own operations: any device and dtype, and as
often differentiable as one likes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, linear

from ...cells.functions import FUNCTIONS
from ...compiler.program import INPUT, Product, Program, Space, Symbol, evaluate
from ..noise import Noise
from ..observer import Observer, Setting
from ..weights import Weights


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
    "normalize": lambda a: layer_norm(a, a.shape[-1:], eps=1e-5),
}


class LayerResult(NamedTuple):
    """What a layer, or one direction of it, gives.

    Attributes:
        output: ``[T, N, S]``, zero where a row has no step.
        last: for each state its value ``[N, ·]`` after the row's own last step.
        exposed: for each value that the program exposes its sequence, laid out as the output.
    """

    output: Tensor
    last: list[Tensor]
    exposed: list[Tensor]


def step(
    program: Program,
    x: Tensor,
    gates: Tensor,
    states: Sequence[Tensor],
    weights: Weights,
    masks: Mapping[Symbol, Tensor] | None = None,
    observer: Observer | None = None,
    t: int = 0,
) -> tuple[list[Tensor], list[Tensor]]:
    """One step: input ``[N, ·]``, its products ``[N, G * H]``, states ``[N, ·]``, masks ``[N, ·]``.

    An observer is told that it is step t.

    Returns:
        The new states and what the program exposes.
    """
    values: dict[Symbol, Any] = {INPUT: x, **(masks or {})}
    if program.gates:
        values.update(zip(program.gates, gates.chunk(len(program.gates), dim=-1), strict=True))
    values.update(zip([state.previous for state in program.states], states, strict=True))
    if weights.vectors is not None:
        shared = weights.vectors.chunk(len(program.vectors))
        for vector, numbers in zip(program.vectors, shared, strict=True):
            values[vector.symbol] = numbers if vector.learned else numbers.detach()
    rows = {"U": weights.recurrent, "P": weights.projection}
    biases = {"U": weights.recurrent_bias, "P": None}
    for instruction in program.instructions:
        if isinstance(instruction, Product):
            blocks = program.rows(instruction.matrix)
            matrix, bias = rows[instruction.matrix], biases[instruction.matrix]
            assert matrix is not None
            block = blocks.index(instruction.gate)
            operand = values[instruction.operand]
            result = _multiply(
                operand,
                matrix.chunk(len(blocks))[block],
                None if bias is None else bias.chunk(len(blocks))[block],
            )
            if observer is not None:
                result = observer.product(t, instruction, operand, result)
            values[instruction.symbol] = result
        else:
            values[instruction.symbol] = evaluate(
                instruction.expression, values.__getitem__, _OPERATIONS
            )
    sizes = sizes_of(weights)
    new = [values[state.new] for state in program.states]
    exposed = [
        _full(values[symbol], (len(x), sizes[symbol.space]), x) for symbol in program.exposed
    ]
    new = [_full(v, old.shape, old) for v, old in zip(new, states, strict=True)]
    return new if observer is None else observer.step(t, states, values, new), exposed


def _full(value: Any, shape: Sequence[int], like: Tensor) -> Tensor:
    """A value of the step, which may be a number, as a tensor."""
    return like.new_full(shape, value) if isinstance(value, float) else value.expand(shape)


def sizes_of(weights: Weights) -> dict[Space, int]:
    """How many numbers a vector of each kind has."""
    return {Space.HIDDEN: weights.hidden_size, Space.PROJECTED: weights.output_size}


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
    noise: Noise | None = None,
    direction: int = 0,
    observer: Observer | None = None,
) -> LayerResult:
    """All steps of one direction.

    Args:
        program: the cell's program.
        x: input ``[T, N, input_size]``.
        initial: for each state ``[N, ·]``.
        weights: the direction's parameters.
        lengths: ``[N]``, on x's device; a row has no steps at or after its length.
        reverse: from the last step to the first.
        reset: ``[T, N]``, of bools: where a row's step and the one before it are cut apart.
        noise: of the program's masks, if it has any.
        direction: which one this is, for the noise.
        observer: who looks at every step.
    """
    # All steps at once: backward of an index would fill a tensor of full length for every step.
    xs: Sequence[Tensor] = x.unbind()
    if observer is None:
        all_gates: Sequence[Tensor] = linear(x, weights.input, weights.input_bias).unbind()
    else:
        xs = observer.begin(Setting(program, weights, initial, lengths, reset, reverse), x)
        all_gates = [linear(own, weights.input, weights.input_bias) for own in xs]
    states = list(initial)
    found: list[list[Tensor]] = []  # for each step the output and what is exposed
    sizes = sizes_of(weights)
    steps = range(x.shape[0])
    if reset is not None and lengths is not None:  # at or after a row's end they mean nothing
        reset = reset & (
            torch.arange(len(x), dtype=torch.int64, device=x.device).unsqueeze(-1) < lengths
        )
    for t in reversed(steps) if reverse else steps:
        cut = t + reverse  # in time, between this step and the one taken before it
        if reset is not None and 0 < cut < len(steps):
            here = reset[cut].unsqueeze(-1)
            states = [torch.where(here, a, b) for a, b in zip(initial, states, strict=True)]
        masks = noise.masks(program, t, direction, x.shape[1], sizes, x) if noise else {}
        new, exposed = step(program, xs[t], all_gates[t], states, weights, masks, observer, t)
        leaving = [new[0], *exposed]
        if lengths is not None:
            running = (t < lengths).unsqueeze(-1)
            new = [torch.where(running, a, b) for a, b in zip(new, states, strict=True)]
            leaving = [torch.where(running, a, torch.zeros_like(a)) for a in leaving]
        states = new
        found.append(leaving)
    if not found:  # empty, and still part of the graph
        widths = [weights.output_size, *(sizes[symbol.space] for symbol in program.exposed)]
        output, *exposed = [x[..., :1].expand(*x.shape[:-1], width) for width in widths]
        return LayerResult(output, states, exposed)
    if reverse:
        found.reverse()
    output, *exposed = [torch.stack(sequence) for sequence in zip(*found, strict=True)]
    return LayerResult(output, states, exposed)


def layer(
    program: Program,
    x: Tensor,
    initial: Sequence[Tensor],
    weights: Sequence[Weights],
    lengths: Tensor | None = None,
    batch_first: bool = False,
    reset: Tensor | None = None,
    noise: Noise | None = None,
    observers: Sequence[Observer | None] = (None, None),
) -> LayerResult:
    """All directions of one layer; states are ``[directions, N, ·]``, outputs side by side.

    The mask of resets is ``[T, N]`` whatever the order of x's dimensions.
    """
    if batch_first:
        x = x.transpose(0, 1)
    results = [
        run(
            program,
            x,
            [state[d] for state in initial],
            own,
            lengths,
            d == 1,
            reset,
            noise,
            d,
            observers[d],
        )
        for d, own in enumerate(weights)
    ]
    # per direction, to side by side
    sequences = zip(*([r.output, *r.exposed] for r in results), strict=True)
    output, *exposed = [torch.cat(of_all, dim=-1) for of_all in sequences]
    if batch_first:
        output, *exposed = [sequence.transpose(0, 1) for sequence in (output, *exposed)]
    last = [torch.stack(of_all) for of_all in zip(*(r.last for r in results), strict=True)]
    return LayerResult(output, last, exposed)
