"""One unit at one step: its equations with the numbers, and where its gradient comes from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from unrolled.compiler.program import INPUT, Program, State
from unrolled.compiler.typeset import mathml
from unrolled.compiler.typeset.layout import Name
from unrolled.compiler.typeset.names import Names, parse
from unrolled.lens.gradients import gradients
from unrolled.lens.recording import Step, recording

from .worked import Network
from .written_out import Point, without_bias, written_out


@dataclass(frozen=True)
class Dot:
    """A product of a row with a vector, written out: ``name = Σ factors``.

    Attributes:
        name: what is multiplied.
        factors: pairs of numbers.
        value: their sum.
    """

    name: str
    factors: list[tuple[float, float]]
    value: float


@dataclass(frozen=True)
class Detail:
    """One unit at one step.

    Attributes:
        equations: with the numbers put in, as MathML.
        products: the matrix products in them.
        backward: how the loss's gradient at each of the unit's states comes about; empty after the
            loss's own step.
        gradient: ∂ℓ_t/∂s_k of the states s by their names, ``[H]`` each.
        jacobian: the spectral norm ‖∂s_k+1/∂s_k‖ of the step that the gradient came back through;
            None at the loss's own step, NaN where the slopes are no finite numbers.
    """

    equations: str
    products: list[Dot]
    backward: list[Dot]
    gradient: dict[str, list[float]]
    jacobian: float | None


def detail(network: Network, k: int, unit: int, t: int) -> Detail:
    """One unit at step k, and what arrives there of the loss at step t (all from 0)."""
    with recording(network, "learn", values=True) as recorder:
        scores = network(network.x)
        losses = network.loss(scores)
        (strand,) = recorder.strands.values()
        steps = strand.steps
        step = steps[k]
        point, products = _point(network, step, unit, k)
        program = _shown(network)
        equations = written_out(program, point, unit + 1, k + 1)
        states = [state.name for state in step.setting.program.states]
        arriving = gradients(losses, step.new, [t])
        handed = gradients(losses, step.after, [t])  # without what it does within its own step
        paths: list[tuple[Tensor, Tensor]] = [(scores.new_zeros(0), scores.new_zeros(0))]
        paths *= len(states)
        jacobian = None
        if k == t:
            error = scores[t, 0].softmax(0)
            error = error - one_hot(network.targets[t], len(error))
            paths[0] = network.readout.weight[:, unit], error
        elif k < t:
            ahead = torch.cat([g[0, 0] for g in gradients(losses, steps[k + 1].after, [t])])
            slopes = _jacobian(steps[k + 1])
            known = bool(slopes.isfinite().all())
            jacobian = torch.linalg.matrix_norm(slopes, 2).item() if known else math.nan
            hidden = network.setting.hidden
            paths = [(slopes[:, s * hidden + unit], ahead) for s in range(len(states))]
        backward = [
            _dot(f"∂ℓ/∂{name}", *_joined(path, _within(step, s, unit, handed)))
            for s, (name, path) in enumerate(zip(states, paths, strict=True))
            if k <= t
        ]
    gradients_of = zip(states, arriving, strict=True)
    gradient = {name: found[0, 0].tolist() for name, found in gradients_of}
    return Detail(equations, products, backward, gradient, jacobian)


def _jacobian(step: Step) -> Tensor:
    """∂(all states after)/∂(all states before), ``[S H, S H]``."""
    after = torch.cat([state[0] for state in step.after])
    return torch.stack([torch.cat(_slopes(number, step.before)) for number in after])


def _within(step: Step, state: int, unit: int, handed: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The slopes by one unit of a state of the other states of the same step, and what they get.

    The LSTM's h is made of the new c: a loss reaches c through it.
    """
    others = [s for s in range(len(step.after)) if s != state]
    if not others:
        return step.x.new_zeros(0), step.x.new_zeros(0)
    rows = [
        _slopes(number, [step.new[state]])[0][unit] for s in others for number in step.after[s][0]
    ]
    slopes = torch.stack(rows)
    found = torch.cat([handed[s][0, 0] for s in others])
    return slopes, found


def _slopes(number: Tensor, by: Sequence[Tensor]) -> list[Tensor]:
    """The gradient of one number by tensors ``[1, H]``, as ``[H]``; zero where there is none."""
    varying = [tensor for tensor in by if tensor.requires_grad] if number.requires_grad else []
    found = iter(
        torch.autograd.grad(number, varying, retain_graph=True, allow_unused=True)
        if varying
        else ()
    )
    slopes = [next(found) if any(tensor is v for v in varying) else None for tensor in by]
    return [
        torch.zeros_like(tensor[0]) if slope is None else slope[0]
        for slope, tensor in zip(slopes, by, strict=True)
    ]


def _joined(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return torch.cat([a[0], b[0]]), torch.cat([a[1], b[1]])


def _dot(name: str, row: Tensor, column: Tensor) -> Dot:
    return Dot(name, list(zip(row.tolist(), column.tolist(), strict=True)), (row @ column).item())


def _shown(network: Network) -> Program:
    program = network.layer.program
    return program if network.setting.bias else without_bias(program)


def equations_of(network: Network) -> str:
    """The cell's equations as MathML."""
    return mathml(_shown(network))


def _point(network: Network, step: Step, unit: int, k: int) -> tuple[Point, list[Dot]]:
    """What the equations' names stand for in one unit, and the products among them."""
    setting, program = step.setting, step.setting.program
    known = Names(program)
    values = {known[state.previous]: old for state, old in _pairs(program, step.before)}
    values |= {known[state.new]: new for state, new in _pairs(program, step.after)}
    values |= {known[symbol]: step.values[symbol] for symbol in program.named}
    if setting.weights.vectors is not None:
        each = setting.weights.vectors.chunk(len(program.vectors))
        values |= {known[v.symbol]: n[None] for v, n in zip(program.vectors, each, strict=True)}
    numbers = {name: value[0, unit].item() for name, value in values.items()}
    numbers[known[INPUT]] = step.x[0, unit].item() if program.reads_input else float("nan")

    products, dots = {}, []
    hidden, weights = network.setting.hidden, setting.weights
    inputs = [(g.name.removeprefix("W_"), step.x) for g in program.gates]
    operands = {m.product.gate: m.operand for m in step.products}
    recurrent = [(gate, operands[gate]) for gate in program.rows("U")]
    for letter, bias_letter, pairs, matrix, bias in (
        ("W", known.input_bias, inputs, weights.input, weights.input_bias),
        ("U", known.recurrent_bias, recurrent, weights.recurrent, weights.recurrent_bias),
    ):
        for block, (gate, operand) in enumerate(pairs):
            row = block * hidden + unit
            dot = _dot(f"{letter}.{gate}", matrix[row], operand[0])
            products[letter, parse(gate)] = dot.value
            dots.append(dot)
            if bias is not None:
                numbers[Name(bias_letter, subscripts=(parse(gate),))] = bias[row].item()
    return Point(numbers, products), dots


def _pairs(program: Program, tensors: Sequence[Tensor]) -> Iterator[tuple[State, Tensor]]:
    return zip(program.states, tensors, strict=True)
