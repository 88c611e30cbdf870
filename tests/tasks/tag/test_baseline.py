"""The conditional random field beside a model: it learns, and is missed in one sentence."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from unrolled.errors import UserError
from unrolled.tasks.tag.baseline import Baseline, evaluated, train_baseline
from unrolled.tasks.tag.data import TagData, prepare_data
from unrolled.tasks.tag.evaluation import score
from unrolled.tasks.tag.options import DataOptions


def made(folder: Path, *, characters: bool = False) -> TagData:
    """Sentences in which what follows "in" is a place."""
    draw = random.Random(0)
    lines = []
    for _ in range(60):
        words = draw.choices(["we", "met", "and", "sang"], k=3)
        place = draw.choice(["Rome", "Oslo", "Lima", "Bonn"])
        tagged = [(word, "O") for word in (*words, "in")] + [(place, "B-LOC"), (".", "O")]
        if characters:
            tagged = [
                (one, tag if n == 0 or tag == "O" else "I-LOC")
                for word, tag in tagged
                for n, one in enumerate(word)
            ]
        lines.append("".join(f"{word}\t{tag}\n" for word, tag in tagged) + "\n")
    path = folder / "train.txt"
    path.write_text("".join(lines))
    return prepare_data(DataOptions(data=(str(path),)), folder / "cache", seed=0)


@pytest.mark.parametrize("characters", [False, True])
def test_it_learns(tmp_path: Path, characters: bool) -> None:
    data = made(tmp_path, characters=characters)
    path = tmp_path / "baseline.crfsuite"
    baseline = train_baseline(data, path)
    scores = score(*evaluated(baseline, data.val, data.tags.tags), "iob2")
    assert scores.metrics["f1"].value == 1
    assert baseline.penalties is not None
    assert not list(tmp_path.glob(".*"))
    again = Baseline(path, data.tags.tags, character_level=characters)
    tokens = tuple("inRiga.") if characters else ("in", "Riga", ".")
    assert again.predict(tokens) == baseline.predict(tokens)
    assert "B-LOC" in again.predict(tokens)


def test_it_is_missed_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycrfsuite", None)
    with pytest.raises(
        UserError, match=r"needs python-crfsuite: pip install 'unrolled\[baseline\]"
    ):
        train_baseline(made(tmp_path), tmp_path / "baseline.crfsuite")


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"nothing")
    for name in ("a", "none"):
        with pytest.raises(UserError, match=f"{name}: "):
            Baseline(tmp_path / name, ("O",), character_level=False)
