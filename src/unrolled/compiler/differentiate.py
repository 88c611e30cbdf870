"""Differentiate: from a program to its adjoint, the program of one step backward.

Reverse accumulation over the instructions. Every function's derivative is named in terms of the
function's own value where that is possible, so that backward needs the values of the nonlinearities
and little else; the arithmetic between them is differentiated by sympy.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import sympy

from .program import (
    Assignment,
    Call,
    Expression,
    Product,
    Program,
    Space,
    Symbol,
    evaluate,
    symbols,
)

SympyExpression: TypeAlias = Any
Equation: TypeAlias = tuple[sympy.Symbol, SympyExpression]

DERIVATIVES: dict[str, Callable[[SympyExpression], SympyExpression]] = {
    "sigmoid": lambda value: value * (1 - value),
    "tanh": lambda value: 1 - value * value,
    "relu": lambda value: sympy.Function("positive")(value),
}
"""Derivative of each function, in terms of its value."""

NORMALIZE = "normalize"
"""The one function of a whole vector. Its derivative is applied, not multiplied by:
``normalize_adjoint(dy, v)``, of bare symbols, for y = normalize(v)."""

_OPERATIONS: dict[str, Callable[..., SympyExpression]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "negate": lambda a: -a,
    "identity": lambda a: a,
}


def function_of(assignment: Assignment) -> str | None:
    """The function at the top of an assignment, None where it is plain arithmetic."""
    expression = assignment.expression
    if isinstance(expression, Call) and expression.operation in {*DERIVATIVES, NORMALIZE}:
        return expression.operation
    return None


def argument_of(assignment: Assignment) -> Expression:
    """What the assignment's function is applied to; the whole right side for plain arithmetic."""
    expression = assignment.expression
    if function_of(assignment) is not None and isinstance(expression, Call):
        return expression.arguments[0]
    return expression


def to_sympy(expression: Expression) -> SympyExpression:
    """The arithmetic of an expression, in sympy's terms."""
    return sympy.sympify(evaluate(expression, lambda s: sympy.Symbol(s.name), _OPERATIONS))


@dataclass(frozen=True)
class Adjoint:
    """One step backward.

    Incoming are the adjoints of the new states (``D_h``: from the output, from the step after, and
    from the products that the step after made of the state); outgoing those of the gates, the
    products and, elementwise, the previous states.

    Attributes:
        equations: assignments in an order that can be run; right sides name values of the forward
            program, incoming adjoints, results of transposed products (``T_…``) and symbols above.
        incoming: for each state, the symbol of the adjoint of its new value.
        gates: for each gate's symbol, the adjoint of its input product.
        products: for each product's symbol, the adjoint of its result.
        outgoing: for each state, the elementwise part of its previous value's adjoint (0 if none).
        transposed: for each operand computed in the step, the symbol of its matrix's transpose
            times the adjoints of the products taken of it.
        spaces: which size each symbol's vector has.
    """

    equations: tuple[Equation, ...]
    incoming: dict[str, sympy.Symbol]
    gates: dict[Symbol, SympyExpression]
    products: dict[Symbol, SympyExpression]
    outgoing: dict[str, SympyExpression]
    transposed: dict[Symbol, sympy.Symbol]
    spaces: dict[sympy.Symbol, Space]

    def shares(self, gate: Symbol, product: Symbol) -> bool:
        """Whether gate and product have one adjoint: the step sees nothing but their sum."""
        return bool(self.gates[gate] == self.products[product])

    def __str__(self) -> str:
        lines = [f"{symbol} = {value}" for symbol, value in self.equations]
        lines += [f"adjoint of {symbol}: {value}" for symbol, value in self.gates.items()]
        lines += [f"adjoint of {symbol}: {value}" for symbol, value in self.products.items()]
        lines += [f"adjoint of {name} before: {value}" for name, value in self.outgoing.items()]
        return "\n".join(lines)


@cache
def differentiate(program: Program) -> Adjoint:
    """The adjoint of a program, by reverse accumulation."""
    adjoints: dict[Symbol, SympyExpression] = defaultdict(lambda: sympy.Integer(0))
    equations: list[Equation] = []
    spaces: dict[sympy.Symbol, Space] = {}

    def name(prefix: str, symbol: Symbol, value: SympyExpression) -> SympyExpression:
        """Give a value that will be used several times a symbol."""
        if value.is_Symbol or value.is_Number:
            return value
        named = sympy.Symbol(f"{prefix}_{symbol.name}")
        equations.append((named, value))
        spaces[named] = symbol.space
        return named

    incoming = {}
    for state in program.states:
        incoming[state.name] = sympy.Symbol(f"D_{state.name}")
        spaces[incoming[state.name]] = state.new.space
        adjoints[state.new] += incoming[state.name]

    previous = {state.previous for state in program.states}
    transposed: dict[Symbol, sympy.Symbol] = {}
    products: dict[Symbol, SympyExpression] = {}
    for instruction in reversed(program.instructions):
        if isinstance(instruction, Product):
            symbol, operand = instruction.symbol, instruction.operand
            products[symbol] = name("d", symbol, adjoints[symbol])
            if operand not in previous and operand not in transposed:
                transposed[operand] = sympy.Symbol(f"T_{operand.name}")
                spaces[transposed[operand]] = operand.space
                adjoints[operand] += transposed[operand]
            continue
        symbol = instruction.symbol
        adjoint = name("d", symbol, adjoints[symbol])
        function = function_of(instruction)
        if function == NORMALIZE:
            (normalized,) = symbols(argument_of(instruction))
            if adjoint != 0:
                applied = sympy.Function("normalize_adjoint")(
                    adjoint, sympy.Symbol(normalized.name)
                )
                adjoints[normalized] += name("p", symbol, applied)
            continue
        if function is not None:
            slope = DERIVATIVES[function](sympy.Symbol(symbol.name))
            adjoint = name("p", symbol, adjoint * slope)
        argument = to_sympy(argument_of(instruction))
        for used in dict.fromkeys(symbols(argument_of(instruction))):
            adjoints[used] += adjoint * sympy.diff(argument, sympy.Symbol(used.name))
    return Adjoint(
        equations=tuple(equations),
        incoming=incoming,
        gates={gate: adjoints[gate] for gate in program.gates},
        products={product.symbol: products[product.symbol] for product in program.products},
        outgoing={state.name: adjoints[state.previous] for state in program.states},
        transposed=transposed,
        spaces=spaces,
    )
