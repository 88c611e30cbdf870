r"""Text from files, folders, patterns and standard input, block by block.

Newlines: ``\r\n`` and ``\r`` are read as ``\n``, so that a text gives the same tokens wherever it
was saved; a byte-order mark at a file's start is skipped. Everything else is kept as it is: no
normalisation, no case folding; a character is one Unicode code point (a Hangul syllable is one
character if it was saved composed, several if decomposed).
"""

from __future__ import annotations

import codecs
import glob
import io
import os
import shutil
import sys
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from unrolled.errors import RUNTIME, UserError, reason
from unrolled.files import check_regular, open_regular

BLOCK = 1 << 22
"""Bytes read at a time."""


class Source(NamedTuple):
    """A file with text.

    Attributes:
        path: The file.
        name: Its name in errors.
    """

    path: Path
    name: str


def sources(names: Sequence[str | Path]) -> list[Source]:
    """The files that are meant by some names, in order.

    Args:
        names: Files; folders, for all ``*.txt`` in them and below; patterns such as
            ``books/**/*.md``; ``-`` for standard input, which is copied to a temporary file once,
            since a text is read twice.

    Raises:
        UserError: There is no such file, a folder or a pattern has none, or standard input cannot
            be read.
    """
    found: list[Source] = []
    for one in names:
        name, path = str(one), Path(one)
        if name == "-":
            found.append(Source(_standard_input(), "standard input"))
        elif path.is_dir():
            found += _all(_below(path), f"{name}: expected files *.txt in this folder")
        elif not path.exists() and glob.has_magic(name):
            matching = map(Path, sorted(glob.glob(name, recursive=True)))  # noqa: PTH207 (absolute ones, too)
            files = (file for file in matching if not file.is_dir())
            found += _all(files, f"{name}: expected files of this pattern")
        else:
            found.append(Source(path, name))
    for source in found:
        check_regular(source.path)
    return found


def _below(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.rglob("*.txt") if not path.is_dir())
    except OSError as error:
        raise UserError(f"{folder}: {reason(error)}") from error


def _all(paths: Iterable[Path], expected: str) -> list[Source]:
    found = [Source(path, str(path)) for path in paths]
    if not found:
        raise UserError(f"{expected}, found none")
    return found


_copies: weakref.WeakKeyDictionary[TextIO, Path] = weakref.WeakKeyDictionary()
"""The copy of each standard input that was read."""


def _standard_input() -> Path:
    """A copy of standard input, which goes when the process ends.

    Raises:
        UserError: It cannot be read, or the copy cannot be written.
    """
    stream = sys.stdin
    if stream is None:
        raise UserError("standard input: it is closed")
    if stream not in _copies:
        handle, name = tempfile.mkstemp(prefix="unrolled-", suffix=".txt")
        weakref.finalize(stream, Path(name).unlink, missing_ok=True)
        try:
            with os.fdopen(handle, "wb") as file:
                shutil.copyfileobj(stream.buffer, file, BLOCK)
        except OSError as error:
            raise UserError(f"standard input: {reason(error)}", code=RUNTIME) from error
        _copies[stream] = Path(name)
    return _copies[stream]


def read(texts: Iterable[Source]) -> Iterator[str]:
    """The texts of some files, one after another, block by block.

    Raises:
        UserError: As `read_blocks`.
    """
    for source in texts:
        yield from read_blocks(source.path, source.name)


def read_blocks(path: Path, name: str = "") -> Iterator[str]:
    """The text of a file, block by block.

    Args:
        path: The file.
        name: Its name in errors; its path unless it is given.

    Raises:
        UserError: There is no such file, it is not a regular one, it cannot be read, it is empty,
            or it is not text in UTF-8 (the error names the first byte that is wrong).
    """
    name = name or str(path)
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    position = 0
    begun = False
    try:
        with open_regular(path) as file:
            while block := file.read(BLOCK):
                # Bytes of a character cut by the block's end wait in the decoder.
                waiting = len(decoder.getstate()[0])
                zero = block.find(0)
                if zero >= 0:
                    raise UserError(
                        f"{name}: not a text file: byte {position + zero} is zero; "
                        "expected text in UTF-8"
                    )
                text = _decode(decoder, block, name, position - waiting)
                position += len(block)
                if text and not begun:
                    begun, text = True, text.removeprefix("\ufeff")
                yield newlines.decode(text)
            waiting = len(decoder.getstate()[0])
            _decode(decoder, b"", name, position - waiting, final=True)
            yield newlines.decode("", final=True)
    except OSError as error:
        raise UserError(f"{name}: {reason(error)}") from error
    if position == 0:
        raise UserError(f"{name}: the file is empty")


def read_lines(path: Path, name: str = "") -> Iterator[list[str]]:
    """The lines of a file without their ends, some at a time.

    Raises:
        UserError: As `read_blocks`.
    """
    rest = ""
    for block in read_blocks(path, name):
        *lines, rest = (rest + block).split("\n")
        yield lines
    if rest:
        yield [rest]


def _decode(
    decoder: codecs.IncrementalDecoder, block: bytes, name: str, start: int, final: bool = False
) -> str:
    try:
        return decoder.decode(block, final)
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise UserError(
            f"{name}: not text in UTF-8: byte {start + error.start} is 0x{byte:02x}"
        ) from error
