"""Forecasts step by step: paths drawn from the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from unrolled.errors import UserError
from unrolled.tasks.forecast.heads import Head
from unrolled.tasks.forecast.network import forecasts_of
from unrolled.tasks.forecast.options import ForecastOptions, ForecastTraining, ModelOptions
from unrolled.tasks.forecast.paths import PathNetwork
from unrolled.tasks.forecast.training import OpenedForecaster

from .conftest import Opener, hours, write_table

PATHS = {"model": {"decode": "paths", "series_size": 2}, "training": {"loss": "normal"}}


@pytest.fixture
def opened(opener: Opener, tmp_path: Path) -> OpenedForecaster:
    """A run of two series with a column known in the future and one known in the past."""
    draw = np.random.default_rng(0)
    table = {
        "unique_id": ["a"] * 150 + ["b"] * 150,
        "ds": 2 * hours(150),
        "y": draw.standard_normal(300).round(4).tolist(),
        "sun": draw.standard_normal(300).round(4).tolist(),
        "wind": draw.standard_normal(300).round(4).tolist(),
    }
    file = write_table(tmp_path / "a.csv", table)
    found, _, _ = opener(file, data={"known": "sun", "past": "wind"}, **PATHS)
    found.model.eval()
    return found


def network(opened: OpenedForecaster) -> PathNetwork:
    assert isinstance(opened.model, PathNetwork)
    return opened.model


@torch.no_grad()
def test_a_path_is_what_reading_its_own_values_gives(opened: OpenedForecaster) -> None:
    """Without spread a path is the chain of means, whether it is read step by step or whole."""
    model = network(opened)
    model.readout.bias[1] = -50.0
    model.readout.weight[1] = 0.0
    batch = opened.batches.batch(0, 0)
    paths = model.draw(batch, 3)
    for path in paths:
        means = model(batch._replace(targets=path))[..., 0]
        assert torch.allclose(means, path, atol=2e-3)
    assert paths.std() > 0.05


@torch.no_grad()
def test_a_step_reads_what_is_known_when_it_comes(opened: OpenedForecaster) -> None:
    """Values before it, its own known columns; no later value and no later column."""
    model, batch = network(opened), opened.batches.batch(0, 0)
    found = model(batch)
    for step in range(model.horizon):
        targets, future = batch.targets.clone(), batch.future.clone()
        targets[step] += 1
        after = model(batch._replace(targets=targets))
        changed = (after != found).any(-1).any(-1).any(-1)
        assert changed.tolist() == [s > step for s in range(model.horizon)]
        future[step] += 1
        after = model(batch._replace(future=future))
        changed = (after != found).any(-1).any(-1).any(-1)
        assert changed.tolist() == [s >= step for s in range(model.horizon)]


def test_forecasts_repeat_and_stand_alone(opened: OpenedForecaster) -> None:
    windows = opened._data.validation
    found = forecasts_of(opened.model, windows)
    assert np.array_equal(found.quantiles, forecasts_of(opened.model, windows).quantiles)
    alone = forecasts_of(opened.model, windows.at(windows.origins[2:3]))
    assert np.allclose(alone.point[0], found.point[2], rtol=0, atol=1e-5)
    assert np.allclose(alone.quantiles[0], found.quantiles[2], rtol=0, atol=1e-5)
    assert (np.diff(found.quantiles, axis=-1) >= 0).all()


@pytest.mark.parametrize("kind", ["normal", "student"])
def test_draws_follow_the_distribution(kind: str) -> None:
    """A draw at a chance of q is the distribution's quantile q."""
    levels = (0.05, 0.3, 0.5, 0.9)
    head = Head(kind, levels)  # type: ignore[arg-type]
    zero = torch.zeros(5)
    placed = head.placed(torch.randn(5, head.size), zero + 3, zero + 2)
    expected = head.quantiles(placed)
    for at, level in enumerate(levels):
        drawn = head.drawn(placed, torch.full((5,), level, dtype=torch.float64))
        assert torch.allclose(drawn, expected[:, at], atol=1e-5)


def test_bands_of_a_random_walk_grow_as_the_root_of_the_steps(
    opener: Opener, tmp_path: Path
) -> None:
    draw = np.random.default_rng(0)
    walk = np.cumsum(draw.standard_normal(3000)).round(3).tolist()
    file = write_table(tmp_path / "walk.csv", {"t": range(3000), "y": walk})
    found, _, _ = opener(
        file,
        data={"horizon": 16, "history": 8, "scale": "window"},
        model={"decode": "paths"},
        training={"loss": "normal", "lr": 0.01},
    )
    optimizer = torch.optim.Adam(found.model.parameters(), 0.01)
    found.model.train()
    for index in range(250):
        optimizer.zero_grad()
        loss = found.loss(found.model, found.batches.batch(index // 20, index % 20), None)
        loss.mean.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    quantiles = forecasts_of(found.model, found._data.validation).quantiles
    width = (quantiles[..., -1] - quantiles[..., 0]).mean((0, 2))
    assert 3 < width[15] / width[0] < 5  # 4 = the root of 16


@pytest.mark.parametrize(
    ("model", "training", "message"),
    [
        ({}, {}, "--decode paths: draws from a distribution, expected --loss normal or student"),
        ({"read_target": False}, {"loss": "normal"}, "--no-read-target"),
        ({"bidirectional": True}, {"loss": "normal"}, "--bidirectional"),
        ({"segment": 4}, {"loss": "normal"}, "--segment"),
    ],
)
def test_refusals(model: dict[str, object], training: dict[str, object], message: str) -> None:
    def options() -> ForecastOptions:
        return ForecastOptions(
            model=ModelOptions(decode="paths", **model),  # type: ignore[arg-type]
            training=ForecastTraining(**training),  # type: ignore[arg-type]
        )

    with pytest.raises(UserError, match=message):
        options()
