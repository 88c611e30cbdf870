"""The line is that of least squares over what has a logarithm."""

from __future__ import annotations

import math

import pytest
import torch

from unrolled.lens.fit import fit


def test_the_line_is_that_of_least_squares() -> None:
    x, y = torch.tensor([1.0, 2.0, 5.0, 9.0]), torch.tensor([0.3, -1.0, -1.5, -6.0])
    found = fit(x, y)
    design = torch.stack([x, torch.ones(4)], dim=1)
    slope, intercept = torch.linalg.lstsq(design, y).solution.tolist()
    assert (found.slope, found.intercept) == pytest.approx((slope, intercept), rel=1e-5)
    rest = (y - slope * x - intercept).square().sum() / (y - y.mean()).square().sum()
    assert found.r_squared == pytest.approx(1 - float(rest), rel=1e-5)


def test_what_is_flat_neither_halves_nor_doubles() -> None:
    found = fit(torch.arange(20), torch.full((20,), 0.7) + 1e-8)
    assert (found.slope, found.r_squared) == (0, 1)
    assert found.half_life == found.doubling_time == found.lag_of(-1) == math.inf


def test_where_there_is_no_number_there_is_no_point() -> None:
    logs = torch.tensor([3.0, math.nan, 1.0, 0.0, -math.inf])
    found = fit(torch.arange(5), logs)
    assert (found.slope, found.intercept, found.points) == pytest.approx((-1, 3, 3))
    assert (found.at(2), found.lag_of(0)) == pytest.approx((1, 3))


@pytest.mark.parametrize("logs", [[], [1.0], [math.nan, -math.inf, 1.0]])
def test_where_there_is_nothing_to_fit_nothing_is_found(logs: list[float]) -> None:
    found = fit(torch.arange(len(logs)), torch.tensor(logs))
    assert math.isnan(found.slope)
    assert math.isnan(found.half_life)
    assert math.isnan(found.doubling_time)
