"""From a program to its equations: which there are, in which order, and how each is laid out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..program import (
    INPUT,
    Call,
    Constant,
    Expression,
    Program,
    Symbol,
    VectorKind,
    reads,
)
from .layout import Brackets, Cases, Name, Node, Row
from .names import Names, parse
from .terms import (
    ATOM,
    CASES,
    PRODUCT,
    Part,
    Terms,
    function,
    negated,
    number,
    product_of,
    quotient,
    single,
    sum_of,
)

_USUAL = {"leaky_relu": 0.01, "elu": 1.0}
"""Functions whose second argument is not printed where it has this value."""


@dataclass(frozen=True)
class Equation:
    """``left = right``."""

    left: Name
    right: Node


def equations(program: Program) -> tuple[Equation, ...]:
    """One equation for each value that the step names and each new state.

    They stand in the order of the step, except that each comes after those that it reads.
    Unnamed values are written where they are used.
    """
    return _Writer(program).equations()


class _Writer:
    def __init__(self, program: Program) -> None:
        self._names = Names(program)
        self._bias = program.bias
        self._shown = (*program.named, *(state.new for state in program.states))
        self._gates = frozenset(program.gates)
        self._products = {product.symbol: product for product in program.products}
        self._bodies = {a.symbol: a.expression for a in program.assignments}
        self._reads = {i.symbol: reads(i) for i in program.instructions}
        self._scalars = {v.symbol for v in program.vectors if v.kind is VectorKind.SCALAR}

    def equations(self) -> tuple[Equation, ...]:
        """All of them."""
        return tuple(
            Equation(self._names[symbol], sum_of(self._right_side(symbol)).node)
            for symbol in self._order()
        )

    def _order(self) -> list[Symbol]:
        """What is shown, in the step's order, but after what it reads."""
        done: dict[Symbol, None] = {}

        def visit(symbol: Symbol) -> None:
            if symbol not in done:
                for read in self._reads.get(symbol, ()):
                    visit(read)
                done[symbol] = None

        for symbol in self._shown:
            visit(symbol)
        return [symbol for symbol in done if symbol in self._shown]

    def _right_side(self, symbol: Symbol) -> Terms:
        """What a symbol stands for, written out."""
        if symbol in self._gates:
            bias = self._names.input_bias if self._bias else None
            return self._affine("W", symbol, self._names[INPUT], bias)
        if symbol in self._products:
            product = self._products[symbol]
            operand = sum_of(self._terms(product.operand)).at_least(ATOM)
            bias = self._names.recurrent_bias if product.bias else None
            return self._affine(product.matrix, symbol, operand, bias)
        body = self._bodies[symbol]
        # Two states that take over one value: the second is written as a copy of the first.
        while isinstance(body, Symbol) and isinstance(self._bodies.get(body), Symbol):
            body = self._bodies[body]
        return self._terms(body)

    def _affine(self, matrix: str, symbol: Symbol, operand: Node, bias: str | None) -> Terms:
        # The projection is the only one of its kind: it needs no index.
        gate = () if matrix == "P" else (parse(symbol.name.split("_", 1)[1]),)
        product = Part(Row((Name(matrix, subscripts=gate), operand)), PRODUCT)
        if bias is None:
            return [(False, product)]
        return [(False, product), (False, Part(Name(bias, subscripts=gate), ATOM))]

    def _terms(self, expression: Expression) -> Terms:
        match expression:
            case Symbol():
                if expression not in self._names:
                    return self._right_side(expression)
                scalar = expression in self._scalars
                return [(False, Part(self._names[expression], ATOM, scalar))]
            case Constant(value):
                return [(math.copysign(1, value) < 0, number(abs(value)))]
            case Call("add", (a, b)):
                return self._terms(a) + self._terms(b)
            case Call("subtract", (a, b)):
                return self._terms(a) + negated(self._terms(b))
            case Call("negate", (a,)):
                return negated(self._terms(a))
            case Call("multiply"):
                return [product_of([single(self._terms(f)) for f in self._factors(expression)])]
            case Call("divide", (a, b)):
                return [quotient(single(self._terms(a)), single(self._terms(b)))]
            case Call("expm1", (a,)):
                return [*self._terms(Call("exp", (a,))), (True, number(1))]
            case Call("where", arguments):
                return [(False, self._cases(arguments))]
            case Call(operation, (a, Constant(value))) if _USUAL.get(operation) == value:
                return [(False, function(operation, [sum_of(self._terms(a))]))]
            case Call("clamp", (a, low, high)):
                for operation, bound in (("maximum", low), ("minimum", high)):
                    if not (isinstance(bound, Constant) and math.isinf(bound.value)):
                        a = Call(operation, (a, bound))
                return self._terms(a)
            case Call(operation, arguments):
                return [(False, function(operation, [sum_of(self._terms(a)) for a in arguments]))]

    def _factors(self, expression: Expression) -> list[Expression]:
        while isinstance(expression, Symbol) and self._unnamed(expression):
            expression = self._bodies[expression]
        if isinstance(expression, Call) and expression.operation == "multiply":
            return [factor for a in expression.arguments for factor in self._factors(a)]
        return [expression]

    def _unnamed(self, symbol: Symbol) -> bool:
        return symbol in self._bodies and symbol not in self._names

    def _cases(self, arguments: tuple[Expression, ...]) -> Part:
        """A chain of ``where`` is one brace."""
        branches: list[tuple[Node, Node]] = []
        scalar = True
        while True:
            condition, value, otherwise = arguments
            part, test = sum_of(self._terms(value)), sum_of(self._terms(condition))
            branches.append((part.node, _unbracketed(test.node)))
            scalar = scalar and part.scalar and test.scalar
            while isinstance(otherwise, Symbol) and self._unnamed(otherwise):
                otherwise = self._bodies[otherwise]
            if not (isinstance(otherwise, Call) and otherwise.operation == "where"):
                last = sum_of(self._terms(otherwise))
                return Part(Cases(tuple(branches), last.node), CASES, scalar and last.scalar)
            arguments = otherwise.arguments


def _unbracketed(node: Node) -> Node:
    """A condition: a comparison that is a number stands in square brackets; here it is none."""
    return node.body if isinstance(node, Brackets) and node.kind == "[" else node
