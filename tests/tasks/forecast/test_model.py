"""The network and the linear map inside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from unrolled.tasks.forecast.linear import LinearMap
from unrolled.tasks.forecast.model import LinearSkip

from .conftest import Opener, write_table


def test_the_map_inside_the_network_is_the_map() -> None:
    """With weights for each series and channel, and for a series that training did not see."""
    draw = np.random.default_rng(0)
    series, channels, history, horizon, width = 3, 2, 5, 4, 2
    groups = series * channels
    linear = LinearMap(
        draw.standard_normal((groups, history, horizon)),
        draw.standard_normal((groups, horizon)),
        draw.standard_normal((groups, horizon, width)),
        "",
    )
    past = draw.standard_normal((6, history, channels))
    future = draw.standard_normal((6, horizon, width))
    numbers = np.array([0, 2, 1, -1, 2, 0])
    shared = LinearMap(linear.weights[:1], linear.bias[:1], linear.ahead[:1], "")
    for one in (linear, shared):
        inputs = (
            torch.from_numpy(past).float().transpose(0, 1),
            torch.from_numpy(future).float().transpose(0, 1),
        )
        found = LinearSkip(one)(*inputs, torch.from_numpy(numbers)).transpose(0, 1)
        assert np.allclose(found, one(past, future, numbers), atol=1e-5)


def test_windows_side_by_side_do_not_touch(opener: Opener, waves: Path) -> None:
    opened, _, _ = opener(waves, model={"series_size": 2, "skip": True})
    torch.nn.init.normal_(opened.model.readout.weight)
    opened.model.eval()
    batch = opened.batches.batch(0, 0)
    changed = batch.values.clone()
    changed[:, 0] += 1
    with torch.no_grad():
        found = opened.model(batch)
        other = opened.model(batch._replace(values=changed))
    assert (found[:, 1:] == other[:, 1:]).all()
    assert not (found[:, 0] == other[:, 0]).all()


def test_a_shift_of_the_level_shifts_the_forecast(opener: Opener, tmp_path: Path) -> None:
    """Scaled by its own window, a series on a higher level has the same shape."""
    rows = np.random.default_rng(1).standard_normal(200).tolist()
    file = write_table(tmp_path / "a.csv", {"t": range(200), "y": rows})
    for scale in ("window", "revin"):
        opened, _, _ = opener(file, data={"scale": scale}, model={"skip": False})
        torch.nn.init.normal_(opened.model.readout.weight)
        opened.model.eval()
        batch = opened.batches.batch(0, 0)
        with torch.no_grad():
            found = opened.model(batch)
            higher = opened.model(batch._replace(values=batch.values + 5))
        assert torch.allclose(found + 5, higher, atol=1e-3)
        (tmp_path / "run").rename(tmp_path / scale)
