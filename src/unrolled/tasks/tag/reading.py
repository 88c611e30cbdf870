r"""Sentences of files of every form: columns, JSON lines, plain text.

Lines end with ``\n`` or ``\r\n``; a byte-order mark at a file's start is skipped. Nothing is
normalised.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from unrolled.errors import UserError, reason
from unrolled.files import open_regular

from .columns import read_columns
from .json_lines import read_records
from .layout import guess_format, guess_layout
from .options import DataOptions
from .sentences import Sentence, Unit
from .texts import read_texts

LONGEST_LINE = 1 << 24
"""Bytes of a line."""

_HEAD = 1000
"""Lines from which the form of a file is seen."""


def read_sentences(
    files: Iterable[str], options: DataOptions, *, tagged: bool = True, unit: Unit = "word"
) -> Iterator[Sentence]:
    """Sentences of files one after another, in constant memory; ``-`` is the standard input.

    Args:
        files: Names of files.
        options: Form of the files.
        tagged: Whether every sentence must have tags. Where not, a file may have tokens alone,
            and JSON lines text alone.
        unit: Tokens that a text is cut into, where the options do not say.

    Raises:
        UserError: A file cannot be read or used; the line names file, line and column.
    """
    document = 0
    for name in files:
        for sentence in _read_file(name, options, tagged, options.unit or unit, document):
            yield sentence
            document = sentence.document
        document += 1


def _read_file(
    name: str, options: DataOptions, tagged: bool, unit: Unit, document: int
) -> Iterator[Sentence]:
    """Sentences of one file; their documents are numbered from ``document``."""
    opened = nullcontext(sys.stdin.buffer) if name == "-" else open_regular(Path(name))
    name = "standard input" if name == "-" else name
    found = False
    try:
        with opened as file:
            lines = _lines(file, name)
            head = list(itertools.islice(lines, _HEAD))
            everything = itertools.chain(head, lines)
            form = options.format or guess_format(head)
            if form == "jsonl":
                sentences = read_records(everything, name, tagged, unit, document)
            elif form == "text":
                if tagged:
                    raise UserError(f"--format text: {name}: a text has no tags")
                sentences = read_texts(everything, name, unit, document)
            else:
                layout = guess_layout(head, name, options, tagged)
                sentences = read_columns(everything, name, layout, tagged, document)
            for sentence in sentences:
                found = True
                yield sentence
    except OSError as error:
        raise UserError(f"{name}: {reason(error)}") from error
    if not found:
        raise UserError(f"{name}: the file has no sentence")


def _lines(file: BinaryIO, name: str) -> Iterator[str]:
    """Lines of a file without their ends."""
    for number in itertools.count(1):
        line = file.readline(LONGEST_LINE + 1)
        if not line:
            return
        if len(line) > LONGEST_LINE:
            raise UserError(f"{name}:{number}: the line has over {LONGEST_LINE:,} bytes")
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if (zero := line.find(0)) >= 0:
            raise UserError(f"{name}:{number}:{zero + 1}: not a text file: a byte is zero")
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            column = len(line[: error.start].decode("utf-8", "replace")) + 1
            raise UserError(
                f"{name}:{number}:{column}: not text in UTF-8: byte 0x{line[error.start]:02x}"
            ) from error
