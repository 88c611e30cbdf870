"""A bound of what a cell remembers."""

from __future__ import annotations

from typing import Annotated, Any

from ..cells import Cell
from ..compiler.program import Assignment, Call, Constant, Program, Symbol
from ..compiler.transforms.rewriting import fresh, rewritten
from ..ranges import Range
from .option import Option, Place, Subject, check_number
from .variant import Variant


class CellClip(Option):
    """Bound of what a cell remembers.

    All states but the output are clamped to it, plus and minus, as soon as they are computed; the
    only state, if there is one.
    """

    flag = Annotated[float | None, Range(0, 10**6, open_below=True)]
    off_shown = "none"
    place = Place.STATES
    symbol = "c"
    equation = "s ← clamp(s, −c, c)"
    source = "Sak, Senior & Beaufays 2014"

    def check(self, value: Any, layer: Subject) -> None:
        """Refuse what is no number above 0."""
        check_number(self, value, layer)
        if not value > 0:
            raise ValueError(f"{layer.label}: {self.name} must be more than 0, got {value}")

    def setting(self, value: Any, cell: Cell, training: bool) -> float | None:
        """The bound."""
        return value  # type: ignore[no-any-return]

    def transform(self, program: Program, variant: Variant) -> Program:
        """The program with the states clamped."""
        return cell_clip(program, variant.cell_clip)


def cell_clip(program: Program, bound: float) -> Program:
    """s′ ← clamp(s′, -bound, bound) as soon as it is computed: later equations see it clamped.

    Every state but the output; the only state, if there is one. For the LSTM that is the memory c,
    as TensorFlow's ``cell_clip`` and Sak, Senior & Beaufays (2014) have it. (ONNX's ``clip`` bounds
    the arguments of the nonlinearities instead.) The gradient is zero where the bound holds.
    """
    states = program.states[1:] or program.states
    limits = Constant(-bound), Constant(bound)
    followers = {
        state.new: [
            Assignment(
                Symbol(fresh(program, f"clipped_{state.new.name}"), state.new.space),
                Call("clamp", (state.new, *limits)),
            )
        ]
        for state in states
    }
    shown = repr(float(bound)).removesuffix(".0")  # all digits: the name is all that is exported
    return rewritten(program, f"cell_clip={shown}", followers)
