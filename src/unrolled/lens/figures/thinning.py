"""Heat maps with no more cells than a screen has room for."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np

from .picture import Array, Heat

LARGEST = 600  # rows, and columns, that a figure is drawn with


def thinned(heat: Heat, pool: Literal["max", "mean"]) -> tuple[Heat, tuple[int, int]]:
    """A heat map whose cells stand for blocks of cells, and the size of the blocks.

    Args:
        heat: any heat map; a small one comes back as it is.
        pool: whether a block shows its largest value or the mean; NaN does not count.
    """
    rows, columns = (-(-size // LARGEST) for size in heat.values.shape)
    if rows == columns == 1:
        return heat, (1, 1)
    values = np.pad(
        heat.values,
        [(0, -heat.values.shape[0] % rows), (0, -heat.values.shape[1] % columns)],
        constant_values=np.nan,
    )
    blocks = values.reshape(values.shape[0] // rows, rows, values.shape[1] // columns, columns)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a block with nothing in it is NaN
        pooled = (np.nanmax if pool == "max" else np.nanmean)(blocks, axis=(1, 3))
    return Heat(pooled, _middles(heat.x, columns), _middles(heat.y, rows), heat.colours), (
        rows,
        columns,
    )


def _middles(places: Array, size: int) -> Array:
    """The middle of each block's places."""
    starts = np.arange(0, len(places), size)
    return np.array([places[at : at + size].mean() for at in starts])
