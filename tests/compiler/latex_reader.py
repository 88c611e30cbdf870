"""LaTeX equations read back into numbers: what a reader of the printed page would compute.

It knows the conventions of mathematics and nothing of how the equations were made: a power before
a matrix product before ∘ before a sum; what stands side by side is a number times something, or a
matrix times a vector, and nothing else.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

FUNCTIONS: dict[str, Any] = {
    r"\sigma": lambda a: 1 / (1 + np.exp(-a)),
    r"\tanh": np.tanh,
    r"\exp": np.exp,
    r"\log": np.log,
    r"\sin": np.sin,
    r"\cos": np.cos,
    r"\max": np.maximum,
    r"\min": np.minimum,
    r"\Phi": np.vectorize(lambda a: 0.5 * math.erfc(-a / math.sqrt(2)), otypes=[float]),
    r"\mathrm{ReLU}": lambda a: np.maximum(a, 0),
    r"\mathrm{LeakyReLU}": lambda a, slope=0.01: np.where(a > 0, a, slope * a),
    r"\mathrm{ELU}": lambda a, alpha=1.0: np.where(a > 0, a, alpha * np.expm1(np.minimum(a, 0))),
    r"\mathrm{GELU}": lambda a: a * FUNCTIONS[r"\Phi"](a),
    r"\mathrm{SiLU}": lambda a: a / (1 + np.exp(-a)),
    r"\mathrm{softplus}": lambda a: np.logaddexp(a, 0),
    r"\mathrm{sgn}": np.sign,
    r"\mathrm{LayerNorm}": lambda a: (a - a.mean()) / np.sqrt(a.var() + 1e-5),
}
_COMPARISONS = {"<": np.less, r"\le": np.less_equal, ">": np.greater, r"\ge": np.greater_equal}
_TOKEN = re.compile(r"\\begin\{cases\}|\\end\{cases\}|\\text\{.*?\}|\\[A-Za-z]+|\\\\|\d+\.?\d*|\S")


def lines(latex: str) -> list[tuple[str, str]]:
    """Left and right side of every equation of an ``aligned`` environment."""
    first, *body, last = latex.split("\n")
    assert (first, last) == (r"\begin{aligned}", r"\end{aligned}")
    found = []
    for number, line in enumerate(body):
        assert line.endswith(r" \\") == (number < len(body) - 1)
        left, right = line.removesuffix(r" \\").split(" &= ")
        found.append((left, right))
    return found


def read(latex: str, known: dict[str, Any]) -> dict[str, Any]:
    """The value of every left side; an equation may read what is known and what stands above it."""
    values: dict[str, Any] = {}
    for left, right in lines(latex):
        assert left not in known
        assert left not in values, f"{left} is said twice"
        values[left] = _Reader(right, {**known, **values}).all()
    return values


class _Reader:
    def __init__(self, text: str, known: dict[str, Any]) -> None:
        self.tokens: list[str] = [*_TOKEN.findall(text.replace(r"\,", "")), ""]
        self.known = known

    @property
    def next(self) -> str:
        return self.tokens[0]

    def take(self, *expected: str) -> str:
        token = self.tokens.pop(0)
        assert not expected or token in expected, f"{expected} expected, found {token!r}"
        return token

    def all(self) -> Any:
        value = self.sum()
        self.take("")
        return value

    def sum(self) -> Any:
        if self.next == "-":
            self.take()
            value = -self.term()
        else:
            value = self.term()
        while self.next in ("+", "-"):
            value = value + self.term() if self.take() == "+" else value - self.term()
        return value

    def term(self) -> Any:
        value = self.chain()
        while self.next == r"\circ":
            self.take()
            other = self.chain()
            assert np.ndim(value) == np.ndim(other) == 1, "∘ is a product of two vectors"
            value = value * other
        return value

    def chain(self) -> Any:
        """A row of numbers and matrices, and what they multiply."""
        value = self.power()
        if self.next == r"\cdot":
            self.take()
            assert np.ndim(value) == 0
            return value * self.chain()
        if self.next in (
            "",
            "+",
            "-",
            ")",
            "]",
            "}",
            ",",
            "&",
            "^",
            r"\circ",
            r"\\",
            *_COMPARISONS,
        ):
            return value
        if self.next in (r"\right", r"\rvert", r"\end{cases}"):
            return value
        if np.ndim(value) == 2:
            return self.chain_of_matrix(value)
        assert np.ndim(value) == 0, f"a vector beside {self.next!r}"
        return value * self.chain()

    def chain_of_matrix(self, matrix: Any) -> Any:
        value = self.power()
        assert np.ndim(value) == 1, "a matrix times a vector"
        return matrix @ value

    def power(self) -> Any:
        value = self.atom()
        if self.next == "^":
            self.take()
            value = np.float_power(value, self.group() if self.next == "{" else float(self.take()))
            assert self.next != "^", "two things raised"
        return value

    def group(self) -> Any:
        self.take("{")
        value = self.sum()
        self.take("}")
        return value

    def atom(self) -> Any:
        token = self.next
        if token == r"\left":
            self.take()
            return self.atom()
        if token in ("(", "["):
            self.take()
            value = self.comparison() if token == "[" else self.sum()
            self.close({"(": ")", "[": "]"}[token])
            return value
        if token == r"\lvert":
            self.take()
            value = self.sum()
            self.close(r"\rvert")
            return np.abs(value)
        if token == r"\frac":
            self.take()
            return np.divide(self.group(), self.group())
        if token == r"\sqrt":
            self.take()
            return np.sqrt(self.group())
        if token == r"\begin{cases}":
            return self.cases()
        if token == "{":
            return self.group()
        if token[0].isdigit():
            return float(self.take())
        name = self.name()
        if name in FUNCTIONS and self.next in ("(", r"\left"):
            return FUNCTIONS[name](*self.arguments())
        return self.known[name]

    def close(self, bracket: str) -> None:
        if self.next == r"\right":
            self.take()
        self.take(bracket)

    def arguments(self) -> list[Any]:
        if self.next == r"\left":
            self.take()
        self.take("(")
        values = [self.sum()]
        while self.next == ",":
            self.take()
            values.append(self.sum())
        self.close(")")
        return values

    def comparison(self) -> Any:
        left = self.sum()
        if self.next not in _COMPARISONS:
            return left
        return _COMPARISONS[self.take()](left, self.sum()) * 1.0

    def cases(self) -> Any:
        self.take(r"\begin{cases}")
        conditions, values = [], []
        while True:
            values.append(self.sum())
            self.take("&")
            if self.next == r"\text{otherwise}":
                self.take()
                self.take(r"\end{cases}")
                break
            self.take(r"\text{if }")
            conditions.append(self.comparison() != 0)
            self.take(r"\\")
        value = values.pop()
        for condition, other in zip(reversed(conditions), reversed(values), strict=True):
            value = np.where(condition, other, value)
        return value

    def name(self) -> str:
        """A name with its accents and indices, as it is spelled."""
        text = self.take()
        if text in (r"\mathrm", r"\tilde", r"\hat", r"\bar"):
            text += self.braces()
        while self.next == "'":
            text += self.take()
        if self.next == "_":
            text += self.take() + (self.braces() if self.next == "{" else self.take())
        return text

    def braces(self) -> str:
        text = self.take("{")
        while self.next != "}":
            text += self.braces() if self.next == "{" else self.take()
        return text + self.take("}")
