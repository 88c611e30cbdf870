"""Dropout of what a cell would write to its memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..cells import Cell
from ..compiler.program import Assignment, Mask, Program, Symbol
from ..compiler.transforms.rewriting import fresh, product, rewritten
from .option import CANDIDATE, Place, Rate
from .variant import Variant


class CandidateDropout(Rate):
    """Share of units dropped from what a cell writes to its memory, other ones at every step."""

    need = CANDIDATE
    place = Place.CANDIDATE
    equation = "g ← m ∘ g, an m for every step"
    source = "Semeniuta, Severyn & Barth 2016"

    def setting(self, value: Any, cell: Cell, training: bool) -> str | None:
        """The name of the candidate, in training."""
        return cell.candidate if training and value else None

    def transform(self, program: Program, variant: Variant) -> Program:
        """The program with its candidate dropped."""
        return candidate_dropout(program, variant.candidate_dropout)

    def read(self, text: str, cell: type[Cell]) -> dict[str, Any]:
        """The candidate is the cell's."""
        return {self.name: cell.candidate}

    def rates(self, value: Any, cell: Cell) -> dict[str, float]:
        """One mask."""
        return {"M_candidate": value}


def candidate_dropout(program: Program, candidate: str) -> Program:
    """Candidate g ← m ∘ g, with a mask m for every step.

    The recurrent dropout without memory loss of Semeniuta, Severyn & Barth (2016): what a step
    would add to the memory is dropped, the memory itself never.

    Args:
        program: what is rewritten.
        candidate: what the cell calls its candidate, `Cell.candidate`.

    Raises:
        ValueError: if the cell has none.
    """
    if not candidate:
        raise ValueError(
            f"{program.name}: candidate_dropout needs a cell that names its candidate, "
            'as LSTM does: candidate = "g"'
        )
    computed = {instruction.symbol.name: instruction.symbol for instruction in program.instructions}
    value = computed.get(candidate, computed.get(f"v_{candidate}"))
    if value is None:
        raise ValueError(
            f"{program.name}: candidate_dropout drops {candidate!r}, which the step does not "
            "compute"
        )
    mask = Symbol(fresh(program, "M_candidate"), value.space)
    dropped = Symbol(fresh(program, f"dropped_{value.name}"), value.space)
    program = rewritten(
        program, "candidate_dropout", {value: [Assignment(dropped, product(mask, value))]}
    )
    return replace(program, masks=(*program.masks, Mask(mask, every_step=True, scaled=True)))
