"""The linear map against plain least squares, and what it chooses."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unrolled.tasks.forecast.data import open_data
from unrolled.tasks.forecast.linear import LinearMap

from .conftest import Opener, write_table


def test_the_map_finds_the_equation_of_a_linear_series(opener: Opener, tmp_path: Path) -> None:
    """y follows its own last two values and a known column, and so does the map."""
    draw = np.random.default_rng(0)
    known = draw.standard_normal(400)
    y = np.zeros(400)
    for t in range(2, 400):
        y[t] = 1.6 * y[t - 1] - 0.8 * y[t - 2] + 0.5 * known[t] + 0.01 * draw.standard_normal()
    columns = {"ds": range(400), "y": y.tolist(), "known": known.tolist()}
    file = write_table(tmp_path / "a.csv", columns)
    chosen = {"known": "known", "horizon": 1, "history": 8}
    _, folder, options = opener(file, data=chosen)
    data = open_data(folder.path, options)
    linear = LinearMap.load(folder.path, data.plan)
    scale, ahead = data.plan.parts[0].scale, data.plan.known
    assert np.allclose(linear.weights[0, -2:, 0], [-0.8, 1.6], atol=0.02)
    assert np.allclose(linear.ahead[0, 0] * scale.spread / ahead.spread, 0.5, atol=0.02)
    found = linear(data.test.past_values(8), data.test.future(), data.test.numbers())
    error = (found - data.test.targets()) * scale.spread
    assert np.abs(error).mean() < 0.015


def test_the_map_equals_least_squares_of_differences(opener: Opener, waves: Path) -> None:
    _, folder, options = opener(waves, data={"history": 8, "horizon": 2})
    data = open_data(folder.path, options)
    linear = LinearMap.load(folder.path, data.plan)
    found = linear(data.test.past_values(8), data.test.future(), data.test.numbers())
    if "NLinear" in linear.description:
        assert np.allclose(linear.weights.sum(1), 1)
    past, targets = data.train.past_values(8), data.train.targets()
    rows = np.concatenate([past[:, :, 0], np.ones((len(past), 1))], axis=1)
    plain = np.linalg.lstsq(rows, targets[:, :, 0], rcond=None)[0]
    tested = np.concatenate([data.test.past_values(8)[:, :, 0], np.ones((len(found), 1))], axis=1)
    errors = [
        float(((one - data.test.targets()[:, :, 0]) ** 2).mean())
        for one in (found[:, :, 0], tested @ plain)
    ]
    assert errors[0] < 1.1 * errors[1]


def test_the_network_begins_as_the_linear_map(opener: Opener, waves: Path) -> None:
    """Its read-out is zero, so it cannot be worse than the map before it has learnt."""
    from unrolled.tasks.forecast.network import forecasts_of

    opened, folder, options = opener(waves)
    data = open_data(folder.path, options)
    linear = LinearMap.load(folder.path, data.plan)
    expected = linear(data.test.past_values(24), data.test.future(), data.test.numbers())
    found = forecasts_of(opened.model, data.test)
    assert np.allclose(found.point, expected, atol=1e-4)
