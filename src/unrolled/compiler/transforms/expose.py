"""Values of the step that the caller gets for every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..program import Program, Symbol


def expose(program: Program, names: Sequence[str]) -> Program:
    """Return values of the step beside the output: gates by the step's names for them, and states.

    Args:
        program: what is rewritten.
        names: states other than the first (the output), and locals of the step.

    Raises:
        ValueError: if one of them is neither.
    """
    known: dict[str, Symbol] = {symbol.name: symbol for symbol in program.named}
    known |= {state.name: state.new for state in program.states[1:]}
    found = []
    for name in names:
        symbol = known.get(name, known.get(f"v_{name}"))
        if symbol is None:
            there = ", ".join(known) or "nothing"
            raise ValueError(f"{program.name}: there is no value {name!r} to return; {there}")
        found.append(symbol)
    return replace(program, name=f"{program.name},returns={'+'.join(names)}", exposed=tuple(found))
