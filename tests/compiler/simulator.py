"""A plan carried out to the letter, one row of a batch at a time, in float64.

It is slow and has no cleverness: what it checks is the plan itself (which stage comes when, where
every vector lives and when its place is used again), without the engine. All memory begins as NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray

from unrolled.cells.functions import FUNCTIONS
from unrolled.compiler.plan import Location, Multiply, Pass, Place, Plan, Run, Stage
from unrolled.compiler.program import Space

Array = NDArray[np.float64]

_FUNCTIONS = {
    **{function.name: function for function in FUNCTIONS},
    "normalize": lambda v: _normalize(v)[0],
    "normalize_adjoint": lambda d, v: _normalize_adjoint(d, v),
    "power": np.power,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
}


def _normalize(v: Array) -> tuple[Array, float]:
    """A vector without its mean, in units of its deviation, and that unit's inverse."""
    scale = float((np.var(v) + 1e-5) ** -0.5)
    return (v - np.mean(v)) * scale, scale


def _normalize_adjoint(d: Array, v: Array) -> Array:
    y, scale = _normalize(v)
    return scale * (d - np.mean(d) - y * np.mean(d * y))


@cache
def _compiled(value: Any, names: tuple[str, ...]) -> Any:
    return sympy.lambdify([sympy.Symbol(name) for name in names], value, [_FUNCTIONS, "numpy"])


def evaluate(value: Any, known: dict[str, Any]) -> Any:
    """A sympy expression, with the values of its symbols."""
    value = sympy.sympify(value)
    names = tuple(sorted(s.name for s in value.free_symbols))
    return _compiled(value, names)(*(known[name] for name in names))


@dataclass
class Parameters:
    """Of one direction: W ``[G * H, X]``, b, U ``[R * H, S]``, c, P ``[S, H]``, V ``[K, H]``."""

    W: Array
    b: Array | None
    U: Array
    c: Array | None
    P: Array | None = None
    vectors: Array | None = None

    @property
    def sizes(self) -> dict[Space, int]:
        hidden = self.U.shape[1] if self.P is None else self.P.shape[1]
        return {Space.HIDDEN: hidden, Space.PROJECTED: self.U.shape[1]}

    def matrix(self, name: str) -> Array:
        found = self.U if name == "U" else self.P
        assert found is not None
        return found


