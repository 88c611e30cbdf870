"""From a program's name back to the cell and the options that it was made of.

An exported model holds names only, and may be loaded where no layer has been made.
"""

from __future__ import annotations

from typing import Any

from ..cells import CELLS, Cell
from ..cells.functions import NONLINEARITIES
from ..options import OPTIONS, Variant


def parse(name: str) -> tuple[Cell, Variant]:
    """The built-in cell and the variant that have this name.

    Raises:
        LookupError: if it is that of a cell that is not built in, or holds a number for each unit.
    """
    first, *words = name.split(",")
    cls = next((cell for cell in CELLS if cell.__name__.lower() == first), None)
    if cls is None or "#" in name or "=[" in name:
        raise LookupError(
            f"{name}: this program's cell is not built in; make a layer of it, with the options "
            "with which it was exported, before the exported model runs"
        )
    choices: dict[str, Any] = {}
    variant: dict[str, Any] = {}
    for word in words:
        key, _, value = word.partition("=")
        if key in cls._defaults:
            choices[key] = value if value in NONLINEARITIES else float(value)
        elif key in OPTIONS:
            variant |= OPTIONS[key].read(value, cls)
        elif key == "returns":
            variant[key] = tuple(value.split("+"))
        else:
            variant[key] = True
    return cls(**choices), Variant(**variant)
