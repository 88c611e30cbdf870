"""Programs: a cell's step in a straight line, as tracing yields it and all later verbs read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

Expression: TypeAlias = "Symbol | Constant | Call"


class Space(Enum):
    """The size of a vector: one of a layer's."""

    HIDDEN = "hidden"
    PROJECTED = "projected"


@dataclass(frozen=True)
class Symbol:
    """A named vector of the step: a gate's product, a previous state, or an assigned value."""

    name: str
    space: Space = Space.HIDDEN

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Constant:
    """A number."""

    value: float

    def __str__(self) -> str:
        return f"{self.value:g}"


@dataclass(frozen=True)
class Call:
    """An elementwise operation on expressions."""

    operation: str
    arguments: tuple[Expression, ...]

    def __str__(self) -> str:
        infix = _INFIX.get(self.operation)
        if infix is None:
            return f"{self.operation}({', '.join(map(str, self.arguments))})"
        sign, strength = infix
        texts = []
        for place, argument in enumerate(self.arguments):
            inner = _INFIX.get(argument.operation) if isinstance(argument, Call) else None
            # a - (b + c), a / (b * c): the right side of what does not commute keeps its brackets,
            # as the left side of a power does
            loose = inner is not None and (
                inner[1] < strength
                or (inner[1] == strength and ((place > 0 and sign in "-/") or sign == "**"))
            )
            texts.append(f"({argument})" if loose else str(argument))
        return f" {sign} ".join(texts) if len(texts) > 1 else f"{sign}{texts[0]}"


_INFIX = {
    "less": ("<", 0),
    "less_equal": ("<=", 0),
    "greater": (">", 0),
    "greater_equal": (">=", 0),
    "add": ("+", 1),
    "subtract": ("-", 1),
    "negate": ("-", 1),
    "multiply": ("*", 2),
    "divide": ("/", 2),
    "power": ("**", 3),
}

COMPARISONS = frozenset({"less", "less_equal", "greater", "greater_equal"})
"""Operations whose results are no numbers: they stand in the first argument of ``where`` only."""

ARITHMETIC = frozenset(_INFIX) - COMPARISONS - {"power"}
"""Operations that may stand anywhere in an expression: sympy differentiates them."""

_FACTORS = 8  # of the largest power that is a product


def is_arithmetic(call: Call) -> bool:
    """Whether a call may stand anywhere in an expression, and is differentiated by sympy.

    A power with a small whole exponent may: it is a product. Other operations are functions.
    """
    if call.operation != "power":
        return call.operation in ARITHMETIC
    exponent = call.arguments[1]
    return (
        isinstance(exponent, Constant)
        and exponent.value.is_integer()
        and abs(exponent.value) <= _FACTORS
    )


@dataclass(frozen=True)
class Assignment:
    """``symbol = expression``; a function stands only at an expression's top.

    Where the function is ``where``, a comparison is its first argument.
    """

    symbol: Symbol
    expression: Expression

    def __str__(self) -> str:
        return f"{self.symbol} = {self.expression}"


@dataclass(frozen=True)
class Product:
    """``symbol = matrix[gate] @ operand (+ its bias)``: a matrix product inside the step."""

    symbol: Symbol
    matrix: str
    gate: str
    operand: Symbol
    bias: bool = True

    def __str__(self) -> str:
        bias = f" + bias {self.matrix}.{self.gate}" if self.bias else ""
        return f"{self.symbol} = {self.matrix}.{self.gate} @ {self.operand}{bias}"


class VectorKind(Enum):
    """The origin of a vector's numbers, which all steps and rows share."""

    UNIT = "unit"  # a weight for each unit
    SCALAR = "scalar"  # one weight, the same for all units
    CONSTANT = "constant"  # not learned
    BIAS = "bias"  # a gate's or product's bias that is not added to the product itself


@dataclass(frozen=True)
class Vector:
    """A vector of hidden size that is the same for all steps and rows."""

    symbol: Symbol
    kind: VectorKind

    @property
    def learned(self) -> bool:
        """Whether it has a gradient."""
        return self.kind is not VectorKind.CONSTANT


@dataclass(frozen=True)
class Mask:
    """Noise that the step multiplies by; its rate is given when it runs.

    Attributes:
        symbol: what it is called.
        every_step: whether it is drawn anew at every step, or once for a sequence.
        scaled: 0 with the rate's probability and else 1 / (1 - rate), which is 1 in evaluation
            (dropout); or 1 with that probability and else 0, which is the rate in evaluation
            (zoneout).
    """

    symbol: Symbol
    every_step: bool
    scaled: bool

    def mean(self, rate: float) -> float:
        """Its value in evaluation."""
        return 1.0 if self.scaled else rate


