"""Pieces are read from every form alike, and what is wrong is told with file and place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from unrolled.errors import UserError
from unrolled.tasks.music.chords import written_chords
from unrolled.tasks.music.json_rolls import written_rolls
from unrolled.tasks.music.options import DataOptions
from unrolled.tasks.music.pieces import Frame, Keys, Piece, name_of, pitch_of
from unrolled.tasks.music.reading import of_part, read_pieces

FRAMES: list[Frame] = [(48, 55, 64, 72), (), (50, 57), (50, 57)]


def read(path: Path, keys: Keys | None = None) -> list[Piece]:
    return list(read_pieces([str(path)], DataOptions(), keys or Keys()))


def test_json_with_parts_keeps_them(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"test": [[[60]]], "train": [[[62, 50]], [[64], []]]}))
    found = read(path)
    assert [piece.part for piece in found] == ["train", "train", "test"]
    assert found[0].frames == ((50, 62),)
    assert found[1].place == f"{path}: train, piece 2"
    assert [piece.frames for piece in of_part(found, "test")] == [((60,),)]
    assert of_part(found, "valid") == []


def test_json_without_parts_is_pieces_or_one_piece(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(written_rolls([FRAMES, [(60,)]]))
    assert [list(piece.frames) for piece in read(path)] == [FRAMES, [(60,)]]
    path.write_text("[[48, 60], [], [50]]")
    assert [piece.frames for piece in read(path)] == [((48, 60), (), (50,))]


def test_chords_as_pitches_and_as_names(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("C3 G3 E4 C5\n\nD3 A3\n50 57\n---\nBb2 f#4\n---\n")
    assert [list(piece.frames) for piece in read(path)] == [FRAMES, [(46, 66)]]
    assert read(path)[1].place == f"{path}:6"


def test_written_chords_are_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(written_chords([FRAMES, [(), (127,), ()]]))
    assert [list(piece.frames) for piece in read(path)] == [FRAMES, [(), (127,), ()]]


def test_names_of_notes() -> None:
    assert (pitch_of("C4"), pitch_of("A0"), pitch_of("cb4"), pitch_of("B#3")) == (60, 21, 59, 60)
    assert (pitch_of("C-1"), pitch_of("G9")) == (0, 127)
    assert [pitch_of(name_of(pitch)) for pitch in range(128)] == list(range(128))
    assert pitch_of("H2") is None
    assert pitch_of("C#b4") is None


def test_folders_and_their_parts(tmp_path: Path) -> None:
    for part, pitch in (("train", 60), ("valid", 61), ("test", 62)):
        (tmp_path / part).mkdir()
        (tmp_path / part / "b.txt").write_text(f"{pitch}\n")
    (tmp_path / "train" / "a.json").write_text("[[59]]")
    found = read(tmp_path)
    assert [(piece.part, piece.frames[0][0]) for piece in found] == [
        ("train", 59),
        ("train", 60),
        ("valid", 61),
        ("test", 62),
    ]
    assert [piece.part for piece in read(tmp_path / "train")] == [None, None]
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UserError, match=r"nothing: expected files .mid, .midi, .json, .txt, found"):
        read(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[[60], [128]]", ", step 2: expected pitches from 0 to 127, got 128"),
        ("[[60], [-1]]", ", step 2: expected pitches from 0 to 127, got -1"),
        ("[[60], [60.5]]", ", step 2: expected pitches from 0 to 127, got 60.5"),
        ("[[60], [true]]", ", step 2: expected pitches from 0 to 127, got True"),
        ("[[60], 7]", ", step 2: expected a list of pitches, got 7"),
        ('{"train": [[[60]], []]}', ": train, piece 2: the piece is empty"),
        ('{"train": [[[60], ["C"]]]}', ": train, piece 1, step 2: expected pitches"),
        ('{"training": []}', ": expected an object with train, valid, test, got the names"),
        ("7", ": expected an object, a list of pieces, or a list of steps, got 7"),
        ("[]", ": the piece is empty"),
        ("[[60]", ": corrupt or truncated"),
    ],
)
def test_wrong_json(tmp_path: Path, content: str, words: str) -> None:
    wrong(tmp_path / "a.json", content, words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("60\nC4 X\n", ":2: expected pitches or names of notes, such as 60 or C4, got 'X'"),
        ("60\n\n200\n", ":3: expected pitches from 0 to 127, got 200"),
        ("---\n60\n", ":1: the piece before this line is empty"),
        ("60\n---\n---\n", ":3: the piece before this line is empty"),
        ("", ": the file is empty"),
    ],
)
def test_wrong_chords(tmp_path: Path, content: str, words: str) -> None:
    wrong(tmp_path / "a.txt", content, words)


def wrong(path: Path, content: str, words: str) -> None:
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}{words}"), caught.value


def test_pitches_outside_the_keys(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("60\n20 60\n")
    assert read(path)[0].frames == ((60,), (20, 60))
    with pytest.raises(UserError, match=r"a.txt:2: pitch 20 is outside the keys 21 to 108 \(--low"):
        read(path, Keys(21, 108))


@pytest.mark.parametrize("step", ["0", "1/0", "5", "1/2048", "quarter", "0/4", "1/", "0.25"])
def test_wrong_steps(step: str) -> None:
    with pytest.raises(UserError, match="--step: expected a fraction of a whole note"):
        DataOptions(step=step)


def test_keys_in_the_wrong_order() -> None:
    with pytest.raises(UserError, match="--lowest: expected at most --highest 40, got 60"):
        DataOptions(lowest=60, highest=40)


def test_rolls_and_frames() -> None:
    keys: Any = Keys(48, 72)
    roll = keys.roll(FRAMES)
    assert roll.shape == (4, 25)
    assert roll.sum() == 8
    assert keys.frames(roll) == FRAMES
