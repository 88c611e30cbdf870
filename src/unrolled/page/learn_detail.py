"""One unit at one step: its equations with the numbers, and where its gradient comes from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..compiler.program import INPUT, Program, State
from ..compiler.typeset import mathml
from ..compiler.typeset.layout import Name
from ..compiler.typeset.names import Names, parse
from ..lens.gradients import gradients
from ..lens.recording import Step, recording
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
        jacobian: the norm ‖∂s_k+1/∂s_k‖ of the step that the gradient came back through; None at
            the loss's own step.
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
        arriving = dict(
            zip(states, [g[0, 0] for g in gradients(losses, step.after, [t])], strict=True)
        )
        backward: list[Dot] = []
        jacobian = None
        if k == t:
            error = scores[t, 0].softmax(0)
            error = error - torch.nn.functional.one_hot(network.targets[t], len(error))
            column = network.readout.weight[:, unit]
            backward = [_dot(f"∂ℓ/∂{states[0]}", column, error)]
        elif k < t:
            after = steps[k + 1].after
            came = gradients(losses, after, [t])
            ahead = torch.cat([gradient[0, 0] for gradient in came])
            slopes = _jacobian(steps[k + 1])
            jacobian = float(torch.linalg.matrix_norm(slopes, 2))
            hidden = network.setting.hidden
            backward = [
                _dot(f"∂ℓ/∂{name}", slopes[:, s * hidden + unit], ahead)
                for s, name in enumerate(states)
            ]
    gradient = {name: found.tolist() for name, found in arriving.items()}
    return Detail(equations, products, backward, gradient, jacobian)


def _jacobian(step: Step) -> Tensor:
    """∂(all states after)/∂(all states before), ``[S H, S H]``."""
    after = torch.cat([state[0] for state in step.after])
    rows = []
    for number in after:
        found = torch.autograd.grad(number, step.before, retain_graph=True, allow_unused=True)
        pairs = zip(found, step.before, strict=True)
        rows.append(torch.cat([torch.zeros_like(b) if g is None else g for g, b in pairs], 1)[0])
    return torch.stack(rows)


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
