"""Pieces as frames of pitches, and frames as rows of keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from unrolled.errors import UserError
from unrolled.ranges import shown

from .options import Part

Frame = tuple[int, ...]
"""The MIDI pitches that sound at one time, in order, each once; empty for a rest."""

Roll = npt.NDArray[np.uint8]
"""A piano roll ``[T, K]`` of 0 and 1."""

_LETTERS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


class Piece(NamedTuple):
    """A piece of music.

    Attributes:
        frames: Its frames, one or more.
        place: File, and place within it.
        part: Part of the data set that it belongs to, where its file says so.
    """

    frames: tuple[Frame, ...]
    place: str
    part: Part | None = None


@dataclass(frozen=True)
class Keys:
    """The keys of a piano roll.

    Attributes:
        lowest: MIDI pitch of the first column.
        highest: MIDI pitch of the last column.
    """

    lowest: int = 0
    highest: int = 127

    @property
    def count(self) -> int:
        """Number of keys K."""
        return self.highest - self.lowest + 1

    def frame(self, pitches: Iterable[Any], place: str) -> Frame:
        """A frame of given pitches.

        Raises:
            UserError: One is no whole number from 0 to 127, or none of the keys.
        """
        found = set()
        for pitch in pitches:
            if not isinstance(pitch, int) or isinstance(pitch, bool) or not 0 <= pitch <= 127:
                raise UserError(f"{place}: expected pitches from 0 to 127, got {shown(pitch)}")
            if not self.lowest <= pitch <= self.highest:
                raise UserError(
                    f"{place}: pitch {pitch} is outside the keys {self.lowest} to {self.highest} "
                    "(--lowest, --highest)"
                )
            found.add(pitch)
        return tuple(sorted(found))

    def roll(self, frames: Sequence[Frame]) -> Roll:
        """Frames as a piano roll ``[T, K]``."""
        roll: Roll = np.zeros((len(frames), self.count), np.uint8)
        for row, frame in zip(roll, frames, strict=True):
            row[[pitch - self.lowest for pitch in frame]] = 1
        return roll

    def frames(self, roll: npt.ArrayLike) -> list[Frame]:
        """A piano roll ``[T, K]`` as frames."""
        return [
            tuple(int(key) + self.lowest for key in np.flatnonzero(row)) for row in np.asarray(roll)
        ]


def pitch_of(word: str) -> int | None:
    """The pitch of a number or of a note's name, such as ``C4`` (60), ``F#3`` or ``Bb2``.

    Returns:
        The pitch, which may be outside 0 to 127; None where the word is neither.
    """
    if re.fullmatch(r"-?[0-9]{1,9}", word):
        return int(word)
    found = re.fullmatch(r"([A-Ga-g])([#♯]*|[b♭]*)(-?[0-9]{1,2})", word)
    if found is None:
        return None
    letter, signs, octave = found.groups()
    shift = len(signs) if signs[:1] in ("#", "♯") else -len(signs)
    return 12 * (int(octave) + 1) + _LETTERS[letter.lower()] + shift


def name_of(pitch: int) -> str:
    """Name of a pitch: ``C4`` for 60."""
    return f"{_NAMES[pitch % 12]}{pitch // 12 - 1}"
