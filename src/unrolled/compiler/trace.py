"""Trace: run a cell's step on symbols and write down what it does."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import cache
from types import FrameType
from typing import Any

from ..cells import Cell
from .operations import read_by_backward
from .program import (
    COMPARISONS,
    INPUT,
    Assignment,
    Call,
    Constant,
    Expression,
    Instruction,
    Product,
    Program,
    State,
    Symbol,
    Vector,
    VectorKind,
    is_arithmetic,
)
from .traced import Traced, TraceError, expression_of

# What the compiler itself calls products, adjoints and what passes between steps.
_RESERVED = re.compile(
    r"(W|U|P|V|s|K|M|D|T|d|p\d?|gain|shift|product|gate|bias|vector|delta|sum|carry|leaving|gradient)"
    r"_|(gradient|x)$"
)


def _check_name(weights: str, name: str) -> None:
    """Names end up in C++, in formulas and in the names of parameters."""
    if not name.isidentifier():
        raise TraceError(
            f"the name after {weights}. must be made of letters, digits and _, got {name!r}"
        )


class _Vectors:
    """V and s: weights that are looked up by name, not applied."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.symbols: dict[str, Symbol] = {}

    def __getattr__(self, name: str) -> Traced:
        if name.startswith("__"):  # what Python itself asks for
            raise AttributeError(name)
        _check_name(self._prefix, name)
        return Traced(self.symbols.setdefault(name, Symbol(f"{self._prefix}_{name}")))


class _Input:
    """W: a gate's product with x."""

    def __init__(self, x: Traced) -> None:
        self._x = x
        self.gates: list[Symbol] = []

    def __getattr__(self, gate: str) -> Callable[[Any], Traced]:
        def product(x: Any) -> Traced:
            _check_name("W", gate)
            if x is not self._x:
                raise TraceError(
                    f"W.{gate} takes the input x; for a state or a value write U.{gate}"
                )
            symbol = Symbol(f"W_{gate}")
            if symbol not in self.gates:
                self.gates.append(symbol)
            return Traced(symbol)

        return product


class _Recurrent:
    """U: a gate's product with a state or with something computed in the step."""

    def __init__(self) -> None:
        self.operands: dict[str, Traced] = {}

    def __getattr__(self, gate: str) -> Callable[[Any], Traced]:
        def product(operand: Any) -> Traced:
            _check_name("U", gate)
            if not isinstance(operand, Traced):
                raise TraceError(f"U.{gate} takes a vector, got {type(operand).__name__}")
            if operand.expression == INPUT:
                raise TraceError(
                    f"U.{gate} takes a state or a value; for the input x write W.{gate}"
                )
            if gate in self.operands and self.operands[gate].expression != operand.expression:
                raise TraceError(f"U.{gate} is applied to two different vectors in one step")
            self.operands[gate] = operand
            return Traced(Symbol(f"U_{gate}"))

        return product


_ADVICE = "a step is made of + - * / **, comparisons in where(), and functions of unrolled.cells"


@cache
def trace(cell: Cell) -> Program:
    """The program of a cell's step.

    Raises:
        TraceError: if the step does something that is not an equation; names file and line.
    """
    x = Traced(INPUT)
    W, U, V, s = _Input(x), _Recurrent(), _Vectors("V"), _Vectors("s")
    constants = {
        name: Symbol(f"K_{name}")
        for name, value in cell.choices.items()
        if isinstance(value, tuple)
    }
    traced = {name: Traced(symbol) for name, symbol in constants.items()}
    weights = {"W": W, "U": U, "V": V, "s": s, "K": traced}
    previous = {name: Symbol(f"{name}_previous") for name in cell.states}
    try:
        outputs, names = _run(cell, weights, x, previous)
        expressions = [expression_of(output) for output in outputs]
        if len(expressions) != len(cell.states):
            raise TraceError(
                f"{type(cell).__name__}.step returns {len(expressions)} values, expected the "
                f"{len(cell.states)} states {', '.join(cell.states)}"
            )
        writer = _Writer(U.operands, names, set(previous.values()))
        writer.multiply_all()
        new = [
            writer.assign_state(expression, name)
            for name, expression in zip(cell.states, expressions, strict=True)
        ]
        vectors = [
            Vector(symbol, kind)
            for kind, symbols in (
                (VectorKind.UNIT, V.symbols),
                (VectorKind.SCALAR, s.symbols),
                (VectorKind.CONSTANT, constants),
            )
            for symbol in symbols.values()
        ]
        if not (W.gates or U.operands or vectors):
            raise TraceError(f"{type(cell).__name__}.step uses no weight: none of W, U, V and s")
    except TraceError as error:
        raise TraceError(f"{_where(cell, error)}: {error}") from None
    except (TypeError, AttributeError) as error:  # an operator, a method that we do not have
        raise TraceError(f"{_where(cell, error)}: {error}; {_ADVICE}") from error
    return Program(
        name=cell.name,
        gates=tuple(W.gates),
        instructions=tuple(writer.instructions),
        states=tuple(
            State(name, previous[name], symbol)
            for name, symbol in zip(cell.states, new, strict=True)
        ),
        vectors=tuple(vectors),
        named=tuple(symbol for symbol in writer.named() if symbol not in new),
    )


