"""Large heat maps are drawn smaller, and say so."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from unrolled.lens.figures import Heat, scales
from unrolled.lens.figures.parts import counting, heat_panel
from unrolled.lens.figures.thinning import LARGEST, thinned


def heat_of(values: NDArray[np.float64]) -> Heat:
    rows, columns = values.shape
    return Heat(values, counting(columns), counting(rows), scales.decades("size", values))


@given(st.integers(1, 1500), st.integers(1, 1500), st.data())
def test_a_block_shows_its_largest_value(rows: int, columns: int, data: st.DataObject) -> None:
    values = np.full((rows, columns), 0.5)
    at = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    values[at] = 2.0
    found, (down, across) = thinned(heat_of(values), "max")
    assert max(found.values.shape) <= LARGEST
    assert found.values.shape == (len(found.y), len(found.x))
    assert found.values[at[0] // down, at[1] // across] == 2.0
    assert (found.values == 2.0).sum() == 1
    assert abs(found.x[at[1] // across] - at[1]) < across


def test_a_block_is_empty_only_where_all_of_it_is() -> None:
    values = np.full((2 * LARGEST, 1), np.nan)
    values[0] = 1.0
    found, _ = thinned(heat_of(values), "mean")
    assert found.values[0] == 1.0
    assert np.isnan(found.values[1:]).all()


def test_the_title_tells() -> None:
    small = heat_of(np.ones((3, 3)))
    assert heat_panel("one", small, "x", "y").title == "one"
    large = heat_of(np.full((3, 2 * LARGEST), np.nan))
    assert (
        heat_panel("one", large, "x", "y").title
        == "one (largest of each 1 × 2) (grey: not computed)"
    )
