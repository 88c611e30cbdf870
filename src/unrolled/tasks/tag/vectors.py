"""Word vectors from files of text, as word2vec, GloVe and fastText write them.

A line is a word and its numbers, separated by spaces; the first line may be the number of words and
of numbers instead. The file is read once, line by line, and of it only what is needed is kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from unrolled.errors import UserError, reason
from unrolled.files import open_regular
from unrolled.ranges import shown

LONGEST_LINE = 1 << 20
"""Bytes of a line."""

MOST = 65536
"""Numbers of a vector."""


class Vectors(NamedTuple):
    """Vectors of some words.

    Attributes:
        words: The words.
        values: Their vectors, float32 ``[len(words), D]``.
    """

    words: list[str]
    values: npt.NDArray[np.float32]


def read_vectors(path: Path, needed: Collection[str], others: int = 50_000) -> Vectors:
    """Vectors of the words that are needed, and of some others.

    Training only sees the words of its own data, but the model is used on others: the first words
    of such files are the most frequent ones of the language.

    Args:
        path: The file.
        needed: Words that are looked for.
        others: First words of the file that are kept in any case.

    Raises:
        UserError: The file cannot be read, or a line is no word with its numbers; the message names
            the line.
    """
    words: dict[str, int] = {}
    rows: list[npt.NDArray[np.float32]] = []
    size: int | None = None
    try:
        with open_regular(path) as file:
            for number, line in _lines(file, path):
                cells = line.rstrip(b" \r\n\t").split(b" ")
                if number == 1 and len(cells) == 2 and all(cell.isdigit() for cell in cells):
                    size = _size(int(cells[1]), path, number)
                    continue
                if size is None:
                    size = _size(len(cells) - 1, path, number)
                # some files have words with spaces in them
                word = b" ".join(cells[: max(1, len(cells) - size)]).decode("utf-8", "replace")
                found = cells[1:] if len(cells) <= size else cells[-size:]
                if len(found) != size or len(cells) <= size:
                    raise UserError(
                        f"{path}:{number}: expected a word and {size} numbers, got "
                        f"{max(0, len(cells) - 1)} after {shown(word)}"
                    )
                if word in words or (len(rows) >= others and word not in needed):
                    continue
                words[word] = len(rows)
                rows.append(_numbers(found, path, number))
    except OSError as error:
        raise UserError(f"{path}: {reason(error)}") from error
    if size is None or not rows:
        raise UserError(f"{path}: expected a word and its numbers on each line, got an empty file")
    return Vectors(list(words), np.stack(rows))


def _lines(file: BinaryIO, path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers, from 1."""
    for number in itertools.count(1):
        line = file.readline(LONGEST_LINE + 1)
        if not line:
            return
        if len(line) > LONGEST_LINE:
            raise UserError(f"{path}:{number}: the line has over {LONGEST_LINE:,} bytes")
        yield number, line


def _size(size: int, path: Path, number: int) -> int:
    if not 1 <= size <= MOST:
        raise UserError(
            f"{path}:{number}: expected a word and 1 to {MOST} numbers separated by spaces, "
            f"got {size} numbers"
        )
    return size


def _numbers(cells: list[bytes], path: Path, number: int) -> npt.NDArray[np.float32]:
    try:
        values = np.array([float(cell) for cell in cells], np.float32)
    except ValueError:
        wrong = next((n for n, cell in enumerate(cells, 2) if not _is_number(cell)), 0)
        cell = cells[wrong - 2].decode("utf-8", "replace")
        raise UserError(
            f"{path}:{number}: column {wrong}: expected a number, got {shown(cell)}"
        ) from None
    if not np.isfinite(values).all():
        column = int(np.flatnonzero(~np.isfinite(values))[0]) + 2
        raise UserError(f"{path}:{number}: column {column}: expected a finite number in 32 bits")
    return values


def _is_number(cell: bytes) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
