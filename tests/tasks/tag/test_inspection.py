"""Facts and warnings before training."""

from __future__ import annotations

from pathlib import Path

from unrolled.tasks.tag.inspection import inspect_data
from unrolled.tasks.tag.options import DataOptions
from unrolled.training.task import Inspection


def inspect(folder: Path, train: str, val: str) -> Inspection:
    for name, content in (("train", train), ("val", val)):
        (folder / name).write_text(content)
    return inspect_data(DataOptions(data=(str(folder / "train"),), val_data=(str(folder / "val"),)))


def test_facts(tmp_path: Path) -> None:
    train = "Ann B-PER\nLee I-PER\nmet O\n\nin O\nRome B-LOC\n\n" + "no O\n\n" * 8
    facts, _ = inspect(tmp_path, train, "Ann B-PER\nsang O\n")
    assert facts["sentences to train on"] == 10
    assert facts["tokens to train on"] == 13
    assert facts["scheme"] == "iob2"
    assert facts["most frequent tag"] == "O, 76.9% of the tokens"
    assert facts["types"] == {"PER": 1, "LOC": 1}
    assert facts["sentences without spans"] == "80.0%"
    assert facts["validation tokens not in training"] == "50.0%"
    assert facts["validation spans not in training"] == "100.0%"


def test_plain_facts(tmp_path: Path) -> None:
    facts, _ = inspect(tmp_path, "a DET\nb NOUN\nc NOUN\n", "a DET\n")
    assert facts["tags"] == {"NOUN": 2, "DET": 1}
    assert facts["scheme"] == "plain"


def test_warnings(tmp_path: Path) -> None:
    train = "a B-X\n\nb I-X\n\na B-X\n\na O\n\nc B-Y\n\n" + "d B-X\n\n" * 2 + "e B-Z\n\n" * 5
    _, warnings = inspect(tmp_path, train, "a O\nb O\n\nc O\n\nd B-X\n")
    name, val = tmp_path / "train", tmp_path / "val"
    assert (
        f"1 tags that do not follow their scheme, read as the CoNLL evaluation does: {name}:3"
        in (warnings)
    )
    conflict = next(line for line in warnings if "other tags" in line)
    assert conflict == (
        "2 sentences have other tags than the same sentence before: "
        f"{name}:7 (as {name}:1), {val}:4 (as {name}:9)"
    )
    twice = next(line for line in warnings if "more than once" in line)
    assert twice.startswith(f"7 sentences stand in the training data more than once: {name}:5 (as")
    assert twice.endswith(", …")
    both = next(line for line in warnings if "validation data stand" in line)
    assert both.startswith("2 ")
    assert "type Y is in the training part only once" in warnings
    assert "type Z is not in the validation part" in warnings


def test_nothing_to_learn(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("a O\n\nb O\n")
    _, warnings = inspect_data(DataOptions(data=(str(path),), val_fraction=0.0))
    assert "no span to train on: every tag is O" in warnings
    assert "there is one tag only, O" in warnings
    assert "nothing to validate on: give --val-data or --val-fraction" in warnings
