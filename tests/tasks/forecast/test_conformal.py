"""Bands cover what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from unrolled.tasks.forecast.conformal import Calibration, Tracker, bands, followed
from unrolled.tasks.forecast.predictor import ForecastPredictor


def draws(seed: int, count: int, horizon: int) -> np.ndarray:
    """Errors that grow with the step."""
    steps = 1 + np.arange(horizon)[None, :, None]
    return np.random.default_rng(seed).standard_normal((count, horizon, 1)) * steps


def test_margins_cover_their_share_of_new_values(predictor: ForecastPredictor) -> None:
    plan = predictor.plan
    flat = np.zeros((1000, plan.horizon, 1, len(plan.quantiles)))
    numbers = np.arange(1000) % 2
    wild = 1 + 3 * numbers[:, None, None]  # the second series is wilder
    calibration = Calibration.fit(plan, flat, draws(0, 1000, plan.horizon) * wild, numbers)
    low, high = bands(plan, flat, flat[..., 0], calibration.of(numbers))
    new = (draws(1, 1000, plan.horizon) * wild)[..., None]
    inside = (new >= low) & (new <= high)
    for number in (0, 1):
        assert inside[numbers == number].mean((0, 1, 2)) == pytest.approx([0.5, 0.8], abs=0.03)
    assert (np.diff(calibration.of(0)[1]) > 0).all()  # a later step is less certain


def test_bands_stand_one_in_the_other_around_the_forecast(predictor: ForecastPredictor) -> None:
    plan = predictor.plan
    found = np.random.default_rng(0).standard_normal((50, plan.horizon, 1, len(plan.quantiles)))
    margins = np.full((50, 2, plan.horizon), -0.3)
    point = found[..., 0]
    low, high = bands(plan, np.sort(found, -1), point, margins)
    assert (low[..., 1] <= low[..., 0]).all()
    assert (low[..., 0] <= point).all()
    assert (point <= high[..., 0]).all()
    assert (high[..., 0] <= high[..., 1]).all()


def test_margins_follow_a_series_that_grows_wilder(predictor: ForecastPredictor) -> None:
    """After a change of scale fixed margins miss half, those that follow come back."""
    plan = predictor.plan
    rows = 1500
    draw = np.random.default_rng(2)
    values = draw.standard_normal(rows + plan.horizon) * 3
    flat = np.zeros((rows, plan.horizon, 1, len(plan.quantiles)))
    calibration = Calibration.fit(
        plan, flat[:500], draws(0, 500, plan.horizon) / 6, np.zeros(500, np.int64)
    )
    margins = followed(plan, calibration, 0, flat, values[:rows, None])
    targets = np.lib.stride_tricks.sliding_window_view(values, plan.horizon)[:rows]
    inside = np.abs(targets) <= margins[:, 1]
    assert (np.abs(targets) <= calibration.of(0)[1]).mean() < 0.5
    assert inside[rows // 2 :].mean() == pytest.approx(0.8, abs=0.03)


def test_a_tracker_forgets_nothing_that_it_waits_for(predictor: ForecastPredictor) -> None:
    """Cut in two by way of its margins and pending bands it goes on as before."""
    plan = predictor.plan
    draw = np.random.default_rng(3)
    quantiles = np.sort(draw.standard_normal((40, plan.horizon, 1, len(plan.quantiles))), -1)
    values = draw.standard_normal((40, 1))
    calibration = Calibration.fit(
        plan, quantiles, draws(0, 40, plan.horizon), np.zeros(40, np.int64)
    )
    whole = Tracker(plan, calibration, 0)
    for one, value in zip(quantiles, values, strict=True):
        whole.promise(one)
        whole.observe(value)
    first = Tracker(plan, calibration, 0)
    for one, value in zip(quantiles[:20], values[:20], strict=True):
        first.promise(one)
        first.observe(value)
    second = Tracker(plan, calibration, 0, first.margins.copy(), first.pending.copy())
    for one, value in zip(quantiles[20:], values[20:], strict=True):
        second.promise(one)
        second.observe(value)
    assert (whole.margins == second.margins).all()
    assert not (whole.margins == calibration.of(0)).all()
