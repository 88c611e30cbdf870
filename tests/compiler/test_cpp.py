# ruff: noqa: N805 - a step has no self
"""The printed C++: the same text every time, and nothing in it that belongs to one cell."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
import sympy

from unrolled.cells import BUILTIN, Cell, sigmoid
from unrolled.compiler.build import builtin_source
from unrolled.compiler.cpp import _VectorPrinter, source
from unrolled.compiler.planning import plan
from unrolled.compiler.trace import trace

from .invented import INVENTED


def test_the_text_does_not_depend_on_the_process() -> None:
    """A build is reproducible: no order of sets or hashes reaches the text."""
    command = "from unrolled.compiler.build import builtin_source; print(builtin_source(), end='')"
    other = subprocess.run(
        [sys.executable, "-c", command],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "12345", "PATH": ""},
    )
    assert other.stdout == builtin_source()


def test_no_cells_name_is_in_the_code() -> None:
    """A name stands in comments and in strings, never in an identifier: every cell is a table."""
    code = re.sub(r'"(\\.|[^"\\])*"|//[^\n]*', "", builtin_source())
    for cell in BUILTIN:
        name = type(cell).__name__
        assert not re.search(rf"(?<![a-z]){name}(?![a-z])", code, re.IGNORECASE)


@pytest.mark.parametrize("cell", INVENTED, ids=lambda cell: cell.name)
def test_any_cell_prints(cell: Cell) -> None:
    text = source([plan(trace(cell))])
    assert "nan" not in text.lower()
    assert text.count("{") == text.count("}")


VALUES = {"a": 0.7, "b": -1.3, "c": 2.1}


@pytest.mark.parametrize(
    "expression",
    [
        "a + b*c",
        "1 - a",
        "a**2 - b",
        "a/b",
        "a/b**2",
        "-1/(a*b)",
        "-a/3 + c/7",
        "a*0.1 - (b + c)/(a - c)",
        "a*1e-20*1e20",
        "(a + b)**3/(c**2 + 1)",
    ],
)
def test_arithmetic(expression: str) -> None:
    """Every number is a float32 literal: a double would widen the vectors, or not compile."""
    value = sympy.sympify(expression)
    text = _VectorPrinter({}).doprint(value)
    literal = r"(?<![\w.])(\d+\.?\d*(e[+-]?\d+)?)"
    assert len(re.findall(literal, text)) == len(re.findall(literal + "f", text))
    plain = re.sub(literal + "f", r"\1", text)
    names = {f"{name}_": number for name, number in VALUES.items()}
    assert eval(plain, {}, names) == pytest.approx(float(value.subs(VALUES)))


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (sympy.sqrt(sympy.Symbol("a")), "power(a_, broadcast((1.0f / 2.0f)))"),
        (sympy.Function("clamp")(sympy.Symbol("a"), 0, 0.5), "clamp(a_, broadcast(0.0f), "),
        (sympy.Function("where")(sympy.Symbol("a"), 0, sympy.oo), "__builtin_inff())"),
    ],
    ids=str,
)
def test_functions_take_vectors(expression: Any, text: str) -> None:
    """A number among the arguments becomes a vector; so every function is there once."""
    assert text in _VectorPrinter({}).doprint(expression)


def test_a_local_may_be_called_like_a_word_of_cpp() -> None:
    class Greedy(Cell):
        def step(W: Any, U: Any, x: Any, h: Any) -> Any:
            double = sigmoid(W.a(x) + U.a(h))
            return double * h

    assert "const vec double_ =" in source([plan(trace(Greedy()))])
