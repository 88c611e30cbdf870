"""A run learns, and never looks ahead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unrolled.errors import UserError
from unrolled.tasks.forecast.data import open_data

from .conftest import Opener, fit, hours, wave, write_table


def test_a_noisy_sine_with_a_covariate_is_forecast_better_than_a_season_ago(
    opener: Opener, tmp_path: Path
) -> None:
    """The covariate bends the series in a way that no linear map can say."""
    rows = 900
    price = np.random.default_rng(1).standard_normal(rows)
    y = wave(rows, noise=0.05) + np.abs(price)
    file = write_table(
        tmp_path / "a.csv", {"ds": hours(rows), "y": y.tolist(), "price": price.tolist()}
    )
    opened, folder, _ = opener(
        file, data={"known": "price"}, model={"hidden_size": 24, "input_size": 24}
    )
    before = opened.validate()["mae"]
    fit(opened, 250)
    assert opened.validate()["mae"] < 0.7 * before
    found = opened.conclude(folder)
    methods = found.details["methods"]
    assert methods["network"]["mae"] < 0.5 * methods["seasonal naive"]["mae"]
    assert methods["network"]["mae"] < 0.7 * methods["linear map"]["mae"]
    assert found.details["bands"]["80"]["coverage"] == pytest.approx(0.8, abs=0.08)
    assert any("The network beats the linear map" in note for note in found.notes)


def test_a_random_walk_is_told_to_be_one(opener: Opener, tmp_path: Path) -> None:
    walk = np.cumsum(np.random.default_rng(0).standard_normal(600)) + 100
    file = write_table(tmp_path / "a.csv", {"ds": range(600), "y": walk.tolist()})
    opened, folder, _ = opener(file, data={"horizon": 1})
    fit(opened, 20)
    found = opened.conclude(folder)
    assert any(note.startswith("The last value is as good") for note in found.notes)


def test_parts_follow_each_other_and_targets_do_not_cross(opener: Opener, waves: Path) -> None:
    _, folder, options = opener(waves, data={"val": "2d", "test": 30})
    data = open_data(folder.path, options)
    for number, part in enumerate(data.plan.parts):
        assert (part.length - part.validation, part.validation - part.train) == (30, 48)
        ends = (part.train, part.validation, part.length)
        begins = (0, part.train, part.validation)
        for windows, begin, end in zip(data[2:], begins, ends, strict=True):
            own = windows.origins[windows.origins[:, 0] == number, 1]
            assert begin <= own.min()
            assert own.max() + 6 == end
    assert len(data.test) == 2 * (30 - 5)


def test_without_validation_and_without_test_it_says_so(opener: Opener, waves: Path) -> None:
    opened, folder, _ = opener(waves, data={"val": 0, "test": 30})
    assert opened.validate() == {}
    assert opened.conclude(folder).metrics["test_mae"].value > 0


def test_without_a_test_part_the_validation_part_is_measured(opener: Opener, waves: Path) -> None:
    opened, folder, _ = opener(waves, data={"val": 30, "test": 0})
    found = opened.conclude(folder)
    assert "mae" in found.metrics
    assert any("a little too good" in note for note in found.notes)


def test_scales_are_of_the_training_part_alone(opener: Opener, tmp_path: Path) -> None:
    values = np.concatenate([wave(200), np.full(100, 1e6)])
    file = write_table(tmp_path / "a.csv", {"ds": hours(300), "y": values.tolist()})
    _, folder, options = opener(file, data={"val": 50, "test": 50})
    scale = open_data(folder.path, options).plan.parts[0].scale
    assert abs(scale.center[0]) < 0.1
    assert scale.spread[0] < 1


CHOICES: list[dict[str, dict[str, Any]]] = [
    {"training": {"loss": "normal"}, "data": {"scale": "revin", "calendar": True}},
    {"training": {"loss": "student"}},
    {"training": {"loss": "squared"}, "data": {"scale": "mean"}, "model": {"skip": False}},
    {"training": {"loss": "absolute"}, "model": {"segment": 5, "series_size": 3}},
    {"data": {"scale": "none"}, "model": {"cell": "slstm", "bidirectional": True}},
]


@pytest.mark.parametrize("chosen", CHOICES, ids=lambda one: next(iter(one)))
def test_losses_scales_and_cells_go_together(
    opener: Opener, waves: Path, chosen: dict[str, dict[str, Any]]
) -> None:
    opened, folder, _ = opener(waves, **chosen)
    before = opened.validate()[opened.objective.name]
    fit(opened, 15)
    assert opened.validate()[opened.objective.name] < before + 0.5
    batch = opened.batches.batch(0, 0)
    losses = opened.step_losses(opened.model, batch, None)
    assert losses is not None
    assert losses.shape == (1, 8)
    assert opened.conclude(folder).metrics["test_mae"].value > 0
    assert "forecast" in (opened.sample() or "")


def test_channels_are_forecast_together(opener: Opener, tmp_path: Path) -> None:
    """One channel is the other of three hours ago, which it cannot tell from itself."""
    draw = np.random.default_rng(0)
    first = draw.standard_normal(500)
    second = np.concatenate([np.zeros(3), first[:-3]])
    columns = {"ds": hours(500), "p": first.tolist(), "q": second.tolist()}
    file = write_table(tmp_path / "a.csv", columns)
    opened, _, _ = opener(
        file,
        data={"targets": "p,q", "multivariate": True, "horizon": 2, "history": 6},
        model={"hidden_size": 32, "input_size": 32, "skip": False},
        training={"loss": "squared"},
    )
    fit(opened, 300)
    batch = opened.batches.batch(0, 0)
    with torch.no_grad():
        found = opened.model(batch)[..., 0]
    errors = (found - batch.targets).square().mean((0, 1))
    assert errors[1] < 0.3
    assert errors[0] > 0.7


def test_what_is_not_read_does_not_count(opener: Opener, tmp_path: Path) -> None:
    """Without the past values a forecast depends on the other columns alone."""
    price = wave(300, seed=4)
    columns = {"ds": hours(300), "y": (2 * price).tolist(), "price": price.tolist()}
    file = write_table(tmp_path / "a.csv", columns)
    opened, _, _ = opener(file, data={"known": "price"}, model={"read_target": False})
    fit(opened, 10)
    batch = opened.batches.batch(0, 0)
    changed = batch._replace(values=torch.full_like(batch.values, 7.0))
    with torch.no_grad():
        assert (opened.model(batch) == opened.model(changed)).all()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"horizon": 250}, "--horizon: no series has 252 rows"),
        ({"history": "30d"}, "--history: 720 steps"),
        ({"test": 3}, "--test: expected 6 steps or more"),
        ({"val": "x"}, "--val: expected a number of steps"),
        ({"val": 0.001}, "--val 0.001: has fewer than 6 steps"),
        ({"known": "price"}, "--known: .* has no column price"),
        ({"log": True}, "--log: expected values above 0"),
    ],
)
def test_stretches_that_do_not_fit_are_refused(
    opener: Opener, waves: Path, data: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        opener(waves, data=data)
