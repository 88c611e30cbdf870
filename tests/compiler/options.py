"""Every option of a cell alone, and every two of them together."""

from __future__ import annotations

from itertools import combinations

from unrolled.cells import Cell, gelu, sin
from unrolled.compiler.program import Program
from unrolled.compiler.trace import trace
from unrolled.options import Variant, vary

WORDS = (
    "activation",
    "recurrent_activation",
    "cell_clip",
    "projected",
    "layer_norm",
    "layer_norm_without_bias",
    "candidate_dropout",
    "recurrent_dropout",
    "zoneout",
    "returns",
)
PAIRS = tuple(combinations(WORDS, 2))


def varied(cell: Cell, words: tuple[str, ...]) -> Program:
    """A cell with options, those left out of which it has nothing that they could act on."""
    program = trace(cell)
    values = [symbol.name for symbol in program.named]
    candidate = cell.candidate or (values[0] if values else None)
    returns = (*values[:2], *(state.name for state in program.states[1:]))
    norm = "layer_norm" in words or "layer_norm_without_bias" in words
    variant = Variant(
        activation=gelu if "activation" in words else None,
        recurrent_activation=sin if "recurrent_activation" in words else None,
        cell_clip=0.3 if "cell_clip" in words else None,
        projected="projected" in words,
        layer_norm=norm,
        bias="layer_norm_without_bias" not in words,
        candidate_dropout=candidate if "candidate_dropout" in words else None,
        recurrent_dropout="recurrent_dropout" in words,
        zoneout=cell.states if "zoneout" in words else (),
        returns=returns if "returns" in words else (),
    )
    return vary(program, variant)