@dataclass(frozen=True)
class State:
    """A state: the symbol of its value before the step, and of the one after."""

    name: str
    previous: Symbol
    new: Symbol


Instruction: TypeAlias = "Assignment | Product"


@dataclass(frozen=True)
class Program:
    """One step of a cell.

    Attributes:
        name: what the program is called in messages, kernels and operators.
        gates: symbols of the input products W_g x + b_g, in the order of the stacked rows.
        instructions: recurrent products and assignments, in an order that can be run.
        states: the first one's new value is the output.
        vectors: per-unit weights, scalar weights and constants.
        masks: noise.
        named: values that the author gave a name and that are no state.
        exposed: values that the caller gets for every step; never the first state.
        bias: whether a bias is added to the input products; if not, to the recurrent ones neither.
        products: the matrix products inside the step.
        assignments: the elementwise part of the step.
        reads_input: whether x stands in the equations itself, with as many features as units.
    """

    name: str
    gates: tuple[Symbol, ...]
    instructions: tuple[Instruction, ...]
    states: tuple[State, ...]
    vectors: tuple[Vector, ...] = ()
    masks: tuple[Mask, ...] = ()
    named: tuple[Symbol, ...] = ()
    exposed: tuple[Symbol, ...] = ()
    bias: bool = True
    products: tuple[Product, ...] = field(init=False, repr=False, compare=False)
    assignments: tuple[Assignment, ...] = field(init=False, repr=False, compare=False)
    reads_input: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Once, and not as properties: every call of a layer asks.
        own, steps = object.__setattr__, self.instructions
        own(self, "products", tuple(i for i in steps if isinstance(i, Product)))
        own(self, "assignments", tuple(i for i in steps if isinstance(i, Assignment)))
        own(self, "reads_input", any(INPUT in reads(i) for i in steps))

    def matrix(self, name: str) -> tuple[Product, ...]:
        """The products of one matrix; two of one gate share its rows."""
        return tuple(product for product in self.products if product.matrix == name)

    def rows(self, name: str) -> tuple[str, ...]:
        """The gates of one matrix, in the order of its stacked rows."""
        return tuple(dict.fromkeys(product.gate for product in self.matrix(name)))

    @property
    def projected(self) -> bool:
        """Whether the output has a size of its own."""
        return self.states[0].new.space is Space.PROJECTED

    def __str__(self) -> str:
        lines = [f"{self.name}({', '.join(s.previous.name for s in self.states)}):"]
        for gate in self.gates:
            bias = f" + bias W.{_gate(gate)}" if self.bias else ""
            lines.append(f"    {gate} = W.{_gate(gate)} @ x{bias}")
        lines += [f"    {vector.symbol} = {vector.kind.value} vector" for vector in self.vectors]
        for mask in self.masks:
            often = "every step" if mask.every_step else "sequence"
            lines.append(f"    {mask.symbol} = mask for {often}")
        lines += [f"    {instruction}" for instruction in self.instructions]
        lines += [f"    return {', '.join(s.new.name for s in self.states)}"]
        return "\n".join(lines)


INPUT = Symbol("x")
"""The input itself, where it stands in the equations."""


def _gate(symbol: Symbol) -> str:
    return symbol.name.split("_", 1)[1]


def symbols(expression: Expression) -> Iterator[Symbol]:
    """Every symbol that an expression names, as often as it does."""
    if isinstance(expression, Symbol):
        yield expression
    elif isinstance(expression, Call):
        for argument in expression.arguments:
            yield from symbols(argument)


def reads(instruction: Instruction) -> list[Symbol]:
    """Every symbol that an instruction names on its right side."""
    if isinstance(instruction, Product):
        return [instruction.operand]
    return list(symbols(instruction.expression))


def evaluate(
    expression: Expression,
    values: Callable[[Symbol], Any],
    operations: dict[str, Callable[..., Any]],
) -> Any:
    """Compute an expression, given the value of each symbol and the meaning of each operation."""
    if isinstance(expression, Symbol):
        return values(expression)
    if isinstance(expression, Constant):
        return expression.value
    arguments = [evaluate(argument, values, operations) for argument in expression.arguments]
    return operations[expression.operation](*arguments)
