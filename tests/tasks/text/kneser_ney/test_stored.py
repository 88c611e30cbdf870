"""Whatever a file holds, it is a model that predicts, or one clear line."""

import io
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.errors import UserError
from unrolled.tasks.text.kneser_ney.model import KneserNey
from unrolled.tasks.text.kneser_ney.stored import read, write

TEXT = (np.random.default_rng(0).zipf(1.5, 400) % 6).astype(np.uint8)
Arrays = dict[str, np.ndarray[Any, Any]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "model.npz"
    write(file, KneserNey.fit(TEXT, 7, 4))
    return file


@pytest.mark.parametrize(("length", "order"), [(1, 5), (3, 5), (400, 1), (400, 4), (400, 12)])
def test_a_model_comes_back(length: int, order: int, tmp_path: Path) -> None:
    model = KneserNey.fit(TEXT[:length], 7, order)
    write(tmp_path / "m.npz", model)
    again = read(tmp_path / "m.npz")
    assert again.nats(TEXT).tolist() == model.nats(TEXT).tolist()
    assert again.vocabulary_size == 7


def test_large_tokens_come_back(tmp_path: Path) -> None:
    text = np.array([2**32 - 1, 0, 2**32 - 1, 7, 0], np.uint32)
    model = KneserNey.fit(text, 2**32, 3)
    write(tmp_path / "m.npz", model)
    assert read(tmp_path / "m.npz").nats(text).tolist() == model.nats(text).tolist()


def test_the_file_holds_small_numbers(path: Path) -> None:
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays["tokens_4"].dtype == np.uint8
        assert arrays["counts_4"].dtype == np.uint8


def changed(**changes: Callable[[np.ndarray[Any, Any]], Any]) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        for name, of in changes.items():
            arrays[name] = np.asarray(of(arrays[name]))

    return change


def first(value: int) -> Callable[[np.ndarray[Any, Any]], Any]:
    return lambda array: np.concatenate([[np.uint64(value)], array[1:].astype(np.uint64)])


def emptied(arrays: Arrays) -> None:
    for name in ("tokens_4", "counts_4"):
        arrays[name] = arrays[name][:0]


def thirteen(arrays: Arrays) -> None:
    for name in ("tokens", "counts", "children"):
        arrays |= {f"{name}_{order}": np.ones(1, np.uint8) for order in range(1, 14)}


HOSTILE: dict[str, Callable[[Arrays], object]] = {
    "no counts": lambda arrays: arrays.pop("counts_2"),
    "no arrays": lambda arrays: arrays.clear(),
    "an order left out": lambda arrays: [arrays.pop(f"{n}_1") for n in ("tokens", "counts")],
    "one more": lambda arrays: arrays.update(more=np.zeros(1, np.uint8)),
    "objects": changed(counts_2=lambda a: np.array([{}] * len(a), object)),
    "text": changed(tokens_1=lambda a: a.astype("U1")),
    "signed": changed(tokens_1=lambda a: a.astype(np.int64)),
    "not a list": changed(counts_2=lambda a: a[None]),
    "a number": changed(counts_2=lambda a: a[0]),
    "13 orders": thirteen,
    "an empty order": emptied,
    "vocabulary of none": changed(vocabulary_size=first(0)),
    "vocabulary too large": changed(vocabulary_size=first(2**32 + 1)),
    "two vocabularies": changed(vocabulary_size=lambda a: np.repeat(a, 2)),
    "a token beyond": changed(tokens_3=first(7)),
    "a token far beyond": changed(tokens_3=first(2**63)),
    "tokens out of order": changed(tokens_2=lambda a: a[::-1].copy()),
    "the same n-gram twice": changed(tokens_2=lambda a: np.zeros_like(a)),
    "a count of zero": changed(counts_1=first(0)),
    "a count too large": changed(counts_1=first(2**32)),
    "counts cut": changed(counts_4=lambda a: a[:-1]),
    "children cut": changed(children_2=lambda a: a[:-1]),
    "children of none": changed(children_2=lambda a: np.zeros_like(a)),
    "children too many": changed(children_2=lambda a: np.full(len(a), 2**64 - 1, np.uint64)),
    "children that wrap around": changed(children_2=first(2**63)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_one_clear_line(name: str, path: Path) -> None:
    with np.load(path, allow_pickle=False) as found:
        arrays = dict(found)
    HOSTILE[name](arrays)
    np.savez(path, **arrays)
    with pytest.raises(UserError, match="corrupt or truncated: ") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_arrays_that_are_compressed_are_refused(path: Path) -> None:
    """A small file cannot fill the memory."""
    with np.load(path, allow_pickle=False) as found:
        np.savez_compressed(path, **found)
    with pytest.raises(UserError, match="not compressed"):
        read(path)


def test_a_damaged_file_is_one_clear_line_or_the_same_model(path: Path) -> None:
    content = path.read_bytes()
    expected = read(path).nats(TEXT).tolist()
    draw = random.Random(0)
    for _ in range(int(os.environ.get("UNROLLED_FLIPS", "0")) or 300):
        damaged = bytearray(content)
        if draw.random() < 0.2:
            del damaged[draw.randrange(len(damaged)) :]
        else:
            damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        line = ""
        try:
            assert read(path).nats(TEXT).tolist() == expected
        except UserError as error:
            line = str(error)
        assert "\n" not in line
        assert len(line) < 500


def test_other_files_are_one_clear_line(tmp_path: Path) -> None:
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    for content in (b"", b"PK\x03\x04", b"x" * 5000, empty.getvalue()):
        (tmp_path / "m.npz").write_bytes(content)
        with pytest.raises(UserError, match="corrupt or truncated"):
            read(tmp_path / "m.npz")
    with pytest.raises(UserError, match="no such file"):
        read(tmp_path / "none.npz")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="got a pipe"):
        read(tmp_path / "pipe")
