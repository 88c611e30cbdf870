"""A recurrent projection: fewer numbers go from step to step than there are units."""

from __future__ import annotations

from dataclasses import replace

from ..program import Instruction, Product, Program, Space, State, Symbol, reads
from .rewriting import fresh, renamed


def project(program: Program) -> Program:
    """Output ← P h′, and U_g v ← U_g P v for every recurrent product: U and P are its factors.

    The recurrent projection of Sak, Senior & Beaufays (2014), as torch.nn.LSTM has it, for every
    cell. The first state becomes P h′, of the projected size, without bias; products of its old
    value need no other. Products of anything else (r ∘ h of the original GRU) go through the same
    P. Where the step also uses the old value of h elementwise (z ∘ h of the GRU) h itself is one
    more state, the last, named after the first with ``_full`` behind.
    """
    first, *others = program.states
    projected = replace(first.previous, space=Space.PROJECTED)
    previous = Symbol(fresh(program, f"{first.name}_full_previous"))
    of: dict[Symbol, Symbol] = {first.previous: projected}
    instructions: list[Instruction] = []

    def through(operand: Symbol) -> Symbol:
        """The projection of a vector, written where it is first asked for."""
        if operand not in of:
            of[operand] = Symbol(fresh(program, f"P_{operand.name}"), Space.PROJECTED)
            instructions.append(Product(of[operand], "P", first.name, operand, bias=False))
        return of[operand]

    full = False
    for instruction in program.instructions:
        if isinstance(instruction, Product):
            instructions.append(replace(instruction, operand=through(instruction.operand)))
        else:
            full = full or first.previous in reads(instruction)
            instructions.append(instruction)
    output = State(first.name, projected, through(first.new))
    if full:
        others.append(State(f"{first.name}_full", previous, first.new))
        instructions = [renamed(i, {first.previous: previous}) for i in instructions]
    return replace(
        program,
        name=f"{program.name},projected",
        instructions=tuple(instructions),
        states=(output, *others),
    )
