"""Cells and how they begin, as they are named on the command line: ``lstm+chrono``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unrolled.cells import CELLS, Cell
from unrolled.errors import UserError
from unrolled.ranges import shown

CELLS_BY_NAME: Mapping[str, type[Cell]] = {kind.__name__.lower(): kind for kind in CELLS}

LAG = "lag"
"""Stands for the lag, where a chrono initialisation is given no other time."""

_WORDS = ("orthogonal", "identity", "layer-norm", "chrono", "forget-bias", "relu")
_KNOWN = "orthogonal, identity, layer-norm, relu, chrono[=STEPS], forget-bias[=BIAS]"


@dataclass(frozen=True)
class Variant:
    """A cell with options.

    Attributes:
        name: as it was asked for, in one spelling: ``rnn+orthogonal``.
        cell: its class.
        options: a layer's keyword arguments; the value `LAG` is the lag of the problem.
    """

    name: str
    cell: type[Cell]
    options: Mapping[str, Any]

    def keywords(self, lag: int) -> dict[str, Any]:
        """A layer's keyword arguments for a problem of this lag."""
        found = dict(self.options)
        if found.get("chrono") == LAG:
            found["chrono"] = max(lag, 3)
        return found


def variant(text: str, common: Mapping[str, Any]) -> Variant:
    """Read ``CELL+OPTION+…``.

    Args:
        text: the name of a cell, in letters of any case, and options that are its own.
        common: options of all cells, that this cell has as far as it can.

    Raises:
        UserError: there is no such cell or option, or the cell has nothing that the option sets.
    """
    name, *words = text.strip().lower().split("+")
    if name not in CELLS_BY_NAME:
        raise UserError(
            f"--cells: expected some of {', '.join(sorted(CELLS_BY_NAME))}, got {shown(name)}"
        )
    cell = CELLS_BY_NAME[name]
    own: dict[str, Any] = {}
    for word in words:
        own |= _option(word, text)
    if own.get("activation") and "nonlinearity" in cell().choices:
        own["nonlinearity"] = own.pop("activation")  # for which there are kernels ready made
    if {"chrono", "forget_bias"} <= own.keys():
        raise UserError(f"--cells: {text}: chrono and forget-bias set the same bias; give one")
    if not cell.gates_of_memory and own.keys() & {"chrono", "forget_bias"}:
        raise UserError(f"--cells: {text}: {name} has no gate of memory whose bias could be set")
    given = {key: value for key, value in common.items() if takes(cell, key)}
    if own.keys() & {"chrono", "forget_bias"}:
        given = {k: v for k, v in given.items() if k not in ("chrono", "forget_bias")}
    return Variant("+".join([name, *words]), cell, given | own)


def takes(cell: type[Cell], option: str) -> bool:
    """Whether a cell has what an option of all cells sets."""
    return bool(cell.gates_of_memory) or option not in ("chrono", "forget_bias")


def _option(word: str, text: str) -> dict[str, Any]:
    name, equals, value = word.partition("=")
    if name not in _WORDS or (equals and name not in ("chrono", "forget-bias")):
        raise UserError(f"--cells: {text}: expected options of {_KNOWN}, got {shown(word)}")
    if name in ("orthogonal", "identity"):
        return {"recurrent_init": name}
    if name == "relu":
        return {"activation": "relu"}
    if name == "layer-norm":
        return {"layer_norm": True}
    if not equals:
        return {"chrono": LAG} if name == "chrono" else {"forget_bias": 1.0}
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not abs(number) < 1e6 or (name == "chrono" and number <= 2):
        least = " greater than 2" if name == "chrono" else ""
        raise UserError(f"--cells: {text}: {name}: expected a number{least}, got {shown(value)}")
    return {name.replace("-", "_"): number}
