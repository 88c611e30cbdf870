"""Differentiate: from a program to its adjoint, the program of one step backward.

Reverse accumulation over the instructions. Functions have their rules in the table of operations;
the arithmetic between them is differentiated by sympy.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import sympy

from . import operations
from .program import (
    INPUT,
    Call,
    Constant,
    Expression,
    Product,
    Program,
    Space,
    Symbol,
    is_arithmetic,
    symbols,
)

SympyExpression: TypeAlias = Any
Equation: TypeAlias = tuple[sympy.Symbol, SympyExpression]

_OPERATIONS: dict[str, Callable[..., SympyExpression]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "negate": lambda a: -a,
    "power": lambda a, b: a ** sympy.Integer(int(b)),
}


def to_sympy(expression: Expression) -> SympyExpression:
    """An expression in sympy's terms; a function is one that sympy knows by name only."""
    if isinstance(expression, Symbol):
        return sympy.Symbol(expression.name)
    if isinstance(expression, Constant):
        # 1 * x is x, and 2 * (a + b) stays as it is: sympy multiplies out whole numbers
        number = expression.value
        return sympy.Integer(number) if number in (-1, 0, 1) else sympy.Float(number)
    arguments = map(to_sympy, expression.arguments)
    if is_arithmetic(expression):
        return _OPERATIONS[expression.operation](*arguments)
    return sympy.Function(expression.operation)(*arguments)


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
        vectors: for each learned vector, its adjoint at this step and row.
        input: x's adjoint, but for what goes through the gates' products (0 if none).
        transposed: for each operand computed in the step, the symbol of its matrix's transpose
            times the adjoints of the products taken of it.
        spaces: which size each symbol's vector has.
    """

    equations: tuple[Equation, ...]
    incoming: dict[str, sympy.Symbol]
    gates: dict[Symbol, SympyExpression]
    products: dict[Symbol, SympyExpression]
    outgoing: dict[str, SympyExpression]
    vectors: dict[Symbol, SympyExpression]
    input: SympyExpression
    transposed: dict[Symbol, sympy.Symbol]
    spaces: dict[sympy.Symbol, Space]

    def shares(self, gate: Symbol, product: Symbol) -> bool:
        """Whether gate and product have one adjoint: the step sees nothing but their sum."""
        return bool(self.gates[gate] == self.products[product])

    def __str__(self) -> str:
        lines = [f"{symbol} = {value}" for symbol, value in self.equations]
        lines += [f"adjoint of {symbol}: {value}" for symbol, value in self.gates.items()]
        lines += [f"adjoint of {symbol}: {value}" for symbol, value in self.products.items()]
        lines += [f"adjoint of {symbol}: {value}" for symbol, value in self.vectors.items()]
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

    def propagate(adjoint: SympyExpression, expression: Expression) -> None:
        """Add to the adjoints of what an expression of arithmetic names."""
        value = to_sympy(expression)
        for used in dict.fromkeys(symbols(expression)):
            adjoints[used] += adjoint * sympy.diff(value, sympy.Symbol(used.name))

    incoming = {}
    for state in program.states:
        incoming[state.name] = sympy.Symbol(f"D_{state.name}")
        spaces[incoming[state.name]] = state.new.space
        adjoints[state.new] += incoming[state.name]
    for symbol in program.exposed:
        given = sympy.Symbol(f"gradient_{symbol.name}")
        spaces[given] = symbol.space
        adjoints[symbol] += given

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
        if adjoint == 0:
            continue
        expression = instruction.expression
        if not isinstance(expression, Call) or is_arithmetic(expression):
            propagate(adjoint, expression)
            continue
        found = operations.adjoints(expression, Symbol(adjoint.name), symbol)
        for place, value in enumerate(found):
            if value is not None:
                prefix = f"p{place or ''}"
                propagate(name(prefix, symbol, to_sympy(value)), expression.arguments[place])
    return Adjoint(
        equations=tuple(equations),
        incoming=incoming,
        gates={gate: adjoints[gate] for gate in program.gates},
        products={product.symbol: products[product.symbol] for product in program.products},
        outgoing={state.name: adjoints[state.previous] for state in program.states},
        vectors={v.symbol: adjoints[v.symbol] for v in program.vectors if v.learned},
        input=adjoints[INPUT],
        transposed=transposed,
        spaces=spaces,
    )
