"""Facts and warnings of check: range, chords, and pieces that stand there twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unrolled.errors import UserError
from unrolled.tasks.music.inspection import inspect_data
from unrolled.tasks.music.options import DataOptions


def test_facts_and_warnings(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    tune = [[60, 64], [60], [], [62]]
    moved = [[p + 3 for p in frame] for frame in tune]
    high = [[120], [60]]
    parts = {"train": [tune, high, tune], "valid": [moved], "test": [[[70]]]}
    path.write_text(json.dumps(parts))
    facts, warnings = inspect_data(DataOptions(data=(str(path),)))
    assert facts["pieces"] == 3
    assert facts["frames"] == 10
    assert facts["range"] == "60 (C4) to 120 (C9)"
    assert facts["notes in a frame"] == {"0": 2, "1": 6, "2": 2}
    assert facts["different chords"] == 5
    assert facts["share of notes that sound in the frame before, too"] == 2 / 10
    assert facts["valid pieces"] == facts["test pieces"] == 1
    assert warnings == [
        f"1 pieces have pitches outside the keys 21 to 108 (--lowest, --highest): {path}: train, "
        "piece 2",
        f"1 pieces stand twice in one part: {path}: train, piece 3 is {path}: train, piece 1",
        "1 pieces stand in two parts, so a score on one of them is too good: "
        f"{path}: valid, piece 1 is {path}: train, piece 1, transposed",
    ]


def test_without_files() -> None:
    with pytest.raises(UserError, match="--data: expected one file or more"):
        inspect_data(DataOptions())


def test_only_rests(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n\n")
    facts, warnings = inspect_data(DataOptions(data=(str(tmp_path / "a.txt"),)))
    assert facts["range"] == "only rests"
    assert not warnings
