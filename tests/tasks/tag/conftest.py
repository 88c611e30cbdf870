"""Small tagged sentences: names of people and of places in a few patterns."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import unrolled
from unrolled.tasks.tag.options import DataOptions
from unrolled.tasks.tag.reading import read_sentences
from unrolled.tasks.tag.sentences import Sentence

PATTERNS = (
    "{per} lives in {loc} .",
    "we met {per} and {per} .",
    "the train to {loc} is late",
    "nobody came",
    "{loc} is far from {loc} .",
)
WORDS = {"per": ["Anna", "Bob", "Carla", "Dimitri"], "loc": ["Paris", "Oslo", "New York"]}


def sentence(draw: random.Random) -> list[tuple[str, str]]:
    rows = []
    for word in draw.choice(PATTERNS).split():
        if not word.startswith("{"):
            rows.append((word, "O"))
            continue
        label = word.strip("{}")
        for place, token in enumerate(draw.choice(WORDS[label]).split()):
            rows.append((token, f"{'I' if place else 'B'}-{label.upper()}"))
    return rows


def columns(count: int, seed: int) -> str:
    draw = random.Random(seed)
    lines = ["".join(f"{t}\t{tag}\n" for t, tag in sentence(draw)) for _ in range(count)]
    return "\n".join(lines)


SETTINGS: dict[str, Any] = {
    "hidden_size": 16,
    "word_size": 16,
    "affix_size": 4,
    "character_features": 8,
    "character_size": 8,
    "shape_size": 4,
    "sparse_features": True,
    "word_dropout": 0.05,
    "lr": 0.03,
    "ema": 0.8,
    "max_epochs": 5,
    "batch_size": 16,
    "lens_every": 0,
    "threads": 1,
}


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned these sentences."""
    folder = tmp_path_factory.mktemp("tag")
    (folder / "train.conll").write_text(columns(200, 1), encoding="utf-8")
    (folder / "test.conll").write_text(columns(40, 2), encoding="utf-8")
    unrolled.train("tag", folder / "train.conll", out=folder / "run", quiet=True, **SETTINGS)
    return folder / "run"


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """Sentences of a text or bytes as a file."""

    def run(content: str | bytes, *, tagged: bool = True, **options: Any) -> list[Sentence]:
        path = tmp_path / "a.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(read_sentences([str(path)], DataOptions(**options), tagged=tagged))

    return run


def pairs(sentences: list[Sentence]) -> list[list[tuple[str, str]]]:
    """Each sentence's tokens with their tags."""
    return [list(zip(one.tokens, one.tags or (), strict=True)) for one in sentences]
