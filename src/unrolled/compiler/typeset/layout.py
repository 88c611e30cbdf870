"""What is on the paper: names, signs and brackets, arranged. Every bracket is there explicitly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Node: TypeAlias = "Name | Number | Sign | Row | Fraction | Power | Root | Brackets | Apply | Cases"


@dataclass(frozen=True)
class Name:
    """A letter (or an upright word) with what hangs on it.

    Attributes:
        letter: a letter, a word, or the digits of a numbered name.
        accents: ``"tilde"``, ``"hat"``, ``"bar"`` or ``"prime"``, from the inside out.
        subscripts: as ``(r,)`` in W_r.
        time: 0 for a value of step t, -1 for one of the step before, None if it has no time.
    """

    letter: str
    accents: tuple[str, ...] = ()
    subscripts: tuple[Name, ...] = ()
    time: int | None = None


@dataclass(frozen=True)
class Number:
    """A number that is not negative: digits, perhaps times a power of ten."""

    digits: str
    exponent: int | None = None


@dataclass(frozen=True)
class Sign:
    """One of + − ∘ · < ≤ > ≥."""

    text: str


@dataclass(frozen=True)
class Row:
    """Things side by side; two without a sign between them are multiplied."""

    items: tuple[Node, ...]


@dataclass(frozen=True)
class Fraction:
    """One thing above another."""

    top: Node
    bottom: Node


@dataclass(frozen=True)
class Power:
    """A thing raised."""

    base: Node
    exponent: Node


@dataclass(frozen=True)
class Root:
    """The square root."""

    body: Node


@dataclass(frozen=True)
class Brackets:
    """``(…)``, ``[…]`` or ``|…|``, by the first of the two."""

    body: Node
    kind: str = "("


@dataclass(frozen=True)
class Apply:
    """A function by its printed name, and its arguments in brackets."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class Cases:
    """Values and their conditions, the last value without one."""

    branches: tuple[tuple[Node, Node], ...]
    otherwise: Node


def tall(node: Node) -> bool:
    """Whether brackets around it must grow."""
    match node:
        case Fraction() | Cases():
            return True
        case Row(items):
            return any(map(tall, items))
        case Apply(arguments=arguments):
            return any(map(tall, arguments))
        case Power(base=body) | Root(body) | Brackets(body=body):
            return tall(body)
    return False
