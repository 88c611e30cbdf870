"""What the figures of all results have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

import numpy as np
from torch import Tensor

from . import scales
from .picture import Array, Heat, Panel
from .thinning import thinned

Kind = TypeVar("Kind")


def heat_panel(
    title: str, heat: Heat, x: str, y: str, *, pool: Literal["max", "mean"] = "max"
) -> Panel:
    """A panel of a heat map over steps, rows from the top down; thinned where it is too fine."""
    across, down = scales.steps(x, heat.x), scales.steps(y, heat.y, down=True)
    heat, (rows, columns) = thinned(heat, pool)
    if rows * columns > 1:
        title += f" ({'largest' if pool == 'max' else 'mean'} of each {rows} × {columns})"
    if np.isnan(heat.values).any():
        title += " (grey: not computed)"
    return Panel(title, across, down, heat)


def chosen(found: Mapping[str, Kind], name: str | None, default: str | None = None) -> Kind:
    """One of several strands by its name; without a name the default one, or the first.

    Raises:
        ValueError: if none is called so.
    """
    if name is None:
        name = next(iter(found)) if default is None else default
    if name not in found:
        raise ValueError(f"strand must be one of {', '.join(found)}; got {name!r}")
    return found[name]


def check_row(row: int, rows: int) -> None:
    """Refuse a sequence that does not exist.

    Raises:
        ValueError: if there are not so many.
    """
    if not 0 <= row < rows:
        raise ValueError(f"row must lie between 0 and {rows - 1}, the last; got {row}")


def over_rows(rows: int, row: int | None) -> str:
    """What a subtitle says of the rows that are shown."""
    if row is not None:
        return f", row {row}"
    return f", mean over {rows} rows" if rows > 1 else ""


def mean(values: Array, axis: int) -> Array:
    """The mean of what is there; NaN where nothing is."""
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        found: Array = np.where(there, values, 0).sum(axis) / there.sum(axis)
    return found


def array(values: Tensor) -> Array:
    """A tensor's numbers."""
    found: Array = values.detach().cpu().double().numpy()
    return found


def counting(size: int) -> Array:
    """The numbers 0, 1, 2 and so on."""
    return np.arange(size, dtype=np.float64)
