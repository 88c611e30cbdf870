"""Scales hold every number, show decades, and have round ticks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrolled.lens.figures import scales

sizes = st.floats(-300, 300)


@given(st.lists(sizes, min_size=1, max_size=20), st.booleans())
def test_colours_tell_decades_apart(exponents: list[float], zero: bool) -> None:
    values = 10 ** np.array(exponents)
    if zero:
        values = np.append(values, 0.0)
    colours = scales.decades("size", values)
    found = colours.coordinates(values)
    positive = found[: len(exponents)]
    kept = np.array(exponents) > colours.low + 0.02 * (colours.high - colours.low)
    expected = np.minimum(exponents, colours.high)  # which is round, and may be 1e-9 below
    np.testing.assert_allclose(positive[kept], expected[kept], rtol=1e-12, atol=1e-12)
    assert (positive >= colours.low).all()
    assert (positive <= colours.high).all()
    assert colours.high >= max(exponents) - 1e-9
    assert 0 < colours.high - colours.low <= scales.COLOURED
    assert colours.zero == zero
    if zero:  # in a block of its own
        assert colours.bottom < found[-1] < colours.low
        assert colours.ticks[0] == (found[-1], "0")


@given(st.lists(st.one_of(sizes.map(lambda e: 10**e), st.just(0.0), st.just(np.nan)), max_size=20))
def test_axes_hold_what_they_draw(values: list[float]) -> None:
    found = np.array(values)
    axis = scales.logarithmic("size", found)
    assert 0 < axis.low < axis.high
    positive = found[found > 0]
    if positive.size:
        assert axis.low * (1 - 1e-8) <= positive.max() <= axis.high * (1 + 1e-8)
    assert 2 <= len(axis.ticks) <= 9
    for at, _ in axis.ticks:
        assert axis.low * (1 - 1e-9) <= at <= axis.high * (1 + 1e-9)


@given(st.lists(st.floats(-1e6, 1e6), max_size=20))
def test_a_straight_axis_holds_all(values: list[float]) -> None:
    axis = scales.linear("value", np.array(values), include=(1.0,))
    assert all(axis.low < value < axis.high for value in (*values, 1.0))
    assert 2 <= len(axis.ticks) <= 14


def test_the_scale_says_that_smaller_numbers_share_a_colour() -> None:
    colours = scales.decades("size", np.array([1.0, 1e-20, np.inf]))
    assert colours.ticks[0][1] == "≤\u00a010^{−12}"
    assert colours.ticks[-1][1] == "≥\u00a01"


def test_within_a_decade_there_are_ticks_all_the_same() -> None:
    assert [label for _, label in scales.decades("size", np.array([0.9, 1.1, 4.0])).ticks] == [
        "0.5",
        "1",
        "2",
        "5",
    ]


def test_the_middle_of_both_signs_is_zero() -> None:
    colours = scales.signed("value", np.array([-3.0, 0.1]))
    assert (colours.low, colours.high) == (-3.0, 3.0)
    assert scales.signed("value", np.array([0.7])).high == 1.0
    assert scales.signed("value", np.zeros(2)).high == 1.0


def test_time_runs_down_where_asked() -> None:
    axis = scales.steps("step", np.arange(5.0), down=True)
    assert (axis.low, axis.high) == (4.5, -0.5)
    assert [label for _, label in axis.ticks] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.05, 4, "0.05"),
        (-3, 4, "−3"),
        (2e-5, 4, "2·10^{−5}"),
        (-1.25e7, 4, "−1.25·10^{7}"),
        (12.345, 2, "12"),
        (1.25e-9, 1, "1·10^{−9}"),
        (117.4, 2, "120"),
        (99999.9, 4, "1·10^{5}"),
        (0.99996, 4, "1"),
        (float("inf"), 2, "∞"),
        (float("nan"), 2, "no number"),
        (0, 4, "0"),
    ],
)
def test_numbers_are_written_as_in_a_book(value: float, digits: int, text: str) -> None:
    assert scales.number(value, digits) == text
