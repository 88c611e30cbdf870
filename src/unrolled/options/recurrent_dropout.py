"""Variational dropout of the recurrent connections."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..cells import Cell
from ..compiler.program import Assignment, Instruction, Mask, Product, Program, Symbol
from ..compiler.transforms.rewriting import fresh, product
from .option import RECURRENT, Place, Rate
from .variant import Variant


class RecurrentDropout(Rate):
    """Share of recurrent connections dropped, the same ones at every step."""

    need = RECURRENT
    place = Place.CONNECTIONS
    equation = "U_g v ← U_g (m ∘ v), one m for a sequence"
    source = "Gal & Ghahramani 2016"

    def setting(self, value: Any, cell: Cell, training: bool) -> bool:
        """Whether anything is dropped, in training."""
        return bool(training and value)

    def transform(self, program: Program, variant: Variant) -> Program:
        """The program with what U takes dropped."""
        return recurrent_dropout(program)

    def rates(self, value: Any, cell: Cell) -> dict[str, float]:
        """One mask."""
        return {"M_recurrent": value}


def recurrent_dropout(program: Program) -> Program:
    """U_g v ← U_g (m ∘ v) for every gate, with one mask m for the whole sequence.

    The variational dropout of Gal & Ghahramani (2016): m drops columns of U, the same ones of every
    gate and at every step. Where v is computed in the step, as r ∘ h of the original GRU, it is
    masked all the same.
    """
    operands = dict.fromkeys(p.operand for p in program.matrix("U"))
    if not operands:
        return program
    space = next(iter(operands)).space
    mask = Symbol(fresh(program, "M_recurrent"), space)
    dropped = {v: Symbol(fresh(program, f"dropped_{v.name}"), space) for v in operands}
    instructions: list[Instruction] = []
    written: set[Symbol] = set()
    for instruction in program.instructions:
        if isinstance(instruction, Product) and instruction.matrix == "U":
            operand = instruction.operand
            if operand not in written:
                written.add(operand)
                instructions.append(Assignment(dropped[operand], product(mask, operand)))
            instructions.append(replace(instruction, operand=dropped[operand]))
        else:
            instructions.append(instruction)
    return replace(
        program,
        name=f"{program.name},recurrent_dropout",
        instructions=tuple(instructions),
        masks=(*program.masks, Mask(mask, every_step=False, scaled=True)),
    )