@dataclass
class Row:
    """One row of a batch, of T steps, run by a plan."""

    plan: Plan
    parameters: Parameters
    x: Array  # [T, X]
    initial: Sequence[Array]
    descending: bool = False
    tape: list[Array] = field(init=False)
    output: Array = field(init=False)
    last: list[Array] = field(init=False)

    def __post_init__(self) -> None:
        self.sizes = self.parameters.sizes
        self.steps = len(self.x)
        self.states = self.plan.program.states
        self.matrices = list(self.plan.matrix_runs)
        self.back = 1 if self.descending else -1

    # The two passes.

    def forward(self, inference: bool = False) -> None:
        """Run the steps; sets output, last and, unless for inference, the tape."""
        program, H = self.plan.program, self.sizes[Space.HIDDEN]
        self.tape = [] if inference else [self._fresh(self.steps, s) for s in self.plan.tape]
        recurrent = np.zeros((len(self.plan.program.products), H))
        bias = np.zeros((len(program.gates), H))
        if self.parameters.b is not None and self.parameters.c is not None:
            recurrent = self.parameters.c.reshape(-1, H)
            bias += self.parameters.b.reshape(-1, H)
            for row, gate in self.plan.folded:
                bias[gate] += recurrent[row]
        self.biases = [*bias, *recurrent[list(self.plan.biases)]]
        self.gates = (self.x @ self.parameters.W.T).reshape(self.steps, len(bias), H)
        self.output = self._fresh(self.steps, self.states[0].new.space)
        self.last = [np.full_like(state, np.nan) for state in self.initial]
        self._go("inference" if inference else "forward")
        for k in range(len(self.states)):
            if self.steps == 0:
                self.last[k] = self.initial[k].copy()
            elif not self._rolls(k):
                self.last[k] = self._state(k, self._final).copy()

    def backward(self, gradient: Array, gradient_last: Sequence[Array]) -> dict[str, Any]:
        """Gradients of everything; call `forward` before."""
        plan, H = self.plan, self.sizes[Space.HIDDEN]
        self.gradient, self.gradient_last = gradient, gradient_last
        self.carry = [np.full_like(state, np.nan) for state in self.initial]
        self.delta = [self._fresh(self.steps, space) for space in plan.delta]
        self.sums = np.zeros((len(plan.program.vectors), H))
        self.mode = "backward"
        self._go("backward")
        initial = list(self.carry) if self.steps else [g.copy() for g in gradient_last]
        if self.steps:
            for stage in plan.backward.stages:
                for m in stage.multiplies:
                    if m.state >= 0:
                        here = Location(Place.DELTA, m.operand.index)
                        initial[m.state] = initial[m.state] + self._product(m, here, self._first)
        found: dict[str, Any] = {
            "x": np.zeros_like(self.x),
            "W": np.zeros_like(self.parameters.W),
            "b": np.zeros(len(self.parameters.W)),
            "U": np.zeros_like(self.parameters.U),
            "c": np.zeros(len(self.parameters.U)),
            "initial": initial,
        }
        if self.parameters.vectors is not None:
            found["vectors"] = self.sums
        if plan.input_slot >= 0:
            found["x"] += self.delta[plan.input_slot]
        if self.parameters.P is not None:
            found["P"] = np.zeros_like(self.parameters.P)
        for run in plan.gate_runs:
            rows = slice(run.row * H, (run.row + run.count) * H)
            adjoint = self._slots(run)
            found["x"] += adjoint @ self.parameters.W[rows]
            found["W"][rows] += adjoint.T @ self.x
            found["b"][rows] += adjoint.sum(0)
        for name, operands in plan.matrix_runs.items():
            for location, runs in operands:
                operand = [self._read(location, t) for t in range(self.steps)]
                for run in runs:
                    adjoint = self._slots(run)
                    height = adjoint.shape[1] // run.count
                    rows = slice(run.row * height, (run.row + run.count) * height)
                    for t in range(self.steps):
                        found[name][rows] += np.outer(adjoint[t], operand[t])
                    if name == "U":
                        found["c"][rows] += adjoint.sum(0)
        return found

    # Steps and stages.

    @property
    def _first(self) -> int:
        return self.steps - 1 if self.descending else 0

    @property
    def _final(self) -> int:
        return 0 if self.descending else self.steps - 1

    def _go(self, mode: str) -> None:
        self.mode = mode
        laid: Pass = getattr(self.plan, mode)
        self.scratch = [np.full(self.sizes[space], np.nan) for space in laid.scratch]
        order = range(self.steps)
        for t in reversed(order) if self.descending != (mode == "backward") else order:
            for stage in laid.stages:
                self._stage(stage, t)

    def _stage(self, stage: Stage, t: int) -> None:
        self.products: dict[int, Array] = {}
        for m in stage.multiplies:
            size = self.sizes[stage.space]
            result = self._product(m, m.operand, t)
            for n in range(1 if m.transposed else m.rows):
                before = self.products.get(m.result + n, np.zeros(size))
                assert m.transposed or m.result + n not in self.products
                self.products[m.result + n] = before + result[n * size : (n + 1) * size]
        known = {name: self._read(location, t) for name, location in stage.inputs.items()}
        for symbol, value in stage.equations:
            assert symbol.name not in known, f"{symbol} has two meanings"
            known[symbol.name] = evaluate(value, known)
        for location, name in stage.outputs:
            self._write(location, t, known[name])

    def _product(self, m: Multiply, operand: Location, t: int) -> Array:
        matrix = self.parameters.matrix(self.matrices[m.matrix])
        blocks = len(self.plan.program.rows(self.matrices[m.matrix]))
        height = len(matrix) // blocks
        block = matrix[m.row * height : (m.row + m.rows) * height]
        if not m.transposed:
            return np.asarray(block @ self._read(operand, t))
        slots = [Location(operand.place, operand.index + n) for n in range(m.rows)]
        return np.asarray(block.T @ np.concatenate([self._read(slot, t) for slot in slots]))

    # Places.

    def _fresh(self, steps: int, space: Space) -> Array:
        return np.full((steps, self.sizes[space]), np.nan)

    def _slots(self, run: Run) -> Array:
        return np.concatenate(self.delta[run.slot : run.slot + run.count], axis=1)

    def _rolls(self, k: int) -> bool:
        """Whether a state has no sequence, but one place that every step overwrites."""
        return k > 0 and (self.mode == "inference" or self.plan.kept[k] < 0)

    def _state(self, k: int, t: int) -> Array:
        if k == 0:
            return np.asarray(self.output[t])
        if self._rolls(k):
            assert self.mode != "backward", "backward reads a state that nobody kept"
            return self.last[k]
        return np.asarray(self.tape[self.plan.kept[k]][t])

    def _read(self, location: Location, t: int) -> Array:
        k = location.index
        match location.place:
            case Place.PREVIOUS:
                found = self.initial[k] if t == self._first else self._state(k, t + self.back)
            case Place.PRODUCT:
                found = self.products[k]
            case Place.BIAS:
                found = self.biases[k]
            case Place.GATE:
                found = self.gates[t, k]
            case Place.VECTOR:
                assert self.parameters.vectors is not None
                found = self.parameters.vectors[k]
            case Place.INPUT:
                found = self.x[t]
            case Place.GRADIENT:
                found = self.gradient[t]
            case Place.CARRY if t == self._final:
                found = self.gradient_last[k]
            case Place.DELTA_AFTER:
                after = t - self.back
                zero = np.zeros(self.sizes[self.plan.delta[k]])
                found = zero if t == self._final else self.delta[k][after]
            case _:
                found = self._place(location, t)
        return np.array(found)

    def _write(self, location: Location, t: int, value: Any) -> None:
        if location.place is Place.SUM:
            self.sums[location.index] += value
        else:
            self._place(location, t)[:] = value

    def _place(self, location: Location, t: int) -> Array:
        k = location.index
        match location.place:
            case Place.TAPE:
                return np.asarray(self.tape[k][t])
            case Place.STATE:
                return self._state(k, t)
            case Place.SCRATCH:
                return self.scratch[k]
            case Place.CARRY:
                return self.carry[k]
            case Place.DELTA:
                return np.asarray(self.delta[k][t])
        raise AssertionError(f"a stage writes to {location}")
