r"""Text files of any size as tokens in a memory map.

The files are read twice, in blocks: once for the vocabulary, once for the tokens. Never is more
than a block in memory.

Newlines: ``\r\n`` and ``\r`` are read as ``\n``, so that a text gives the same tokens wherever it
was saved; a byte-order mark at a file's start is skipped. Everything else is kept as it is: no
normalisation, no case folding; a character is one Unicode code point (a Hangul syllable is one
character if it was saved composed, several if decomposed).
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.errors import UserError, reason
from unrolled.files import check_regular, open_regular
from unrolled.tasks.text.vocabulary import UNKNOWN, Vocabulary

BLOCK = 1 << 22
"""Bytes read at a time."""

Tokens = np.ndarray[Any, np.dtype[Any]]


def read_blocks(path: Path) -> Iterator[str]:
    """The text of a file, block by block.

    Raises:
        UserError: There is no such file, it is not a regular one, it cannot be read, it is empty,
            or it is not text in UTF-8 (the error names the first byte that is wrong).
    """
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    read = 0
    begun = False
    try:
        with open_regular(path) as file:
            while block := file.read(BLOCK):
                # Bytes of a character cut by the block's end wait in the decoder.
                waiting = len(decoder.getstate()[0])
                zero = block.find(0)
                if zero >= 0:
                    raise UserError(
                        f"{path}: not a text file: byte {read + zero} is zero; "
                        "expected text in UTF-8"
                    )
                text = _decode(decoder, block, path, read - waiting)
                read += len(block)
                if text and not begun:
                    begun, text = True, text.removeprefix("\ufeff")
                yield newlines.decode(text)
            waiting = len(decoder.getstate()[0])
            _decode(decoder, b"", path, read - waiting, final=True)
            yield newlines.decode("", final=True)
    except OSError as error:
        raise UserError(f"{path}: {reason(error)}") from error
    if read == 0:
        raise UserError(f"{path}: the file is empty")


def read_lines(path: Path) -> Iterator[list[str]]:
    """The lines of a file without their ends, some at a time.

    Raises:
        UserError: As `read_blocks`.
    """
    rest = ""
    for block in read_blocks(path):
        *lines, rest = (rest + block).split("\n")
        yield lines
    if rest:
        yield [rest]


def _decode(
    decoder: codecs.IncrementalDecoder, block: bytes, path: Path, start: int, final: bool = False
) -> str:
    try:
        return decoder.decode(block, final)
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise UserError(
            f"{path}: not text in UTF-8: byte {start + error.start} is 0x{byte:02x}"
        ) from error


@dataclass(frozen=True)
class Count:
    """What the first pass finds.

    Attributes:
        characters: The different characters, in order of code point.
        length: Number of characters.
    """

    characters: str
    length: int


def count(paths: Iterable[Path]) -> Count:
    """First pass: the different characters of some files and their number.

    Raises:
        UserError: As ``read_blocks``.
    """
    seen = np.zeros(0x110000, bool)
    length = 0
    for path in paths:
        for block in read_blocks(path):
            points = np.frombuffer(block.encode("utf-32-le"), np.dtype("<u4"))
            seen[points] = True
            length += len(points)
    return Count("".join(map(chr, np.flatnonzero(seen))), length)


def write_tokens(
    paths: Iterable[Path], vocabulary: Vocabulary, parts: Sequence[tuple[Path, int]]
) -> int:
    """Second pass: write the tokens of some files, one after another, to ``.npy`` files.

    Args:
        paths: Text files.
        vocabulary: Tokens of characters.
        parts: Files to write and how many tokens each takes, in order.

    Returns:
        How many characters were not in the vocabulary.

    Raises:
        UserError: As ``read_blocks``, or the text changed since it was counted.
        OSError: A file cannot be written, or the disk is full.
    """
    unknown = 0
    blocks = (vocabulary.encode(b) for path in paths for b in read_blocks(path))
    rest = np.empty(0, vocabulary.dtype)
    for target, length in parts:
        with target.open("wb") as file:
            header = {"descr": vocabulary.dtype.str, "fortran_order": False, "shape": (length,)}
            np.lib.format.write_array_header_1_0(file, header)
            left = length
            while left:
                if not len(rest):
                    block = next(blocks, None)
                    if block is None:
                        raise UserError("the text changed while it was being read")
                    unknown += int((block == UNKNOWN).sum())
                    rest = block.astype(vocabulary.dtype)
                # Not a memory map: writing to one on a full disk kills the process.
                try:
                    file.write(rest[:left].tobytes())
                except OSError as error:
                    error.filename = error.filename or str(target)
                    raise
                taken = min(left, len(rest))
                rest, left = rest[taken:], left - taken
    if len(rest) or any(len(block) for block in blocks):
        raise UserError("the text changed while it was being read")
    return unknown


def open_tokens(path: Path, vocabulary: Vocabulary) -> Tokens:
    """Tokens of ``write_tokens`` as a read-only memory map.

    Raises:
        UserError: The file is missing, is not what ``write_tokens`` wrote, or holds tokens that
            the vocabulary does not have.
    """
    check_regular(path)
    try:
        tokens: Tokens = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise UserError(f"{path}: {reason(error)}") from error
    except Exception as error:  # numpy's parser of headers raises anything
        raise UserError(f"{path}: corrupt or truncated: {error}") from error
    if tokens.ndim != 1 or tokens.dtype != vocabulary.dtype:
        raise UserError(f"{path}: corrupt: expected one dimension of {vocabulary.dtype}")
    for start in range(0, len(tokens), BLOCK):
        highest = int(tokens[start : start + BLOCK].max())
        if highest >= len(vocabulary):
            raise UserError(
                f"{path}: does not fit the vocabulary: it holds token {highest}, and there are "
                f"{len(vocabulary)}"
            )
    return tokens
