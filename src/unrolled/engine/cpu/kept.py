"""Which calls run on packed weights that are kept from call to call: `_cpu.Kept`."""

from __future__ import annotations

MOST_ROWS = 4
"""Rows up to which single steps are as quick as the loop over time."""

MOST_STEPS = 256
"""Steps up to which several rows are worth no division among threads."""

MOST_WEIGHTS = 2**18
"""Numbers of a layer's weights; with more of them packing is little beside the call itself."""


def is_worth_keeping(rows: int, weights: int) -> bool:
    """Whether a call of so many rows and numbers of weights is short beside packing them."""
    return 0 < rows <= MOST_ROWS and weights <= MOST_WEIGHTS
