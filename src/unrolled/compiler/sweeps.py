"""Sweeps: the equations of a stage, cut where one function waits for the value of another.

An exponential takes a processor some sixty cycles from end to end, but with others beside it only
ten: it goes on with the next vectors while it waits. It looks no more than about a hundred
instructions ahead, though, and a function of a function's value (the tanh of an LSTM's c) is
farther away. So a sweep over the units holds no more than one such function in a row, and keeps in
memory what a later one needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy
from sympy.core.function import AppliedUndef

from .differentiate import Equation
from .plan import ROW_WISE, Stage
from .program import COMPARISONS

_SHORT = {*COMPARISONS, *ROW_WISE, "abs", "clamp", "leaky_relu", "maximum", "minimum", "relu"}
_SHORT |= {"sign", "where"}
"""Functions that take a processor a few instructions."""


@dataclass(frozen=True)
class Sweep:
    """One sweep over the units of a stage.

    Attributes:
        inputs: the stage's inputs that it reads.
        found: values of earlier sweeps that it reads.
        equations: what it computes, in order.
        kept: its values that a later sweep reads.
        outputs: the stage's outputs that it writes; all are the last one's, since an output may
            take the place of an input that an earlier sweep reads.
    """

    inputs: list[str]
    found: list[str]
    equations: list[Equation]
    kept: list[str]
    outputs: list[str]


def sweeps(stage: Stage) -> list[Sweep]:
    """The stage's sweeps. A value is computed as late as those who read it allow.

    So few are handed on: a function that only the last sweep needs is computed there, however early
    it could be.
    """
    last = max([1, *_waits(stage.equations).values()]) - 1
    outputs = [name for _, name in stage.outputs]
    home = _homes(stage.equations, last)
    parts = [[e for e in stage.equations if home[e[0].name] == k] for k in range(last + 1)]
    read = [{name for _, value in part for name in _names(value)} for part in parts]
    read[last].update(outputs)
    return [
        Sweep(
            inputs=[name for name in stage.inputs if name in read[k]],
            found=[name for name in home if home[name] < k and name in read[k]],
            equations=part,
            kept=[s.name for s, _ in part if any(s.name in later for later in read[k + 1 :])],
            outputs=outputs if k == last else [],
        )
        for k, part in enumerate(parts)
    ]


def _homes(equations: list[Equation], last: int) -> dict[str, int]:
    """The number of the sweep that computes a value."""
    waits = _waits(equations)
    ahead: dict[str, int] = {}  # long functions that wait for a value, in a row
    first_read: dict[str, int] = {}  # the sweep in which it is read first
    home: dict[str, int] = {}
    for symbol, value in reversed(equations):
        name = symbol.name
        own = last - ahead.get(name, 0)
        if not waits[name]:  # of inputs only: nothing is in its way
            own = first_read.get(name, last)
        home[name] = own
        for operand in _names(value):
            ahead[operand] = max(ahead.get(operand, 0), ahead.get(name, 0) + _is_long(value))
            first_read[operand] = min(first_read.get(operand, last), own)
    return {symbol.name: home[symbol.name] for symbol, _ in equations}


def _waits(equations: list[Equation]) -> dict[str, int]:
    """For each value the long functions that it waits for, in a row, its own included."""
    waits: dict[str, int] = {}
    for symbol, value in equations:
        before = max((waits.get(name, 0) for name in _names(value)), default=0)
        waits[symbol.name] = before + _is_long(value)
    return waits


def _is_long(value: Any) -> bool:
    expression = sympy.sympify(value)
    called = {call.func.__name__ for call in expression.atoms(AppliedUndef)}
    powers = expression.atoms(sympy.Pow)
    return bool(called - _SHORT) or any(not power.exp.is_Integer for power in powers)


def _names(value: Any) -> set[str]:
    return {symbol.name for symbol in sympy.sympify(value).free_symbols}
