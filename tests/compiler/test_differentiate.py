"""The derived adjoint is autograd's, for every built-in cell and for cells that no paper has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from unrolled.cells import BUILTIN, GRU, LSTM, RNN, Cell, OriginalGRU
from unrolled.compiler.differentiate import differentiate
from unrolled.compiler.program import INPUT, Product, Program, Space, Symbol, evaluate
from unrolled.compiler.trace import trace
from unrolled.compiler.transforms import project

from .invented import INVENTED, cell_from, steps
from .options import PAIRS, varied
from .simulator import evaluate as evaluate_sympy

SIZES = {Space.HIDDEN: 5, Space.PROJECTED: 3}
PROGRAMS = [*map(trace, (*BUILTIN, *INVENTED)), project(trace(LSTM()))]

OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "negate": lambda a: -a,
    "power": lambda a, b: a**b,
    "less": lambda a, b: a < b,
    "less_equal": lambda a, b: a <= b,
    "greater": lambda a, b: a > b,
    "greater_equal": lambda a, b: a >= b,
    "where": lambda condition, a, b: torch.where(condition, *_together(a, b)),
    "minimum": lambda a, b: torch.minimum(*_together(a, b)),
    "maximum": lambda a, b: torch.maximum(*_together(a, b)),
    "clamp": lambda x, low, high: torch.clamp(*_together(x, low, high)),
    **{
        name: getattr(torch, name)
        for name in ("sigmoid", "tanh", "relu", "exp", "log", "sqrt", "sin", "cos", "abs", "sign")
    },
    **{name: getattr(functional, name) for name in ("leaky_relu", "elu", "gelu", "silu")},
    "normalize": lambda v: functional.layer_norm(v, v.shape),
    # torch's own is the identity above 20, which is 2e-9 away
    "softplus": lambda x: functional.softplus(x, threshold=50.0),
}


def _together(*values: Any) -> list[Tensor]:
    return [torch.as_tensor(value, dtype=torch.float64) for value in values]


def check(program: Program) -> None:
    """Evaluate the adjoint's equations for one step, and compare every one with autograd."""
    generator = torch.Generator().manual_seed(len(program.name))

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    # the step, with every product's result in hand
    values: dict[Symbol, Any] = {}
    leaves = [INPUT, *program.gates, *(state.previous for state in program.states)]
    leaves += [vector.symbol for vector in program.vectors if vector.learned]
    values.update({v.symbol: draw(SIZES[Space.HIDDEN]) for v in program.vectors})
    for symbol in leaves:
        values[symbol] = draw(SIZES[symbol.space]).requires_grad_()
    for mask in program.masks:
        values[mask.symbol] = draw(SIZES[mask.symbol.space]).abs()
    matrices: dict[tuple[str, str], Tensor] = {}
    for instruction in program.instructions:
        if isinstance(instruction, Product):
            shape = SIZES[instruction.symbol.space], SIZES[instruction.operand.space]
            key = instruction.matrix, instruction.gate
            matrix = matrices.setdefault(key, draw(*shape) / 2)
            result = matrix @ values[instruction.operand]
        else:
            result = evaluate(instruction.expression, values.__getitem__, OPERATIONS)
        values[instruction.symbol] = torch.as_tensor(result, dtype=torch.float64)
    incoming = {state.name: draw(SIZES[state.new.space]) for state in program.states}
    given_of = {symbol: draw(SIZES[symbol.space]) for symbol in program.exposed}
    loss = sum((values[s.new] * incoming[s.name]).sum() for s in program.states)
    loss = loss + sum((values[symbol] * given_of[symbol]).sum() for symbol in given_of)
    wanted = [*leaves, *(product.symbol for product in program.products)]
    found = torch.autograd.grad(loss, [values[s] for s in wanted], allow_unused=True)
    expected = dict(zip(wanted, found, strict=True))

    # the adjoint
    adjoint = differentiate(program)
    known: dict[str, Any] = {s.name: v.detach().numpy() for s, v in values.items()}
    known |= {adjoint.incoming[name].name: value.numpy() for name, value in incoming.items()}
    known |= {f"gradient_{symbol.name}": value.numpy() for symbol, value in given_of.items()}
    equations = {symbol.name: value for symbol, value in adjoint.equations}
    operands = {symbol.name: operand for operand, symbol in adjoint.transposed.items()}

    def value_of(expression: Any) -> Any:
        expression = sympy.sympify(expression)
        for symbol in expression.free_symbols:
            name = symbol.name
            if name in known:
                continue
            known[name] = (
                products_of(operands[name]) if name in operands else value_of(equations[name])
            )
        return evaluate_sympy(expression, known)

    def products_of(operand: Symbol) -> Any:
        """The products' part of an operand's adjoint."""
        total: Any = 0.0
        for product in program.products:
            if product.operand == operand:
                size = SIZES[product.symbol.space]
                adjoint_of = np.broadcast_to(value_of(adjoint.products[product.symbol]), size)
                matrix = matrices[product.matrix, product.gate]
                total = total + matrix.numpy().T @ adjoint_of
        return total

    elementwise = {**adjoint.gates, **adjoint.products, **adjoint.vectors, INPUT: adjoint.input}
    for symbol, expression in elementwise.items():
        compare(value_of(expression), expected[symbol])
    for state in program.states:
        total = value_of(adjoint.outgoing[state.name]) + products_of(state.previous)
        compare(total, expected[state.previous])


def compare(found: Any, expected: Tensor | None) -> None:
    wanted = np.zeros_like(found) if expected is None else expected.numpy()
    scale = max(1.0, float(np.abs(wanted).max()))
    np.testing.assert_allclose(found / scale, wanted / scale, rtol=0, atol=1e-12)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_the_adjoint_is_autograds(program: Program) -> None:
    check(program)


@settings(max_examples=60)
@given(source=steps())
def test_the_adjoint_of_a_random_cell_is_autograds(source: str) -> None:
    check(trace(cell_from(source)))


@pytest.mark.parametrize("words", PAIRS, ids="+".join)
@pytest.mark.parametrize("cell", [RNN(), LSTM(), GRU(), OriginalGRU()], ids=lambda c: c.name)
def test_the_adjoint_of_two_options_together_is_autograds(
    cell: Cell, words: tuple[str, ...]
) -> None:
    check(varied(cell, words))


@settings(max_examples=60)
@given(source=steps(), words=st.sampled_from(PAIRS))
def test_the_adjoint_of_a_random_cell_with_options_is_autograds(
    source: str, words: tuple[str, ...]
) -> None:
    check(varied(cell_from(source), words))


def test_backward_is_written_in_values_of_the_functions() -> None:
    """The derivative of σ and tanh is named by their value: forward need not keep the argument."""
    text = str(differentiate(trace(LSTM())))
    assert "p_o = d_o*o*(1 - o)" in text
    assert "p_g = d_g*(1 - g**2)" in text
    assert "exp" not in text