def _run(
    cell: Cell, weights: dict[str, Any], x: Traced, previous: dict[str, Symbol]
) -> tuple[tuple[Any, ...], dict[Expression, str]]:
    """Run the step; also tell which of its local names stands for which expression."""
    code = type(cell).step.__code__
    local: dict[str, Any] = {}

    def watch(frame: FrameType, event: str, _: Any) -> None:
        if event == "return" and frame.f_code is code:
            local.update(frame.f_locals)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        outputs = cell(weights, x, *(Traced(symbol) for symbol in previous.values()))
    finally:
        sys.setprofile(before)
    names: dict[Expression, str] = {}
    for name, value in local.items():
        if isinstance(value, Traced) and _can_be_named(value.expression):
            names.setdefault(value.expression, name)
    return outputs, names


def _can_be_named(expression: Expression) -> bool:
    """Whether the step computes it: its own arguments and numbers it does not."""
    if isinstance(expression, Symbol):
        return expression.name.startswith(("W_", "U_"))
    return isinstance(expression, Call)


def _where(cell: Cell, error: Exception) -> str:
    """File and line of the step that raised."""
    code = type(cell).step.__code__
    line = code.co_firstlineno
    at = error.__traceback__
    while at is not None:
        if at.tb_frame.f_code is code:
            line = at.tb_lineno
        at = at.tb_next
    return f"{code.co_filename}:{line}"


class _Writer:
    """Turns expressions into instructions; equal expressions become one symbol."""

    def __init__(
        self, operands: dict[str, Traced], names: dict[Expression, str], taken: set[Symbol]
    ) -> None:
        self._operands = operands
        self._results = {Symbol(f"U_{gate}") for gate in operands}
        self._names = names
        self._taken = {symbol.name for symbol in taken}
        self._written: dict[Expression, Symbol] = {}
        self._products: set[str] = set()
        self._states: set[Symbol] = set()
        self.instructions: list[Instruction] = []

    def multiply_all(self) -> None:
        """Write the products in the order in which the step names them: it is that of the rows."""
        for gate in self._operands:
            self._multiply(Symbol(f"U_{gate}"))

    def named(self) -> list[Symbol]:
        """Symbols written under a name of the step's, in the order of its names."""
        return [self._written[e] for e in self._names if e in self._written]

    def assign(self, expression: Expression, name: str | None = None) -> Symbol:
        """Write what computes an expression, and the symbol that then holds it."""
        if expression in self._written:
            return self._written[expression]
        body = self._flatten(expression, top=True)
        chosen = self._names.get(expression)
        if isinstance(body, Symbol) and name is None and chosen is None:
            return body
        symbol = Symbol(self._unused(chosen or name or "v"))
        self._written[expression] = symbol
        self.instructions.append(Assignment(symbol, body))
        return symbol

    def assign_state(self, expression: Expression, name: str) -> Symbol:
        """Write a state's new value; every state has a symbol of its own, even where two agree."""
        symbol = self.assign(expression, name)
        if symbol in self._states:
            copy = Symbol(self._unused(name))
            self.instructions.append(Assignment(copy, symbol))
            symbol = copy
        self._states.add(symbol)
        return symbol

    def _flatten(self, expression: Expression, top: bool = False) -> Expression:
        """Replace named values, functions and products inside by their symbols."""
        if isinstance(expression, Constant):
            return expression
        if isinstance(expression, Symbol):
            if expression in self._results:
                self._multiply(expression)
            return expression if top or expression not in self._names else self.assign(expression)
        if not top and (expression in self._names or not is_arithmetic(expression)):
            return self.assign(expression)
        if is_arithmetic(expression):
            return Call(expression.operation, tuple(map(self._flatten, expression.arguments)))
        read = read_by_backward(expression)
        pairs = zip(expression.arguments, read, strict=True)
        return Call(expression.operation, tuple(self._argument(a, r) for a, r in pairs))

    def _argument(self, expression: Expression, read: bool) -> Expression:
        """A function's argument; if backward reads it, it gets a symbol, so that it can be kept."""
        if isinstance(expression, Call) and expression.operation in COMPARISONS:
            sides = (self._argument(side, read) for side in expression.arguments)
            return Call(expression.operation, tuple(sides))
        if read and isinstance(expression, Call):
            return self.assign(expression)
        return self._flatten(expression)

    def _multiply(self, symbol: Symbol) -> None:
        gate = symbol.name.removeprefix("U_")
        if gate in self._products:
            return
        self._products.add(gate)
        operand = self.assign(self._operands[gate].expression)
        self.instructions.append(Product(symbol, "U", gate, operand))

    def _unused(self, name: str) -> str:
        name = f"v_{name}" if _RESERVED.match(name) else name
        number, candidate = 1, name
        while candidate in self._taken:
            number, candidate = number + 1, f"{name}{number + 1}"
        self._taken.add(candidate)
        return candidate


def name_in_step(symbol: Symbol) -> str:
    """The step's own name of a value, which got another one where that one was reserved."""
    name = symbol.name.removeprefix("v_")
    return name if _RESERVED.match(name) else symbol.name
