"""A cell's equations with the numbers of one unit and one step put in.

The equations are those that are printed; here their names become numbers.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from unrolled.cells.functions import FUNCTIONS
from unrolled.compiler.program import Product, Program
from unrolled.compiler.typeset import Equation, equations
from unrolled.compiler.typeset.layout import (
    Apply,
    Brackets,
    Cases,
    Fraction,
    Name,
    Node,
    Number,
    Power,
    Root,
    Row,
    Sign,
)
from unrolled.compiler.typeset.mathml import table
from unrolled.compiler.typeset.terms import FUNCTIONS as PRINTED

Line: TypeAlias = "tuple[Node | None, Node]"

_FUNCTIONS = {PRINTED.get(function.name, function.name): function for function in FUNCTIONS}


@dataclass(frozen=True)
class Point:
    """What the names of the equations stand for, in one unit at one step.

    Attributes:
        values: of states, gates, biases and vectors.
        products: of a matrix's row with its operand, by ``("U", gate)``, without the bias.
    """

    values: Mapping[Name, float]
    products: Mapping[tuple[str, Name], float]


def without_bias(program: Program) -> Program:
    """The program as a layer without biases runs it, for printing."""
    instructions = tuple(
        replace(i, bias=False) if isinstance(i, Product) else i for i in program.instructions
    )
    return replace(program, bias=False, instructions=instructions)


def written_out(program: Program, point: Point, unit: int, t: int) -> str:
    """The equations as MathML: each with numbers, functions of sums, and the result."""
    lines: list[Line] = []
    for equation in equations(program):
        lines += _lines(equation, point, unit, t)
    return table(lines)


def result(equation: Equation, point: Point) -> float:
    """What the right side of an equation comes to."""
    return _value(equation.right, point)


def _lines(equation: Equation, point: Point, unit: int, t: int) -> list[Line]:
    index = (*equation.left.subscripts, Name(str(t)), Name(str(unit)))
    left = replace(equation.left, subscripts=index, time=None)
    steps = [_bare(_put_in(equation.right, point)), _bare(_reduced(equation.right, point))]
    steps.append(_bare(number(_value(equation.right, point))))
    different = [step for k, step in enumerate(steps) if k == 0 or step != steps[k - 1]]
    return [(left if k == 0 else None, step) for k, step in enumerate(different)]


def number(value: float) -> Node:
    """Four decimals, or a power of ten where those would show nothing; negative in brackets."""
    size = abs(value)
    digits, _, exponent = (
        f"{size:.4f}" if size == 0 or 1e-4 <= size < 1e5 else f"{size:.2e}"
    ).partition("e")
    if size != size or size == float("inf"):
        digits, exponent = ("?" if size != size else "∞"), ""
    node: Node = Number(digits, int(exponent) if exponent else None)
    return Brackets(Row((Sign("−"), node))) if value < 0 else node


def _bare(node: Node) -> Node:
    """Without the brackets around a negative number that stands by itself."""
    match node:
        case Brackets(Row((Sign("−"), Number()))):
            return node.body
    return node


def _product(node: Node) -> tuple[str, Name] | None:
    """The key of a matrix product, if the node is one."""
    match node:
        case Row((Name("W" | "U" as matrix, (), (gate,), None), _)):
            return matrix, gate
    return None


def _put_in(node: Node, point: Point) -> Node:
    """The node with numbers for names."""
    again = partial(_put_in, point=point)
    key = _product(node)
    if key is not None:
        return number(point.products[key])
    match node:
        case Name():
            return number(point.values[node])
        case Row(items):
            return _row([again(item) for item in items])
    return _rebuilt(node, again)


def _reduced(node: Node, point: Point) -> Node:
    """The node with only functions of numbers left; without functions, its value."""
    again = partial(_reduced, point=point)
    match node:
        case Apply(function, arguments):
            return Apply(function, tuple(_bare(number(_value(a, point))) for a in arguments))
        case Row(items) if _has_function(node):
            return _row([item if isinstance(item, Sign) else again(item) for item in items])
        case _ if _has_function(node):
            return _rebuilt(node, again)
    return number(_value(node, point))


def _has_function(node: Node) -> bool:
    match node:
        case Apply():
            return True
        case Row(items):
            return _product(node) is None and any(map(_has_function, items))
        case Fraction(top, bottom):
            return _has_function(top) or _has_function(bottom)
        case Power(base, exponent):
            return _has_function(base) or _has_function(exponent)
        case Root(body) | Brackets(body):
            return _has_function(body)
    return False


def _value(node: Node, point: Point) -> float:
    return float(_evaluate(node, point))


def _evaluate(node: Node, point: Point) -> Tensor:
    """What a node comes to."""
    again = partial(_evaluate, point=point)
    key = _product(node)
    if key is not None:
        return _tensor(point.products[key])
    match node:
        case Name():
            return _tensor(point.values[node])
        case Number(digits, exponent):
            size = float("inf") if digits == "∞" else float(digits)
            return _tensor(size * 10.0 ** (exponent or 0))
        case Row(items):
            return _sum(items, point)
        case Fraction(top, bottom):
            return again(top) / again(bottom)
        case Power(base, exponent):
            return again(base) ** again(exponent)
        case Root(body):
            return again(body).sqrt()
        case Brackets(body, kind):
            return again(body).abs() if kind == "|" else again(body)
        case Apply(function, arguments):
            found: Tensor = _FUNCTIONS[function](*map(again, arguments))
            return found
        case Cases(branches, otherwise):
            return again(next((v for v, condition in branches if again(condition)), otherwise))
    raise AssertionError(node)


_COMPARISONS = {"<": operator.lt, "≤": operator.le, ">": operator.gt, "≥": operator.ge}


def _sum(items: Sequence[Node], point: Point) -> Tensor:
    """A row: terms with signs between them, each of factors; or a comparison of two."""
    for at, item in enumerate(items):
        if isinstance(item, Sign) and item.text in _COMPARISONS:
            left, right = _sum(items[:at], point), _sum(items[at + 1 :], point)
            return _tensor(float(_COMPARISONS[item.text](left, right)))
    total, sign, term = _tensor(0.0), 1, None
    for item in items:
        match item:
            case Sign("+" | "−" as text):
                total = total if term is None else total + sign * term
                sign, term = (1 if text == "+" else -1), None
            case Sign():
                pass
            case _:
                factor = _evaluate(item, point)
                term = factor if term is None else term * factor
    return total if term is None else total + sign * term


def _tensor(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64, device="cpu")


def _rebuilt(node: Node, change: Callable[[Node], Node]) -> Node:
    """The node of changed parts."""
    match node:
        case Fraction(top, bottom):
            return Fraction(_bare(change(top)), _bare(change(bottom)))
        case Power(base, exponent):
            return Power(change(base), _bare(change(exponent)))
        case Root(body):
            return Root(_bare(change(body)))
        case Brackets(body, kind):
            inside = change(body)
            return (
                inside
                if kind == "(" and isinstance(inside, Brackets | Number)
                else (Brackets(_bare(inside), kind))
            )
        case Apply(function, arguments):
            return Apply(function, tuple(_bare(change(argument)) for argument in arguments))
        case Cases(branches, otherwise):
            changed = tuple((_bare(change(a)), change(c)) for a, c in branches)
            return Cases(changed, _bare(change(otherwise)))
    return node


def _row(items: Sequence[Node]) -> Node:
    """Numbers side by side need a sign, and plus a negative number is minus."""
    found: list[Node] = []
    for item in items:
        if item == Sign("∘"):
            item = Sign("·")
        negative = item != _bare(item)
        if negative and (not found or found[-1] == Sign("+")):
            if found:
                found.pop()
            found += [Sign("−"), _bare(item).items[1]]  # type: ignore[union-attr]
            continue
        if found and not isinstance(item, Sign) and not isinstance(found[-1], Sign):
            found.append(Sign("·"))
        found.append(item)
    return found[0] if len(found) == 1 else Row(tuple(found))
