"""Lines of a text that stand in the training text, word for word.

A text may repeat lines of the training text: answers of a chatbot, names of speakers, refrains.
There a model can recite, and its nats say nothing about other lines; so both are counted apart.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.errors import UserError
from unrolled.tasks.ragged import load_array
from unrolled.training.run_folder.folder import RunFolder

Tokens = np.ndarray[Any, np.dtype[Any]]
Marks = npt.NDArray[np.bool_]

NAME = "lines.npy"

MOST_LINES = 1_000_000
"""Different lines of a training text that are kept, in 8 bytes each; of more none are."""

LONGEST = 10_000
"""Tokens of a line at most; a longer one is never known."""

_BLOCK = 1 << 20


class KnownLines:
    """The lines of a training text.

    Args:
        hashes: Of each different line a number, sorted.
        ends: Whether each token of the vocabulary ends a line, ``[V]``.
    """

    def __init__(self, hashes: npt.NDArray[np.uint64], ends: Marks) -> None:
        self.hashes, self._ends = hashes, ends

    @classmethod
    def of(cls, tokens: Tokens, ends: Marks) -> KnownLines | None:
        """The lines of a text; None where there are too many.

        Args:
            tokens: The text.
            ends: Whether each token of the vocabulary ends a line.
        """
        found: set[int] = set()
        for start in range(0, len(tokens), _BLOCK):
            for _, _, number in _lines(tokens, start, min(start + _BLOCK, len(tokens)), ends):
                found.add(number)
            if len(found) > MOST_LINES:
                return None
        return cls(np.array(sorted(found), np.uint64), ends)

    def marks(self, tokens: Tokens, start: int, stop: int) -> Marks:
        """Whether each token from ``start`` to ``stop`` is part of a line that is known.

        The token that ends a line is a part of it.
        """
        marks = np.zeros(stop - start, bool)
        parts = list(_lines(tokens, start, stop, self._ends))
        numbers = np.array([number for _, _, number in parts], np.uint64)
        places = np.minimum(np.searchsorted(self.hashes, numbers), len(self.hashes) - 1)
        for known, (first, last, _) in zip(self.hashes[places] == numbers, parts, strict=True):
            marks[max(first - start, 0) : last - start] = known
        return marks

    def save(self, path: Path) -> None:
        """Write to a file.

        Raises:
            OSError: It cannot be written.
        """
        with path.open("wb") as file:
            np.lib.format.write_array(file, self.hashes, version=(1, 0), allow_pickle=False)

    @classmethod
    def load(cls, folder: RunFolder, ends: Marks) -> KnownLines | None:
        """Read them from a run; None if the run has none.

        Raises:
            UserError: The file is corrupt.
        """
        path = folder.path / NAME
        if not path.exists():
            return None
        hashes = load_array(path, mapped=False)
        if hashes.ndim != 1 or hashes.dtype != np.uint64 or not 1 <= len(hashes) <= MOST_LINES:
            raise UserError(f"{path}: corrupt: expected a list of numbers of 64 bits")
        return cls(hashes, ends)


def _lines(tokens: Tokens, start: int, stop: int, ends: Marks) -> Iterator[tuple[int, int, int]]:
    """Begin, end and number of each line that has a token from ``start`` to ``stop``.

    Lines of more than `LONGEST` tokens are left out.
    """
    low, high = max(0, start - LONGEST), min(len(tokens), stop + LONGEST)
    piece = np.asarray(tokens[low:high], np.dtype("<u4"))
    cuts = (np.flatnonzero(ends[piece]) + 1).tolist()
    if low == 0:
        cuts.insert(0, 0)
    if high == len(tokens) and (not cuts or cuts[-1] < len(piece)):
        cuts.append(len(piece))
    for first, last in itertools.pairwise(cuts):
        if low + last <= start or low + first >= stop or last - first > LONGEST:
            continue
        digest = hashlib.blake2b(piece[first:last].tobytes(), digest_size=8).digest()
        yield low + first, low + last, int.from_bytes(digest, "little")
