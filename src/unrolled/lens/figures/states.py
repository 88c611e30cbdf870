"""The figure of a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import scales
from .parts import array, check_row, chosen, counting, heat_panel
from .picture import Heat, Picture

if TYPE_CHECKING:
    from ..tracing import Trace


def trace(result: Trace, strand: str | None, row: int) -> Picture:
    """Every state and every gate of one sequence, unit by unit."""
    found = chosen(result.strands, strand)
    time, rows = found.inputs.shape[:2]
    check_row(row, rows)
    panels = []
    for kind, values in (("state", found.states), ("gate", found.gates)):
        for called, value in values.items():
            z = array(value[:, row]).T.copy()
            share = kind == "gate" and bool(((z >= 0) & (z <= 1)).all())
            if found.running is not None:
                z[:, ~found.running[:, row].cpu().numpy()] = np.nan  # after the row's end
            colours = scales.share("shut 0 … 1 open") if share else scales.signed("value", z)
            title = f"{kind} {called}" if share or kind == "state" else f"value {called}"
            heat = Heat(z, counting(time), counting(len(z)), colours)
            panels.append(heat_panel(title, heat, "step t", "unit", pool="mean"))
    return Picture(
        "States and gates at every step",
        f"{found.name} ({found.cell}), row {row} (of {rows}), {time} steps.",
        tuple(panels),
        columns=2 if len(panels) > 1 else 1,
        height=260,
    )
