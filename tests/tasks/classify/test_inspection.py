"""A look at the data names what would spoil the training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.errors import UserError
from unrolled.tasks.classify.inspection import inspect_data
from unrolled.tasks.classify.options import DataOptions
from unrolled.training.task import Inspection


def saved(folder: Path, name: str, rows: list[str]) -> str:
    path = folder / name
    path.write_text("\n".join(rows), encoding="utf-8")
    return str(path)


def look(*files: str, **options: Any) -> Inspection:
    return inspect_data(DataOptions(data=files, **options))


def test_facts_and_warnings_of_texts(tmp_path: Path) -> None:
    rows = ["text,label", *(f"ham number {i},ham" for i in range(17))]
    rows += ["Ham  number 3,spam", ",ham", "x", "long " + "x" * 90 + ",spam", "alone,egg"]
    path = saved(tmp_path, "a.csv", rows)
    facts, warnings = look(path)
    assert facts["columns"] == "text text, label label"
    assert facts["items"] == 20
    assert facts["items of each label"] == {"egg": 1, "ham": 17, "spam": 2}
    assert facts["share of the most frequent label"] == 17 / 20
    assert (facts["shortest"], facts["median length"], facts["longest"]) == (5, 12, 95)
    assert (facts["duplicates"], facts["duplicates with other labels"]) == (1, 1)
    assert facts["broken or empty rows"] == 2
    told = "\n".join(warnings)
    for words in (
        "2 broken or empty rows stop the training; --skip-broken goes on",
        f"{path}:20: the text is empty",
        f"{path}:21: expected 2 columns, got 1",
        "1 labels are seen once",
        f"{path}:23: the only egg",
        "85% of the items are ham",
        f"{path}:19: spam, but ham at {path}:5",
        "the longest item has 95 characters, 95 % have at most 13; --max-length 13 saves time",
    ):
        assert words in told


def test_validation_files_are_compared(tmp_path: Path) -> None:
    train = saved(tmp_path, "a.tsv", [f"{'ab'[i % 2]}\ttext {i % 20}" for i in range(40)])
    val = saved(tmp_path, "v.tsv", ["b\tText 0", "a\ttext 2", "c\t가나", "c\t나"])
    facts, warnings = look(train, val_data=(val,))
    assert facts["validation items seen in training"] == 2
    assert facts["the same with other labels"] == 1
    assert facts["validation characters not known"] == 3
    assert facts["share of these"] == pytest.approx(4 / 15)
    told = "\n".join(warnings)
    for words in (
        "2 validation items stand in the training files, too",
        f"{val}:2: also at {train}:3",
        f"{val}:1: b, but a at {train}:1",
        f"{val}:3: no training item has the label c",
        "20 of 40 items repeat an earlier one",
    ):
        assert words in told


def test_series(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(6, 5, 2))
    values[:, :, 1] = 3
    np.savez(tmp_path / "a.npz", X=values, y=[0, 1] * 3)
    options = DataOptions(data=(str(tmp_path / "a.npz"),), max_length=4)
    facts, warnings = inspect_data(options)
    assert (facts["format"], facts["channels"], facts["length in"]) == ("npz", 2, "steps")
    assert facts["longer than --max-length"] == 6
    assert list(warnings) == ["1 channels never change: 2"]


def test_data_that_cannot_be_read_at_all(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        look(str(tmp_path / "none.csv"))
    with pytest.raises(UserError, match=r"a\.csv:2: the text is empty"):
        look(saved(tmp_path, "a.csv", ["text,label", " ,b"]))
    with pytest.raises(UserError, match="--data: expected one file or more"):
        look()
