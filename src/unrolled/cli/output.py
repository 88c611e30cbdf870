"""Output: lines, JSON and CSV, on standard output or in a file that is whole or not there."""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from unrolled.errors import UserError
from unrolled.files import check_regular, replacing
from unrolled.importing import importing

Format = Literal["jsonl", "csv"]


@contextmanager
def loading(what: str, *, quiet: bool = False) -> Iterator[None]:
    """Import in the block what takes seconds; on a terminal a line before it says what is done."""
    if not quiet:
        remark(f"{what} (loading PyTorch …)")
    with importing():
        yield


def remark(text: str) -> None:
    """Say on a terminal what happens; otherwise nobody needs to know."""
    if sys.stderr.isatty():
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def line(text: str) -> None:
    """Write one line to standard output."""
    sys.stdout.write(text + "\n")


def quoted(path: Path | str) -> str:
    """A path as one would type it."""
    return shlex.quote(str(path))


_ENCODERS = {only: json.JSONEncoder(ensure_ascii=only, allow_nan=False) for only in (True, False)}


def as_json(value: object, *, ascii_only: bool = True) -> str:
    """A value as one line of JSON; of numbers that are not finite, null."""
    encode = _ENCODERS[ascii_only].encode
    try:
        return encode(value)
    except ValueError:
        return encode(_finite(value))


def _finite(value: object) -> object:
    """A value in which None stands for numbers that JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Records:
    """A writer of what a model gives, each piece as soon as it is there.

    Args:
        send: Takes text.
        form: Format of mappings; text is written as it is.
        ascii_only: Whether JSON spells all other characters with escapes.
    """

    def __init__(
        self, send: Callable[[str], object], form: Format, *, ascii_only: bool = False
    ) -> None:
        self._send = send
        self._form = form
        self._ascii_only = ascii_only
        self._columns: list[str] | None = None

    def write(self, piece: Mapping[str, Any] | str) -> None:
        """Write one piece.

        Raises:
            UserError: It does not fit into a table: a text, or columns that the first lacks.
        """
        if self._form == "csv":
            self._send(self._rows(piece))
        elif isinstance(piece, str):
            self._send(piece)
        else:
            self._send(as_json(piece, ascii_only=self._ascii_only) + "\n")

    def _rows(self, piece: Mapping[str, Any] | str) -> str:
        if isinstance(piece, str):
            raise UserError("--format csv: the output is text and has no columns")
        cells = dict(_cells(piece))
        rows = []
        if self._columns is None:
            self._columns = list(cells)
            rows.append(self._columns)
        if more := [name for name in cells if name not in self._columns]:
            raise UserError(
                f"--format csv: expected the columns of the first row, {', '.join(self._columns)}, "
                f"got {more[0]} too; --format jsonl takes any"
            )
        rows.append([cells.get(name, "") for name in self._columns])
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue()


def _cells(record: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Columns of a record: ``probability.spam`` for a mapping within it, JSON for a list."""
    for name, value in record.items():
        column = f"{before}{name}"
        if isinstance(value, Mapping):
            yield from _cells(value, f"{column}.")
        elif isinstance(value, str):
            yield column, value
        else:
            yield column, "" if value is None else as_json(value, ascii_only=False)


@contextmanager
def records(out: Path | None, form: Format) -> Iterator[Records]:
    """A writer to standard output, or to a file that takes its name when the block ends.

    Raises:
        UserError: The file cannot be written there.
    """
    if out is None:
        utf8 = codecs.lookup(sys.stdout.encoding).name == "utf-8"
        yield Records(_shown, form, ascii_only=not utf8)
        return
    with replacing(out) as file:
        # lone surrogates, bytes of a name that is not UTF-8, become the escapes that JSON has
        yield Records(lambda text: file.write(text.encode("utf-8", "backslashreplace")), form)


def _shown(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def check_out(out: Path | None, files: Sequence[str] = ()) -> None:
    """Refuse a file for output before any work is done for it.

    Args:
        out: The file; None for standard output.
        files: Files that are read meanwhile.

    Raises:
        UserError: Its folder is not there, it is no regular file, or it is also read.
    """
    if out is None:
        return
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: expected a file in an existing folder")
    if os.path.lexists(out):
        check_regular(out)
    for name in files:
        if out.exists() and Path(name).exists() and out.samefile(name):
            raise UserError(f"--out {out}: expected another file than those that are read")
