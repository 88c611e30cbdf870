"""Small data and small runs of the classification task."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from unrolled.tasks.classify.options import (
    ClassifyOptions,
    ClassifyTraining,
    DataOptions,
    ModelOptions,
)
from unrolled.tasks.classify.predictor import ClassifyPredictor
from unrolled.tasks.classify.training import OpenedClassifier, prepare
from unrolled.training.processes import ALONE, Processes
from unrolled.training.run_folder.checkpoint import write_tensors
from unrolled.training.run_folder.folder import RunFolder

GOOD = ("fine", "good", "lovely", "great")
BAD = ("poor", "bad", "awful", "dull")


def reviews(count: int, *, seed: int = 0, several: bool = False) -> list[tuple[str, str]]:
    """Texts and labels that a tiny model learns in a second."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        good = number % 3 == 0
        words = [draw.choice(GOOD if good else BAD) for _ in range(draw.randint(1, 4))]
        label = "good" if good else "bad"
        if several and len(words) > 2:
            label += ";long"
        rows.append((" ".join(words) + f" {number}", label))
    return rows


Opened = tuple[OpenedClassifier, RunFolder, ClassifyOptions]
Opener = Callable[..., Opened]


def open_run(
    place: Path,
    rows: list[tuple[str, str]] | None = None,
    *,
    data: dict[str, Any] | None = None,
    model: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    processes: Processes = ALONE,
) -> Opened:
    """A run on small data, open for training: sections' options by name."""
    file = place / "data.tsv"
    if rows is None:
        rows = reviews(90)
    file.write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
    read: dict[str, Any] = {"data": (str(file),), "val_fraction": 0.3}
    sizes: dict[str, Any] = {"hidden_size": 8, "embedding_size": 8, "dropout": 0.0}
    options = ClassifyOptions(
        data=DataOptions(**(read | (data or {}))),
        model=ModelOptions(**(sizes | (model or {}))),
        training=ClassifyTraining(**({"lens_every": 0} | (training or {}))),
    )
    folder = RunFolder(place / "run")
    if not folder.path.exists():
        folder.path.mkdir()
        prepare(options, folder)
    torch.manual_seed(0)
    return OpenedClassifier(options, folder, processes), folder, options


@pytest.fixture
def opener(tmp_path: Path) -> Opener:
    """Opens a run in a folder of the test's own."""
    return functools.partial(open_run, tmp_path)


def fit(opened: OpenedClassifier, updates: int = 60) -> None:
    """Train for a moment."""
    optimizer = torch.optim.Adam(opened.model.parameters(), lr=0.02)
    opened.model.train()
    for step in range(updates):
        epoch, index = divmod(step, opened.batches.count(0))
        batch = opened.batches.batch(epoch, index)
        optimizer.zero_grad()
        opened.loss(opened.model, batch, None).mean.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    opened.model.eval()


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[ClassifyOptions, RunFolder]:
    """A trained run on good and bad reviews."""
    opened, folder, options = open_run(tmp_path_factory.mktemp("reviews"))
    fit(opened)
    write_tensors(folder.weights, opened.model.state_dict(), {})
    opened.conclude(folder)
    return options, folder


@pytest.fixture(scope="session")
def predictor(run: tuple[ClassifyOptions, RunFolder]) -> ClassifyPredictor:
    """Its predictor."""
    return ClassifyPredictor(*run)
