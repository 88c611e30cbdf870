import random
from pathlib import Path

import pytest
import torch


def write_prose(path: Path, words: int = 1500) -> Path:
    """A text with something to learn in it, Hangul among it, the same at every call."""
    draw = random.Random(3)
    vocabulary = [
        "the",
        "cell",
        "remembers",
        "what",
        "came",
        "before",
        "나는",
        "학교에",
        "간다",
        "🙂",
    ]
    lines = (" ".join(draw.choices(vocabulary, k=8)) + ".\n" for _ in range(words // 8))
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def prose(tmp_path: Path) -> Path:
    return write_prose(tmp_path / "prose.txt")
