"""How terms are put together: signs, brackets where they are needed, ∘ between vectors."""

from __future__ import annotations

import fractions
import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TypeAlias

from .layout import Apply, Brackets, Fraction, Name, Node, Number, Power, Root, Row, Sign

FUNCTIONS = {
    "sigmoid": "σ",
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "elu": "ELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "sign": "sgn",
    "maximum": "max",
    "minimum": "min",
    "normal_cdf": "Φ",
    "normalize": "LayerNorm",
}
"""Functions whose printed names are not their own."""

_COMPARISONS = {"less": "<", "less_equal": "≤", "greater": ">", "greater_equal": "≥"}
# How firmly a thing holds together: what holds less firmly than its place asks for gets brackets.
CASES, SUM, PRODUCT, POWER, ATOM = range(5)


@dataclass(frozen=True)
class Part:
    """A piece of an equation, how firmly it holds together, and whether it is one number."""

    node: Node
    strength: int
    scalar: bool = False

    def at_least(self, strength: int) -> Node:
        """The node, in brackets if it holds together less firmly than that."""
        return self.node if self.strength >= strength else Brackets(self.node)


Terms: TypeAlias = list[tuple[bool, Part]]
"""A sum: of each term whether it is subtracted, and the term without its sign."""


def sum_of(terms: Terms) -> Part:
    """The terms in a row."""
    if len(terms) == 1 and not terms[0][0]:
        return terms[0][1]
    items: list[Node] = []
    for negative, part in terms:
        if items or negative:
            items.append(Sign("−" if negative else "+"))
        items.append(part.at_least(PRODUCT))
    return Part(Row(tuple(items)), SUM, all(part.scalar for _, part in terms))


def negated(terms: Terms) -> Terms:
    """The same with the other sign, as one term."""
    negative, part = single(terms)
    return [(not negative, part)]


def single(terms: Terms) -> tuple[bool, Part]:
    """One term with its sign; of a sum, the sum."""
    return terms[0] if len(terms) == 1 else (False, sum_of(terms))


def product_of(factors: list[tuple[bool, Part]]) -> tuple[bool, Part]:
    """Numbers first, then other scalars, then vectors; equal factors as a power."""
    negative = sum(sign for sign, _ in factors) % 2 == 1
    counted = Counter(part for _, part in factors if part.node != Number("1"))
    if not counted:
        return negative, number(1)
    powers = [part if count == 1 else power(part, number(count)) for part, count in counted.items()]
    scalars = [part for part in powers if part.scalar]
    scalars.sort(key=lambda part: not isinstance(part.node, Number))
    vectors = [part for part in powers if not part.scalar]
    items: list[Node] = []
    before: Part | None = None
    for part in (*scalars, *vectors):
        part = replace(part, node=part.at_least(PRODUCT))
        if before is not None:
            items += _between(before, part)
        items.append(part.node)
        before = part
    return negative, Part(Row(tuple(items)), PRODUCT, not vectors)


def _between(left: Part, right: Part) -> list[Node]:
    """The sign between two factors: ∘ between vectors; none after a scalar if that reads well."""
    if not left.scalar and not right.scalar:
        return [Sign("∘")]
    first = right.node.base if isinstance(right.node, Power) else right.node
    if isinstance(left.node, Name):  # q (1 - z) would be a function; two words would run together
        unclear = isinstance(first, Brackets) or _is_word(left.node) or _is_word(first)
    else:  # two numbers in a row would be one
        digits = isinstance(first, Number | Fraction) or _is_word(first)
        unclear = isinstance(left.node, Number) and digits
    return [Sign("·")] if unclear else []


def _is_word(node: Node) -> bool:
    return isinstance(node, Name) and len(node.letter) > 1


def quotient(top: tuple[bool, Part], bottom: tuple[bool, Part]) -> tuple[bool, Part]:
    """One above the other, which needs no brackets; the signs stand before it."""
    (negative, a), (other, b) = top, bottom
    part = Part(Fraction(a.node, b.node), POWER, a.scalar and b.scalar)
    return negative != other, part


def power(base: Part, exponent: Part) -> Part:
    """The exponent raised, or a root."""
    scalar = base.scalar and exponent.scalar
    if exponent.node == Number("0.5"):
        return Part(Root(base.node), ATOM, scalar)
    return Part(Power(base.at_least(ATOM), exponent.node), POWER, scalar)


def function(operation: str, arguments: list[Part]) -> Part:
    """A function's own notation, or its name and the arguments in brackets."""
    scalar = all(part.scalar for part in arguments)
    nodes = tuple(part.node for part in arguments)
    if operation in _COMPARISONS:
        left, right = (part.at_least(SUM) for part in arguments)
        comparison = Row((left, Sign(_COMPARISONS[operation]), right))
        return Part(Brackets(comparison, "["), ATOM, scalar)
    match operation:
        case "power":
            return power(*arguments)
        case "sqrt":
            return Part(Root(nodes[0]), ATOM, scalar)
        case "abs":
            return Part(Brackets(nodes[0], "|"), ATOM, scalar)
    return Part(Apply(FUNCTIONS.get(operation, operation), nodes), ATOM, scalar)


def number(value: float) -> Part:
    """Six digits, or the small fraction that it is."""
    text = f"{value:.6g}"
    if float(text) != value and math.isfinite(value):
        ratio = fractions.Fraction(value).limit_denominator(64)
        if ratio and float(ratio) == value:
            top, bottom = Number(str(ratio.numerator)), Number(str(ratio.denominator))
            return Part(Fraction(top, bottom), POWER, scalar=True)
    digits, _, exponent = text.replace("inf", "∞").partition("e")
    if exponent:
        return Part(Number(digits, int(exponent)), PRODUCT, scalar=True)
    return Part(Number(digits), ATOM, scalar=True)
