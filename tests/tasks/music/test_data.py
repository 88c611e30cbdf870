"""Parts of the data, the cache, and transposition."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from unrolled.errors import UserError
from unrolled.tasks.music.data import (
    batch_of,
    divide,
    open_data,
    prepare_data,
    transposed,
)
from unrolled.tasks.music.options import DataOptions, Part
from unrolled.tasks.music.pieces import Keys, Piece


def piece(pitch: int, part: Part | None = None) -> Piece:
    return Piece(((pitch,), (pitch + 1,)), "here", part)


def test_parts_of_the_files_are_kept() -> None:
    given = [piece(60, "train"), piece(61, "valid"), piece(62, "test"), piece(63)]
    train, val = divide(given, [], DataOptions(data=("a",)), 0)
    assert train == [given[0], given[3]]
    assert val == [given[1]]
    other = [piece(70, "train"), piece(71, "valid"), piece(72)]
    _, val = divide(given, other, DataOptions(data=("a",), val_data=("b",)), 0)
    assert val == other[1:]


def test_a_share_is_drawn_and_equal_pieces_stay_together() -> None:
    given = [piece(40 + n // 2) for n in range(40)]
    options = DataOptions(data=("a",), val_fraction=0.25)
    train, val = divide(given, [], options, 0)
    assert (len(train), len(val)) == (30, 10)
    assert not {one.frames for one in train} & {one.frames for one in val}
    assert divide(given, [], options, 0) == (train, val)
    assert divide(given, [], options, 1)[1] != val


def test_data_without_pieces() -> None:
    options = DataOptions(data=("a",), val_data=("b",))
    with pytest.raises(UserError, match="a: expected pieces to train on, found none"):
        divide([piece(60, "test")], [], options, 0)
    with pytest.raises(UserError, match="b: expected pieces to validate on, found none"):
        divide([piece(60)], [piece(60, "test")], options, 0)
    with pytest.raises(UserError, match="a: too few pieces to keep some for validation"):
        divide([piece(60)] * 3, [], DataOptions(data=("a",)), 0)


def test_the_cache(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"train": [[[60], [], [60, 62]]], "valid": [[[59], []]]}))
    options, keys = DataOptions(data=(str(path),), lowest=59, highest=62), Keys(59, 62)
    prepare_data(options, tmp_path / "cache")
    found = open_data(tmp_path / "cache", keys)
    assert found.train[0].tolist() == [[0, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 1]]
    assert [len(roll) for roll in found.val] == [2]
    with pytest.raises(UserError, match=r"train.npy: corrupt: expected rows of 5 keys"):
        open_data(tmp_path / "cache", Keys(59, 63))


def test_pieces_of_one_frame_alone_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"train": [[[60], [60]]], "valid": [[[60]], [[62]]]}')
    with pytest.raises(
        UserError, match="valid, piece 1: expected a piece of two frames or more to"
    ):
        prepare_data(DataOptions(data=(str(path),)), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_batches_are_filled_up_with_silence() -> None:
    batch = batch_of([np.ones((2, 3), np.uint8), np.ones((4, 3), np.uint8)])
    assert batch.frames.shape == (4, 2, 3)
    assert batch.mask.tolist() == [[True, True], [True, True], [False, True], [False, True]]
    assert batch.frames.sum(2).tolist() == [[3, 3], [3, 3], [0, 3], [0, 3]]


def test_transposition_keeps_intervals_and_the_keys() -> None:
    roll = Keys(60, 69).roll([(62, 66), (), (65,)])
    draw = np.random.default_rng(0)
    found = {tuple(Keys(60, 69).frames(transposed(roll, 6, draw))) for _ in range(200)}
    # 62 can go down by two, 66 up by three
    assert found == {((62 + s, 66 + s), (), (65 + s,)) for s in range(-2, 4)}
    assert len({tuple(Keys(60, 69).frames(transposed(roll, 1, draw))) for _ in range(50)}) == 3
    assert transposed(roll, 0, draw) is roll
    assert not transposed(np.zeros((3, 10), np.uint8), 6, draw).any()
