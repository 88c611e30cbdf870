"""Small series and small runs of the forecasting task."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from unrolled.tasks.forecast.options import (
    DataOptions,
    ForecastOptions,
    ForecastTraining,
    ModelOptions,
)
from unrolled.tasks.forecast.predictor import ForecastPredictor
from unrolled.tasks.forecast.training import OpenedForecaster, prepare
from unrolled.training.processes import ALONE, Processes
from unrolled.training.run_folder.checkpoint import write_tensors
from unrolled.training.run_folder.folder import RunFolder

Array = npt.NDArray[np.float64]


def wave(rows: int, *, seed: int = 0, period: int = 24, noise: float = 0.1) -> Array:
    """A noisy sine."""
    draw = np.random.default_rng(seed)
    angle = 2 * np.pi * np.arange(rows) / period
    return np.asarray(np.sin(angle) + noise * draw.standard_normal(rows))


def write_table(path: Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    """A CSV file of some columns; None is an empty cell."""
    lines = [",".join(columns)]
    for row in zip(*columns.values(), strict=True):
        lines.append(",".join("" if cell is None else str(cell) for cell in row))
    path.write_text("\n".join(lines) + "\n")
    return path


def hours(rows: int, first: str = "2024-01-01T00") -> list[str]:
    """Times of rows, an hour apart."""
    return [str(np.datetime64(first, "h") + n).replace("T", " ") + ":00" for n in range(rows)]


def write_waves(path: Path, rows: int = 300) -> Path:
    """Two series of an hour a row in long form; the second begins later."""
    ids, times, values = [], [], []
    for at, (name, length) in enumerate((("a", rows), ("b", rows - 40))):
        ids += [name] * length
        times += hours(rows)[rows - length :]
        values += (wave(length, seed=at) * (1 + 4 * at) + 10 * at).round(4).tolist()
    return write_table(path, {"unique_id": ids, "ds": times, "y": values})


Opened = tuple[OpenedForecaster, RunFolder, ForecastOptions]
Opener = Callable[..., Opened]


def open_run(
    place: Path,
    file: Path,
    *,
    data: dict[str, Any] | None = None,
    model: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    processes: Processes = ALONE,
) -> Opened:
    """A run on a file, open for training: sections' options by name."""
    read: dict[str, Any] = {"data": (str(file),), "horizon": 6, "history": 24}
    sizes: dict[str, Any] = {"hidden_size": 8, "input_size": 8, "dropout": 0.0}
    options = ForecastOptions(
        data=DataOptions(**(read | (data or {}))),
        model=ModelOptions(**(sizes | (model or {}))),
        training=ForecastTraining(**({"lens_every": 0} | (training or {}))),
    )
    folder = RunFolder(place / "run")
    if not folder.path.exists():
        folder.path.mkdir()
        prepare(options, folder)
    torch.manual_seed(0)
    return OpenedForecaster(options, folder, processes), folder, options


@pytest.fixture
def opener(tmp_path: Path) -> Opener:
    """Opens a run in a folder of the test's own."""
    return functools.partial(open_run, tmp_path)


def fit(opened: OpenedForecaster, updates: int = 40) -> None:
    """Train for a moment."""
    optimizer = torch.optim.Adam(opened.model.parameters(), lr=0.01)
    opened.model.train()
    for step in range(updates):
        epoch, index = divmod(step, opened.batches.count(0))
        batch = opened.batches.batch(epoch, index)
        optimizer.zero_grad()
        opened.loss(opened.model, batch, None).mean.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    opened.model.eval()


def trained(
    place: Path, file: Path, updates: int = 40, **options: Any
) -> tuple[ForecastOptions, RunFolder]:
    """A trained run on a file."""
    opened, folder, kept = open_run(place, file, **options)
    fit(opened, updates)
    write_tensors(folder.weights, opened.model.state_dict(), {})
    opened.conclude(folder)
    return kept, folder


@pytest.fixture(scope="session")
def waves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with two series."""
    return write_waves(tmp_path_factory.mktemp("waves") / "waves.csv")


@pytest.fixture(scope="session")
def predictor(waves: Path, tmp_path_factory: pytest.TempPathFactory) -> ForecastPredictor:
    """A predictor of these series."""
    place = tmp_path_factory.mktemp("run")
    return ForecastPredictor(*trained(place, waves, training={"level": "50,80"}))
