"""The cache: what is read comes back, the validation part, and damaged files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.errors import UserError
from unrolled.tasks.tag.data import (
    SentenceStore,
    TagData,
    TagSet,
    open_data,
    prepare_data,
    validation_part,
)
from unrolled.tasks.tag.options import DataOptions


@pytest.fixture
def prepare(tmp_path: Path) -> Any:
    def run(train: str, val: str | None = None, *, seed: int = 0, **options: Any) -> TagData:
        (tmp_path / "train.txt").write_text(train, encoding="utf-8")
        if val is not None:
            (tmp_path / "val.txt").write_text(val, encoding="utf-8")
            options["val_data"] = (str(tmp_path / "val.txt"),)
        files = (str(tmp_path / "train.txt"),)
        return prepare_data(DataOptions(data=files, **options), tmp_path / "cache", seed=seed)

    return run


BIOES = 'Ann S-PER\nmet O\n" O\n\nNew B-LOC\nYork I-LOC\nCity E-LOC\n'


def test_any_scheme_is_kept_as_iob2(prepare: Any, tmp_path: Path) -> None:
    data = prepare(BIOES, "met O\nYork S-LOC\n")
    assert data.tags == TagSet(("O", "B-LOC", "I-LOC", "B-PER", "I-PER"), "bioes", "word")
    assert data.tags.types == ("LOC", "PER")
    assert [one[:2] for one in data.train] == [
        (("Ann", "met", '"'), (3, 0, 0)),
        (("New", "York", "City"), (1, 2, 2)),
    ]
    assert data.val[0][:2] == (("met", "York"), (0, 1))
    assert data.train[-1].place == f"{tmp_path / 'train.txt'}:5"
    assert data.train.lengths.tolist() == [3, 3]
    again = open_data(tmp_path / "cache")
    assert again.tags == data.tags
    assert again.train[:] == data.train[:]
    with pytest.raises(IndexError):
        data.train[2]


def test_plain_tags_and_characters(prepare: Any) -> None:
    data = prepare("나\tNP\n \tSP\n\n는\tJX\n", val_fraction=0.5)
    assert data.tags == TagSet(("JX", "NP", "SP"), "plain", "character")
    assert len(data.train) == len(data.val) == 1


def test_any_text_comes_back(prepare: Any) -> None:
    tokens = ("a\nb", '"', "\\", "\u2028", "🙂", "\x1f", "é", "e\u0301")
    line = json.dumps({"tokens": tokens, "tags": ["X"] * len(tokens)})
    data = prepare(line, val_fraction=0)
    assert data.train[0].tokens == tokens
    assert len(data.val) == 0
    assert data.val[:] == []


def test_a_tag_that_only_the_validation_part_has(prepare: Any) -> None:
    """Drawn from the same files it is known; in files of its own it is an error."""
    many = "a X\n\n" * 20
    data = prepare(many + "b Y\n", val_fraction=0.5)
    assert data.tags.tags == ("X", "Y")
    with pytest.raises(UserError, match=r"val\.txt:2: unknown tag 'Y'; known from training: X$"):
        prepare(many, "a X\nb Y\n")
    with pytest.raises(UserError, match=r"val\.txt:1: unknown tag 'B-Y'; known from training: X$"):
        prepare("a B-X\nb O\n", "b B-Y\n")
    with pytest.raises(UserError, match=r"val\.txt:1: unknown tag 'NOUN'; expected tags of the sc"):
        prepare("a B-X\nb O\n", "b NOUN\n")


def test_the_scheme_may_be_given(prepare: Any) -> None:
    assert prepare("a X\nb O\n", scheme="io", val_fraction=0).train[0].tags == (1, 0)
    assert prepare("a B-X\nb O\n", scheme="plain", val_fraction=0).tags.tags == ("B-X", "O")
    with pytest.raises(UserError, match=r"train\.txt:2: unknown tag 'Y'; .* the scheme iob2"):
        prepare("a B-X\nb Y\n", scheme="iob2")


def test_strict(prepare: Any) -> None:
    data = "a O\nb I-X\nc O\n\na B-X\nb I-X\n\nc B-X\n"
    assert prepare(data, val_fraction=0).train[0].tags == (0, 1, 0)
    with pytest.raises(UserError, match=r"train\.txt:2: 'I-X' cannot follow 'O' in iob2"):
        prepare(data, strict=True)
    with pytest.raises(UserError, match=r"txt:1: 'I-X' cannot follow the beginning of a sentence"):
        prepare("b I-X\n\na B-X\n\nb B-X\n", strict=True)
    with pytest.raises(UserError, match=r"txt:4: a sentence cannot end with 'B-X' in bioes"):
        prepare("a S-X\n\nb O\nc B-X\n", strict=True)


def test_documents_stay_whole(prepare: Any) -> None:
    data = "".join(f"-DOCSTART- O\n\n{n}a O\n\n{n}b O\n\n" for n in range(10))
    parts = [prepare(data, val_fraction=0.3, seed=seed).val[:] for seed in (0, 1)]
    for part in parts:
        numbers = [sentence.tokens[0][0] for sentence in part]
        assert len(numbers) == 6
        assert all(numbers.count(number) == 2 for number in numbers)
    assert parts[0] != parts[1]


@pytest.mark.parametrize(
    ("documents", "fraction", "kept"),
    [
        ([1, 1, 1, 1], 0.25, 1),  # the end of the only one
        ([1, 2], 0.01, 1),
        ([1], 0.5, 0),
        ([1, 2, 3], 0.0, 0),
        ([1, 2, 3], 0.999, 2),
        (list(range(100)), 0.1, 10),
    ],
)
def test_the_validation_part(documents: list[int], fraction: float, kept: int) -> None:
    part = validation_part(np.array(documents), fraction, 0)
    assert part.sum() == kept
    assert (part == validation_part(np.array(documents), fraction, 0)).all()


def test_no_data_and_standard_input() -> None:
    with pytest.raises(UserError, match="--data: expected one file or more"):
        prepare_data(DataOptions(), Path("none"), seed=0)
    with pytest.raises(UserError, match="the data is read twice"):
        prepare_data(DataOptions(data=("-",)), Path("none"), seed=0)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tags.json", b"{}"),
        ("tags.json", b'{"format": 1, "kind": "tags", "scheme": "iob2", "tags": ["O"]}'),
        ("tags.json", b'{"format":1,"kind":"tags","scheme":"iob2","unit":"word","tags":["O","x"]}'),
        ("tags.json", b'{"format":1,"kind":"tags","scheme":"iob9","unit":"word","tags":["O"]}'),
        ("train.jsonl", b""),
        ("train.npy", b""),
        ("train.npy", b"\x93NUMPY\x01\x00"),
        ("val.jsonl", b"more"),
    ],
)
def test_damaged_files(prepare: Any, tmp_path: Path, name: str, content: bytes) -> None:
    prepare(BIOES)
    (tmp_path / "cache" / name).write_bytes(content)
    with pytest.raises(UserError, match=name):
        open_data(tmp_path / "cache")


@pytest.mark.parametrize(
    "line", ["[]", "nothing", '[["a"],[7],""]', '[["a"],[0,0],""]', "[[],[],1]"]
)
def test_damaged_sentences(tmp_path: Path, line: str) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(line)
    np.save(path.with_suffix(".npy"), np.array([[len(line), 1]]))
    with pytest.raises(UserError, match=r"train\.jsonl.*: corrupt"):
        SentenceStore(path, 3)[0]


def test_an_index_of_objects_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text("")
    np.save(path.with_suffix(".npy"), np.array([{}], object), allow_pickle=True)
    with pytest.raises(UserError, match=r"train\.npy: corrupt"):
        SentenceStore(path, 3)


@pytest.mark.parametrize("index", [[[5, 1], [3, 1], [9, 1]], [[9, 0]], [[8, 1]]])
def test_an_index_that_does_not_fit(tmp_path: Path, index: list[list[int]]) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text("x" * 9)
    np.save(path.with_suffix(".npy"), np.array(index))
    with pytest.raises(UserError, match="does not fit its index"):
        SentenceStore(path, 3)
