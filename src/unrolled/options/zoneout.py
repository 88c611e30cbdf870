"""Zoneout: units that now and then keep their old value."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from ..cells import Cell
from ..compiler.program import Assignment, Call, Constant, Instruction, Mask, Program, State, Symbol
from ..compiler.transforms.rewriting import fresh, product, renamed
from .option import Place, Rate, Subject
from .variant import Variant


class Zoneout(Rate):
    """Share of units that keep their old value, other ones at every step.

    One number for all states, or one for each of the cell's states. In evaluation every unit keeps
    that share of its old value.
    """

    place = Place.OUTCOME
    equation = "s ← m ∘ s_before + (1 − m) ∘ s, an m for every step"
    evaluation = "m is its mean, p"
    source = "Krueger et al. 2017"

    def check(self, value: Any, layer: Subject) -> None:
        """Refuse what is no number from 0 to 1, and not one for each state."""
        rates = value if isinstance(value, tuple) else (value,)
        for rate in rates:
            super().check(rate, layer)
        if isinstance(value, tuple) and len(rates) != len(layer.cell.states):
            states = ", ".join(layer.cell.states)
            raise ValueError(
                f"{layer.label}: {self.name} must be a number, or one for each state ({states}), "
                f"got {len(rates)}"
            )

    def setting(self, value: Any, cell: Cell, training: bool) -> tuple[str, ...]:
        """The names of the states that are zoned out."""
        return tuple(state for state, rate in _each(value, cell).items() if rate)

    def transform(self, program: Program, variant: Variant) -> Program:
        """The program with states zoned out."""
        return zoneout(program, variant.zoneout)

    def read(self, text: str, cell: type[Cell]) -> dict[str, Any]:
        """The names of states."""
        return {self.name: tuple(text.split("+"))}

    def rates(self, value: Any, cell: Cell) -> dict[str, float]:
        """A mask for each state; that of a projected output is that of what is projected."""
        each = {f"M_zoneout_{state}": rate for state, rate in _each(value, cell).items()}
        first = f"M_zoneout_{cell.states[0]}"
        return {f"{first}_full": each[first]} | each


def _each(value: Any, cell: Cell) -> dict[str, float]:
    """The rate of every state of the cell."""
    rates = value if isinstance(value, tuple) else (value,) * len(cell.states)
    return dict(zip(cell.states, rates, strict=True))


def zoneout(program: Program, states: Collection[str] | None = None) -> Program:
    """s′ ← m ∘ s + (1 - m) ∘ s′ for every state s, with a mask m for every step.

    Krueger et al. (2017). Within the step the other equations see s′ as it was, as in the paper
    (h′ = o ∘ tanh(c′) of the c′ that is not zoned out); the step after and, of the first state, the
    output are zoned out. A state that is the projection of another one is P times that one, zoned
    out.

    Args:
        program: what is rewritten.
        states: the names of those that are zoned out; None for all.
    """
    followed = _followed(program)
    wanted = [state.name for state in program.states if states is None or state.name in states]
    names = {followed[name].name if name in followed else name for name in wanted}
    chosen = [state for state in program.states if state.name in names]
    masks = {s.name: Symbol(fresh(program, f"M_zoneout_{s.name}"), s.new.space) for s in chosen}
    zoned = {s.new: Symbol(fresh(program, f"zoned_{s.new.name}"), s.new.space) for s in chosen}
    by_new = {state.new: state for state in chosen}
    followers = {state.new for state in program.states if state.name in followed}
    instructions: list[Instruction] = []
    for instruction in program.instructions:
        # The projection takes what is zoned out; nothing else in the step does.
        follows = instruction.symbol in followers
        instructions.append(renamed(instruction, zoned) if follows else instruction)
        state = by_new.get(instruction.symbol)
        if state is not None:
            mask = masks[state.name]
            kept, taken = product(mask, state.previous), Call("subtract", (Constant(1.0), mask))
            mixed = Call("add", (kept, product(taken, state.new)))
            instructions.append(Assignment(zoned[state.new], mixed))
    which = "" if states is None else "=" + "+".join(wanted)
    return replace(
        program,
        name=f"{program.name},zoneout{which}",
        instructions=tuple(instructions),
        states=tuple(replace(s, new=zoned.get(s.new, s.new)) for s in program.states),
        masks=(*program.masks, *(Mask(m, every_step=True, scaled=False) for m in masks.values())),
    )


def _followed(program: Program) -> dict[str, State]:
    """For each state that is the projection of another one's new value, that other one."""
    by_new = {state.new: state for state in program.states}
    full = {p.symbol: by_new[p.operand] for p in program.matrix("P") if p.operand in by_new}
    return {state.name: full[state.new] for state in program.states if state.new in full}
