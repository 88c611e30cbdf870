"""Stages of a step: collect equations and products by level, then find every vector's place."""

from __future__ import annotations

from typing import Any

import sympy

from .plan import Location, Multiply, Pass, Place, Run, Stage
from .program import Space

MOST_VECTORS = 64
"""Vectors that one stage may read or write (``most_vectors`` in the engine)."""


class StageBuilder:
    """Collects equations and products by level and size, then finds every vector's place."""

    def __init__(self) -> None:
        self.homes: dict[str, Location] = {}
        """Places of vectors that the stages read and do not compute."""
        self.written: dict[str, Location] = {}
        """Places of vectors that the stages compute."""
        self._stages: dict[tuple[int, str], Stage] = {}
        self._results: dict[tuple[int, str], list[str]] = {}
        self._operands: list[tuple[Stage, str, dict[str, Any]]] = []

    def _stage(self, level: int, space: Space) -> Stage:
        return self._stages.setdefault((level, space.value), Stage(space))

    def equation(self, level: int, space: Space, symbol: sympy.Symbol, value: Any) -> None:
        """``symbol = value``, after what was added to the same stage before."""
        self._stage(level, space).equations.append((symbol, value))

    def product(self, level: int, space: Space, name: str) -> str:
        """Reserve a result of the stage's products; returns the name it is read by."""
        results = self._results.setdefault((level, space.value), [])
        result = f"product_{name}"
        self._stage(level, space).inputs[result] = Location(Place.PRODUCT, len(results))
        results.append(result)
        return result

    def multiply(
        self, level: int, space: Space, operand: str, matrix: int, row: int, result: str
    ) -> None:
        """A forward product; consecutive ones of one operand become one."""
        stage = self._stage(level, space)
        index = stage.inputs[result].index
        for other, name, kwargs in self._operands:
            follows = (
                other is stage
                and name == operand
                and kwargs["matrix"] == matrix
                and kwargs["row"] + kwargs["rows"] == row
                and kwargs["result"] + kwargs["rows"] == index
            )
            if follows:
                kwargs["rows"] += 1
                return
        kwargs = {"matrix": matrix, "row": row, "rows": 1, "result": index}
        self._operands.append((stage, operand, kwargs))

    def transpose(
        self,
        level: int,
        space: Space,
        operand: Location,
        matrix: int,
        run: Run,
        result: str,
        state: int,
    ) -> None:
        """A transposed product, added to its result."""
        stage = self._stage(level, space)
        index = stage.inputs[result].index
        stage.multiplies.append(Multiply(operand, matrix, run.row, run.count, True, index, state))

    def build(self) -> Pass:
        """The stages in order; what one computes and a later one reads has got a place.

        Raises:
            ValueError: if a stage names more vectors than a kernel holds.
        """
        stages = [self._stages[key] for key in sorted(self._stages)]
        defined = {s.name: n for n, stage in enumerate(stages) for s, _ in stage.equations}
        scratch: list[Space] = []

        def home(name: str) -> Location:
            """Where a value is found by others than the equations after it in its own stage."""
            if name in self.written:
                return self.written[name]
            if name not in self.homes:
                space = stages[defined[name]].space
                self.homes[name] = Location(Place.SCRATCH, len(scratch))
                scratch.append(space)
            return self.homes[name]

        outputs: list[dict[str, Location]] = [{} for _ in stages]
        for name, location in self.written.items():
            outputs[defined[name]][name] = location
        for stage, operand, kwargs in self._operands:
            location = home(operand)
            if operand in defined:
                outputs[defined[operand]][operand] = location
            stage.multiplies.append(Multiply(location, transposed=False, **kwargs))
        for number, stage in enumerate(stages):
            known: set[str] = set()
            for symbol, value in stage.equations:
                for used in sorted(s.name for s in value.free_symbols):
                    if used in known or used in stage.inputs:
                        continue
                    location = home(used)
                    stage.inputs[used] = location
                    if used in defined and defined[used] != number:
                        outputs[defined[used]][used] = location
                known.add(symbol.name)
        for stage, found in zip(stages, outputs, strict=True):
            stage.outputs = [(location, name) for name, location in found.items()]
            if max(len(stage.inputs), len(stage.outputs)) > MOST_VECTORS:
                raise ValueError(
                    f"a stage of the step names {max(len(stage.inputs), len(stage.outputs))} "
                    f"vectors, and a kernel holds at most {MOST_VECTORS}"
                )
        return Pass(tuple(stages), tuple(scratch))
