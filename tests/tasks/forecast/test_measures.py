"""Measures by hand, and blocks that intervals draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unrolled.tasks.forecast.measures import Measured, Truth, by_series, by_step
from unrolled.tasks.forecast.predictor import ForecastPredictor

Array = Any


def truth(values: Array, *, series: Array | None = None, naive: float = 2.0) -> Truth:
    count = len(values)
    which = np.zeros(count, np.int64) if series is None else series
    return Truth(values, values / 10, np.full((count, 1), naive), which, np.arange(count))


def test_measures_are_their_definitions(predictor: ForecastPredictor) -> None:
    plan = predictor.plan
    values = np.full((8, plan.horizon, 1), 10.0)
    point = np.full_like(values, 13.0)
    point[:4] = 6.0
    quantiles = np.repeat(point[..., None], len(plan.quantiles), axis=-1)
    low, high = point[..., None] - [1, 3], point[..., None] + [1, 3]
    found = Measured(
        truth(values), point, point / 10, plan, quantiles=quantiles, low=low, high=high
    )
    assert found.value("mae") == pytest.approx(3.5)
    assert found.value("rmse") == pytest.approx(np.sqrt((16 + 9) / 2))
    assert found.value("mase") == pytest.approx(3.5 / 2)
    assert found.value("smape") == pytest.approx((200 * 4 / 16 + 200 * 3 / 23) / 2)
    assert found.value("scaled_mse") == pytest.approx(0.125)
    # All quantiles at one point: what is left is the absolute error.
    assert found.value("crps") == pytest.approx(3.5)
    assert found.value("coverage_50") == 0
    assert found.value("coverage_80") == pytest.approx(0.5)
    assert by_step(point, truth(values)) == pytest.approx([3.5] * plan.horizon)


def test_blocks_are_stretches_of_a_horizon_or_whole_series() -> None:
    values = np.zeros((30, 6, 1))
    assert truth(values).blocks(6).tolist() == [n // 6 for n in range(30)]
    many = np.repeat(np.arange(30), 1)
    assert truth(values, series=many).blocks(6).tolist() == list(range(30))


def test_neighbouring_windows_are_no_independent_items(predictor: ForecastPredictor) -> None:
    """An error that lasts makes the interval wider than the same errors in random order."""
    plan = predictor.plan
    draw = np.random.default_rng(0)
    errors = np.repeat(draw.standard_normal(40), 10)
    widths = []
    for order in (np.arange(400), draw.permutation(400)):
        point = np.repeat(np.abs(errors[order])[:, None, None], plan.horizon, axis=1)
        found = Measured(truth(np.zeros_like(point)), point, point, plan).estimate("mae")
        assert found.low is not None
        assert found.high is not None
        widths.append(found.high - found.low)
    assert widths[0] > 1.5 * widths[1]


def test_the_efficiency_of_a_mean_is_nothing_and_of_the_truth_everything() -> None:
    values = np.random.default_rng(0).standard_normal((50, 1, 1))
    mean = np.full_like(values, values.mean())
    assert by_series(mean, truth(values), {0: "a"})["a"]["nse"] == pytest.approx(0)
    assert by_series(values, truth(values), {0: "a", 1: "b"}) == {
        "a": {"mae": 0.0, "rmse": 0.0, "nse": 1.0, "windows": 50}
    }
