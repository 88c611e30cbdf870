"""Sequences of different lengths come back as they were written, and damage is one line."""

import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from unrolled.errors import UserError
from unrolled.tasks.ragged import Ragged, RaggedWriter, pad

FLOATS = st.floats(-100, 100, width=32)


@st.composite
def sequences(draw: st.DrawFn) -> tuple[str, int | None, list[np.ndarray[Any, Any]]]:
    kind = draw(st.sampled_from(["uint8", "uint16", "int64", "float32"]))
    channels = draw(st.none() | st.integers(1, 3))
    rest = () if channels is None else (channels,)
    lengths = draw(st.lists(st.integers(0, 5), max_size=6))
    values = FLOATS if kind == "float32" else st.integers(0, 200)
    found = [draw(arrays.arrays(kind, (n, *rest), elements=values)) for n in lengths]
    return kind, channels, found


@settings(max_examples=40)
@given(sequences())
def test_what_is_written_is_read_and_padded(
    case: tuple[str, int | None, list[np.ndarray[Any, Any]]],
) -> None:
    kind, channels, given_ = case
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sequences")
        with RaggedWriter(path, kind, channels) as writer:
            for one in given_:
                writer.append(one)
        ragged = Ragged.open(path)
        assert (len(ragged), ragged.channels) == (len(given_), channels)
        assert ragged.flat.dtype.name == kind
        assert ragged.lengths.tolist() == [len(one) for one in given_]
        for read, one in zip(ragged, given_, strict=True):
            np.testing.assert_array_equal(read, one)
        if not given_:
            return
        batch, lengths = pad(list(ragged))
        assert lengths.dtype == torch.int64
        assert batch.dtype == (torch.float32 if kind == "float32" else torch.int64)
        for column, one in enumerate(given_):
            assert int(lengths[column]) == len(one)
            np.testing.assert_array_equal(batch[: len(one), column].numpy(), one)
            assert not batch[len(one) :, column].any()
        # The files are numpy's own.
        np.testing.assert_array_equal(np.load(path.with_name("sequences.npy")), ragged.flat)


def written(folder: Path) -> Path:
    with RaggedWriter(folder / "a", "float32", 2) as writer:
        writer.append(np.ones((3, 2), np.float32))
        writer.append(np.zeros((1, 2), np.float32))
    return folder / "a"


def test_a_sequence_cannot_be_written_to(tmp_path: Path) -> None:
    ragged = Ragged.open(written(tmp_path))
    with pytest.raises(ValueError, match="read-only"):
        ragged[0][0] = 1
    with pytest.raises(IndexError):
        ragged[2]
    assert ragged[-1].tolist() == [[0, 0]]


@pytest.mark.parametrize("wrong", [np.ones(3), np.ones((3, 1)), np.float32(1), [["a", "b"]]])
def test_other_shapes_and_types_are_refused(tmp_path: Path, wrong: Any) -> None:
    with RaggedWriter(tmp_path / "a", "float32", 2) as writer:
        with pytest.raises(ValueError, match="expected"):
            writer.append(wrong)
        assert len(writer) == 0
    with (
        RaggedWriter(tmp_path / "b", "uint8") as writer,
        pytest.raises(ValueError, match="expected numbers of uint8"),
    ):
        writer.append(np.ones(2))


def objects(path: Path) -> None:
    np.save(path, np.array([{}], object), allow_pickle=True)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


def rewrite(*offsets: int) -> Any:
    return lambda path: np.save(path, np.array(offsets, np.int64))


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("a.npy", cut, "corrupt or truncated"),
        ("a.npy", objects, "corrupt"),
        ("a.npy", lambda path: path.write_bytes(b"x" * 500), "corrupt"),
        ("a.npy", lambda path: path.unlink(), "no such file"),
        ("a.offsets.npy", cut, "corrupt or truncated"),
        ("a.offsets.npy", rewrite(0, 3, 5), "do not fit"),
        ("a.offsets.npy", rewrite(0, 3, 2, 4), "do not fit"),
        ("a.offsets.npy", rewrite(1, 3, 4), "do not fit"),
        ("a.offsets.npy", rewrite(), "corrupt"),
        ("a.offsets.npy", lambda path: np.save(path, np.zeros(3)), "int64"),
    ],
)
def test_damage_is_one_line(tmp_path: Path, name: str, damage: Any, words: str) -> None:
    path = written(tmp_path)
    damage(path.with_name(name))
    with pytest.raises(UserError, match=words) as error:
        Ragged.open(path)
    assert name in str(error.value)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file can grow beyond a size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("sequences", [1, 40])
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path: Path, sequences: int) -> None:
    def write() -> None:
        with RaggedWriter(tmp_path / "a", "float64") as writer:
            for _ in range(sequences):
                writer.append(np.ones(10_000))

    with full_disk(1 << 14), pytest.raises(OSError, match=r"a\.npy"):
        write()


def test_padding_needs_sequences_that_go_together() -> None:
    with pytest.raises(ValueError, match="none"):
        pad([])
    with pytest.raises(ValueError, match="channels"):
        pad([np.ones((2, 1)), np.ones((2, 2))])
