"""Plans: a program and its adjoint laid out for the kernels.

A kernel walks over the steps and, in each, over *stages*: matrix products, then one elementwise
function over what they gave. A plan names the stages, what forward keeps for backward and where
every vector lives.

The *tape* is one array of vectors for each step: what forward leaves for backward. The *delta* is
the like array of adjoints, from which the gradients of all weights follow by large matrix products.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import sympy
from sympy.core.function import AppliedUndef

from .differentiate import Equation
from .program import Program, Space

ROW_WISE = ("normalize", "normalize_adjoint")
"""Functions of whole rows: their arguments are vectors that are in memory before the stage."""


class Place(Enum):
    """The home of a vector of one step."""

    TAPE = 0  # slot of the tape, at this step
    STATE = 1  # new value of a state
    PREVIOUS = 2  # its value before the step
    PRODUCT = 3  # result of a matrix product of this stage
    GATE = 4  # product of a gate with the input of this step
    BIAS = 5  # the same for all steps: a bias of each gate, then those of the recurrent products
    SCRATCH = 6  # from one stage to a later one
    GRADIENT = 7  # of the output (0), of slot k - 1 of the tape (k)
    CARRY = 8  # elementwise adjoint of a state, from the step after
    DELTA = 9  # slot of the delta, at this step
    DELTA_AFTER = 10  # the same, at the step after
    VECTOR = 11  # what all steps and rows share
    INPUT = 12  # x itself, at this step
    MASK = 13  # noise
    SUM = 14  # gradient of a vector: what is written is added


@dataclass(frozen=True)
class Location:
    """A place, and which vector of it."""

    place: Place
    index: int


@dataclass(frozen=True)
class Multiply:
    """Products of one operand, by consecutive row blocks of one matrix.

    Forward: results ``result``, ``result`` + 1, … are the blocks times the operand. Transposed: the
    one result gains the blocks' transpose times the operand, which is as many vectors long;
    ``state`` tells the state whose adjoint it belongs to, -1 if none.
    """

    operand: Location
    matrix: int
    row: int
    rows: int
    transposed: bool
    result: int
    state: int = -1


@dataclass
class Stage:
    """Products, then one elementwise function on vectors of one size."""

    space: Space
    multiplies: list[Multiply] = field(default_factory=list)
    equations: list[Equation] = field(default_factory=list)
    inputs: dict[str, Location] = field(default_factory=dict)
    outputs: list[tuple[Location, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Pass:
    """The stages of one step, and the sizes of what passes between them."""

    stages: tuple[Stage, ...]
    scratch: tuple[Space, ...]


@dataclass(frozen=True)
class Run:
    """Consecutive row blocks of a matrix whose adjoints are consecutive slots of the delta."""

    slot: int
    row: int
    count: int


@dataclass(frozen=True)
class Plan:
    """Everything that the kernels and their callers need to know of a program.

    Attributes:
        tape: size of each slot of the tape.
        delta: size of each slot of the delta.
        kept: for each state, the slot of the tape that holds its sequence, -1 where only its
            present value is held; the output's is the output itself.
        forward, inference, backward: the passes; inference has no tape.
        gate_runs: the adjoints of the stacked input weights.
        matrix_runs: for each matrix, its operands and their adjoints.
        folded: pairs (row block of U, gate) whose biases act as one.
        biases: row blocks of U that have a bias of their own.
        exposed: slots of the tape that the caller gets, in the program's order.
        input_slot: slot of the delta that is x's own adjoint, -1 where x stands in products only.
    """

    program: Program
    tape: tuple[Space, ...]
    delta: tuple[Space, ...]
    kept: tuple[int, ...]
    forward: Pass
    inference: Pass
    backward: Pass
    gate_runs: tuple[Run, ...]
    matrix_runs: dict[str, tuple[tuple[Location, tuple[Run, ...]], ...]]
    folded: tuple[tuple[int, int], ...]
    biases: tuple[int, ...]
    input_slot: int
    exposed: tuple[int, ...]

    @property
    def row_wise(self) -> bool:
        """Whether some function needs a whole row, not one unit after the other."""
        passes = (self.forward, self.backward)
        stages = [stage for each in passes for stage in each.stages]
        return any(row_wise(value) for stage in stages for _, value in stage.equations)

    def as_json(self) -> dict[str, Any]:
        """The part of the plan that callers of the kernels need, in plain values."""
        return {
            "name": self.program.name,
            "tape": [space.value for space in self.tape],
            "exposed": list(self.exposed),
        }


def row_wise(value: Any) -> list[Any]:
    """The functions of whole rows in an expression of sympy's."""
    found = sympy.sympify(value).atoms(AppliedUndef)
    return sorted((f for f in found if f.func.__name__ in ROW_WISE), key=str)


def runs(pairs: Iterable[tuple[int, int]]) -> tuple[Run, ...]:
    """Join (slot, row) pairs that follow each other in both."""
    runs: list[Run] = []
    for slot, row in sorted(pairs):
        last = runs[-1] if runs else None
        if last and (slot, row) == (last.slot + last.count, last.row + last.count):
            runs[-1] = Run(last.slot, last.row, last.count + 1)
        else:
            runs.append(Run(slot, row, 1))
    return tuple(runs)
