"""Zoneout: units that now and then keep their old value."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ..program import Assignment, Call, Constant, Instruction, Mask, Program, State, Symbol
from .rewriting import fresh, product, renamed


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
