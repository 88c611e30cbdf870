"""What a layer can be made with beyond torch.nn's arguments, and the program that it then runs.

An option is a field here. Layers, streams and `explain` all ask `program_for`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..cells import Cell
from ..compiler.program import Program
from ..engine.weights import program_of


@dataclass(frozen=True)
class Options:
    """Keyword-only arguments of every layer; none is on by default.

    Attributes:
        forget_bias: the bias of the cell's first gate of memory, for a cell that remembers more the
            larger it is.
        recurrent_init: how U begins: ``"orthogonal"``, ``"identity"``, or None for random numbers.
        chrono: the longest time T_max, in steps, over which the cell is to remember at first.
        learn_initial: whether the initial state is learned.
    """

    forget_bias: float | None = None
    recurrent_init: str | None = None
    chrono: float | None = None
    learn_initial: bool = False

    def __str__(self) -> str:
        """Those that are not the default, as in a layer's representation."""
        given = [(field.name, getattr(self, field.name), field.default) for field in fields(self)]
        return "".join(f", {name}={value}" for name, value, default in given if value != default)


NAMES = tuple(field.name for field in fields(Options))


def split_options(keywords: Mapping[str, Any]) -> tuple[Options, dict[str, Any]]:
    """The options among a constructor's keyword arguments, and the rest."""
    options = {name: value for name, value in keywords.items() if name in NAMES}
    rest = {name: value for name, value in keywords.items() if name not in NAMES}
    return Options(**options), rest


def program_for(cell: Cell, options: Options, projected: bool = False) -> Program:
    """The program of a cell with a layer's options."""
    return program_of(cell, projected)


def initial_for(cell: Cell, options: Options) -> Mapping[str, Any]:
    """Initial values of weights by name, see `Cell.initial`, of a cell with a layer's options."""
    return cell.initial
