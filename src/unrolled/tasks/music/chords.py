"""Pieces as lists of chords: a line for each frame, with pitches or names of notes.

An empty line is a rest; a line of three dashes or more stands between two pieces::

    C3 G3 E4 C5
    48 55 64 72

    ---
    D3 A3 F4
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from unrolled.errors import UserError
from unrolled.ranges import shown
from unrolled.tasks.text.reading import read_lines

from .pieces import Frame, Keys, Piece, name_of, pitch_of

BETWEEN = "---"


def read_chords(path: Path, keys: Keys) -> Iterator[Piece]:
    """The pieces of a file.

    Args:
        path: The file.
        keys: Keys that its pitches must be among.

    Raises:
        UserError: The file is no text in UTF-8, a piece is empty, or a word is no pitch; the line
            names the place.
    """
    frames: list[Frame] = []
    start = number = 1
    for number, line in enumerate((line for block in read_lines(path) for line in block), start=1):
        if not re.fullmatch(r"-{3,}", line.strip()):
            frames.append(_frame(line, f"{path}:{number}", keys))
            continue
        if not frames:
            raise UserError(f"{path}:{number}: the piece before this line is empty")
        yield Piece(tuple(frames), f"{path}:{start}")
        frames, start = [], number + 1
    if frames:
        yield Piece(tuple(frames), f"{path}:{start}")


def written_chord(frame: Frame) -> str:
    """A frame as a line of a list of chords."""
    return " ".join(map(name_of, frame)) + "\n"


def written_chords(pieces: Iterable[Iterable[Frame]]) -> str:
    """Pieces as `read_chords` reads them."""
    return f"{BETWEEN}\n".join("".join(map(written_chord, piece)) for piece in pieces)


def _frame(line: str, place: str, keys: Keys) -> Frame:
    pitches = []
    for word in line.split():
        pitch = pitch_of(word)
        if pitch is None:
            raise UserError(
                f"{place}: expected pitches or names of notes, such as 60 or C4, got {shown(word)}"
            )
        pitches.append(pitch)
    return keys.frame(pitches, place)
