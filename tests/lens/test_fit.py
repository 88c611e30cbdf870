"""Half-lives are those of exponentials, and everything else says that it is none."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unrolled.lens.fit import fit, half_life_of_influence


@given(st.floats(0.3, 1.6).filter(lambda rate: abs(rate - 1) > 1e-3), st.integers(2, 60))
def test_an_exponential_has_its_half_life(rate: float, lags: int) -> None:
    found = half_life_of_influence(3.0 * rate ** torch.arange(lags, dtype=torch.float64))
    assert found.slope == pytest.approx(math.log(rate), rel=1e-9)
    assert found.r_squared == pytest.approx(1, abs=1e-9)
    steps = math.log(2) / abs(math.log(rate))
    assert found.half_life == pytest.approx(steps if rate < 1 else math.inf)
    assert found.doubling_time == pytest.approx(math.inf if rate < 1 else steps)
    assert found.change(10) == pytest.approx(rate**10)


def test_the_line_is_that_of_least_squares() -> None:
    x, y = torch.tensor([1.0, 2.0, 5.0, 9.0]), torch.tensor([0.3, -1.0, -1.5, -6.0])
    found = fit(x, y)
    design = torch.stack([x, torch.ones(4)], dim=1)
    slope, intercept = torch.linalg.lstsq(design, y).solution.tolist()
    assert (found.slope, found.intercept) == pytest.approx((slope, intercept), rel=1e-5)
    rest = (y - slope * x - intercept).square().sum() / (y - y.mean()).square().sum()
    assert found.r_squared == pytest.approx(1 - float(rest), rel=1e-5)


def test_what_is_flat_neither_halves_nor_doubles() -> None:
    found = half_life_of_influence(torch.full((20,), 0.7) + 1e-8)
    assert (found.slope, found.r_squared) == (0, 1)
    assert found.half_life == found.doubling_time == math.inf


def test_unknown_and_zero_influence_do_not_count() -> None:
    nan = math.nan
    found = half_life_of_influence(torch.tensor([8.0, nan, 2.0, 1.0, 0.0], dtype=torch.float64))
    assert found.half_life == pytest.approx(1)


def test_nothing_left_after_one_step_is_a_half_life_of_zero() -> None:
    found = half_life_of_influence(torch.tensor([1.0, 0.0, 0.0]))
    assert (found.half_life, found.doubling_time, found.change(5)) == (0, math.inf, 0)
    assert found.change(0) == 1


@pytest.mark.parametrize("values", [[], [1.0], [math.nan, math.nan, 1.0]])
def test_where_there_is_nothing_to_fit_nothing_is_found(values: list[float]) -> None:
    found = half_life_of_influence(torch.tensor(values))
    assert math.isnan(found.slope)
    assert math.isnan(found.half_life)
    assert math.isnan(found.doubling_time)


def test_growth_beyond_numbers_is_infinite() -> None:
    assert fit(torch.arange(3), torch.tensor([0.0, 5.0, 10.0])).change(1e4) == math.inf


def test_what_is_no_curve_of_norms_is_refused() -> None:
    with pytest.raises(ValueError, match=r"by_lag must have one dimension, .* got shape \(2, 3\)"):
        half_life_of_influence(torch.ones(2, 3))
    with pytest.raises(ValueError, match=r"by_lag must hold norms, .* got -0.5"):
        half_life_of_influence(torch.tensor([1.0, -0.5]))
