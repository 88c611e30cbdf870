"""Bounds for what a cell remembers."""

from __future__ import annotations

from ..program import Assignment, Call, Constant, Program, Symbol
from .rewriting import fresh, rewritten


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
