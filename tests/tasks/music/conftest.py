"""Small canons of two voices, and a run that has learned them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

import unrolled

LAG = 3
SCALE = (60, 62, 64, 65, 67)


def canon(seed: int, length: int = 24) -> list[list[int]]:
    """A tune, and an octave lower the same tune, three frames later."""
    draw = random.Random(seed)
    place = draw.randrange(5)
    tune: list[int] = []
    for _ in range(length):
        place = min(4, max(0, place + draw.choice((-1, 1))))
        tune.append(SCALE[place])
    return [
        sorted({pitch, *([tune[t - LAG] - 12] if t >= LAG else [])}) for t, pitch in enumerate(tune)
    ]


def split(folder: Path) -> Path:
    """A file of JSON with train, valid and test."""
    path = folder / "canons.json"
    parts = {"train": range(60), "valid": range(100, 112), "test": range(200, 212)}
    path.write_text(json.dumps({name: [canon(n) for n in own] for name, own in parts.items()}))
    return path


SETTINGS: dict[str, Any] = {
    "hidden_size": 32,
    "voice_size": 16,
    "dropout": 0.0,
    "input_dropout": 0.0,
    "lr": 0.02,
    "ema": 0.8,
    "max_epochs": 30,
    "batch_size": 10,
    "sample_length": 4,
    "lens_every": 0,
    "val_every": 90,
    "threads": 1,
}


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The canons."""
    return split(tmp_path_factory.mktemp("music"))


@pytest.fixture(scope="session", params=["voices", "keys"])
def run(request: pytest.FixtureRequest, data: Path) -> Path:
    """A run of each output."""
    out = data.parent / str(request.param)
    unrolled.train("music", data, out=out, quiet=True, output=request.param, **SETTINGS)
    return out
