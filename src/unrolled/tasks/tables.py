"""Tables in files: CSV, TSV, JSON lines and Parquet, row by row in constant memory.

::

    table = Table(Path("reviews.csv"))
    for row in table.rows(["text", "label"]):
        print(row.place, row.cells)  # reviews.csv:2 ['Good.', 'positive']

Text files are UTF-8 unless another encoding is given; a byte-order mark is skipped, and all kinds
of line ends are read. In CSV a cell in double quotes may hold separators, line breaks and doubled
quotes; TSV has no quotes. An error names file and line.
"""

from __future__ import annotations

import codecs
import io
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from unrolled.errors import UserError, reason
from unrolled.files import open_regular

BLOCK = 1 << 20
"""Bytes read at a time."""

LONGEST_LINE = 1 << 26
"""Characters of a line, and of a cell over several lines."""

SAMPLE = 20
"""Rows by which a header is told from data."""

Format = Literal["csv", "tsv", "jsonl", "parquet"]

SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
"""Formats by the ending of a file's name."""


Broken = Callable[[str], None]
"""Takes one line about a row that cannot be used."""


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        place: File and line, ``reviews.csv:17``; of Parquet, file and row number.
        cells: Values of the columns asked for, in their order: strings in CSV and TSV, whatever
            JSON or Parquet hold; None where JSON or Parquet hold nothing.
    """

    place: str
    cells: list[Any]


class Line(NamedTuple):
    """A line of a text file.

    Attributes:
        number: From 1.
        text: The line without its end.
    """

    number: int
    text: str


def read_lines(path: Path, encoding: str = "utf-8") -> Iterator[Line]:
    """Lines of a text file; a last line without end counts, an empty rest does not.

    Args:
        path: The file.
        encoding: Any text encoding that Python knows.

    Raises:
        UserError: The file cannot be read, is empty, is not text in this encoding (the error names
            line and byte), or has a line longer than ``LONGEST_LINE``.
    """
    decoder = text_decoder(encoding)
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    number, pending, read, begun = 0, "", 0, False
    try:
        with open_regular(path) as file:
            while True:
                block = file.read(BLOCK)
                waiting = len(decoder.getstate()[0])
                try:
                    text = decoder.decode(block, not block)
                except UnicodeDecodeError as error:
                    before = error.object[: error.start].decode(encoding, "ignore")
                    lines = newlines.decode(before).count("\n")
                    byte = error.object[error.start]
                    raise UserError(
                        f"{path}:{number + lines + 1}: not text in {encoding.upper()}: byte "
                        f"{read - waiting + error.start} of the file is 0x{byte:02x}; "
                        "--encoding reads others"
                    ) from error
                read += len(block)
                if text and not begun:
                    begun, text = True, text.removeprefix("\ufeff")
                pending += newlines.decode(text, not block)
                *lines_, pending = pending.split("\n")
                for line in lines_:
                    number += 1
                    if "\0" in line:
                        raise UserError(
                            f"{path}:{number}: not a text file: it holds a zero byte; expected "
                            f"text in {encoding.upper()}"
                        )
                    yield Line(number, line)
                if len(pending) > LONGEST_LINE:
                    raise UserError(
                        f"{path}:{number + 1}: expected a line of at most {LONGEST_LINE:,} "
                        "characters"
                    )
                if not block:
                    break
    except OSError as error:
        raise UserError(f"{path}: {reason(error)}") from error
    if read == 0:
        raise UserError(f"{path}: the file is empty")
    if pending:
        yield Line(number + 1, pending)


def text_decoder(encoding: str) -> codecs.IncrementalDecoder:
    """A strict decoder of a text encoding.

    Raises:
        UserError: There is no such encoding.
    """
    try:
        "".encode(encoding)  # refuses those of Python that are no encodings of text
        return codecs.getincrementaldecoder(encoding)("strict")
    except (LookupError, ValueError) as error:
        raise UserError(
            f"--encoding: expected a text encoding such as utf-8, cp949 or latin-1, got {encoding}"
        ) from error


def format_of(path: Path) -> Format | None:
    """Format of a table by the ending of its name; None where it does not tell."""
    return SUFFIXES.get(path.suffix.lower())


class Table:
    """A table in one file.

    Args:
        path: The file.
        format: Its format; by default the one of its name's ending, otherwise CSV.
        encoding: Encoding of CSV, TSV and JSON lines.
        header: Whether the first line of CSV or TSV names the columns. By default it does if one of
            its cells is in ``known``, or if it holds no number and a column of numbers begins
            below.
        quotes: Whether cells may be quoted; by default in CSV and not in TSV.
        known: Names of columns, in lower case, by which a header is recognised.

    Attributes:
        columns: Names of the columns; ``1``, ``2``, … where there is no header. Of JSON lines the
            keys of the first line.
        sample: The first rows, all columns; those that cannot be read are left out.

    Raises:
        UserError: The file cannot be read, is empty, or its first rows are not in this format.
    """

    def __init__(
        self,
        path: Path,
        format: Format | None = None,  # noqa: A002
        *,
        encoding: str = "utf-8",
        header: bool | None = None,
        quotes: bool | None = None,
        known: Sequence[str] = (),
    ) -> None:
        self.path = path
        self.format: Format = format or format_of(path) or "csv"
        self.encoding = encoding
        self.header = False
        self._quotes = self.format == "csv" if quotes is None else quotes
        self._separator = "\t" if self.format == "tsv" else ","
        self.columns: tuple[str, ...]
        if self.format == "parquet":
            self.columns = tuple(_open_parquet(path).schema_arrow.names)
            self.sample = list(itertools.islice(self.rows(), SAMPLE))
            return
        if self.format == "jsonl":
            first = next(_objects(path, encoding, _ignore), None) or next(
                _objects(path, encoding), None
            )
            if first is None:
                raise UserError(f"{path}: expected a JSON object on each line, found none")
            self.columns = tuple(first[1])
            self.sample = list(itertools.islice(self.rows(None, _ignore), SAMPLE))
            return
        if self.format == "csv":
            self._separator = self._guess_separator()
        top = list(itertools.islice(self._split_rows(_ignore), SAMPLE + 1))
        if not top and not (top := list(itertools.islice(self._split_rows(), 1))):
            raise UserError(f"{path}: expected rows, found none")
        names = [str(cell).strip() for cell in top[0].cells]
        self.header = _is_header(names, top[1:], known) if header is None else header
        if self.header:
            for place, name in enumerate(names):
                if name and name in names[:place]:
                    raise UserError(f"{top[0].place}: two columns are named {name}")
            self.columns = tuple(name or str(at) for at, name in enumerate(names, 1))
            self.sample = top[1:]
        else:
            self.columns = tuple(str(number) for number in range(1, len(names) + 1))
            self.sample = top[:SAMPLE]

    def has(self, name: str) -> bool:
        """Whether there is a column of this name or number."""
        numbered = name.isdecimal() and len(name) < 10 and 1 <= int(name) <= len(self.columns)
        return name in self.columns or numbered

    def column(self, name: str, option: str) -> str:
        """A column that was asked for by name or by its number from 1.

        Args:
            name: Name or number.
            option: Flag that asked for it, for the error.

        Raises:
            UserError: There is no such column.
        """
        if name in self.columns:
            return name
        if self.has(name):
            return self.columns[int(name) - 1]
        listed = ", ".join(self.columns[:20]) + (", …" if len(self.columns) > 20 else "")
        raise UserError(f"{option}: {self.path} has no column {name}; it has {listed}")

    def rows(
        self, columns: Sequence[str] | None = None, broken: Broken | None = None
    ) -> Iterator[Row]:
        """Rows with the cells of some columns, by default all.

        Rows of CSV and TSV that are an empty line are left out. With too few or too many cells a
        row is an error; but cells missing at the end of a row are None if ``columns`` is not given,
        so that wide tables may be ragged.

        Args:
            columns: Names of columns.
            broken: Called with one line about each row that is left out because it cannot be read;
                without it the first stops the reading.

        Raises:
            UserError: A row or the file cannot be read.
        """
        names = self.columns if columns is None else tuple(columns)
        if self.format == "parquet":
            yield from self._parquet_rows(names)
        elif self.format == "jsonl":
            for number, record in _objects(self.path, self.encoding, broken):
                yield Row(f"{self.path}:{number}", [record.get(name) for name in names])
        else:
            yield from self._text_rows(None if columns is None else names, broken)

    def _text_rows(self, names: Sequence[str] | None, broken: Broken | None) -> Iterator[Row]:
        rows = self._split_rows(broken)
        if self.header:
            next(rows)
        count = len(self.columns)
        at = None if names is None else [self.columns.index(name) for name in names]
        for row in rows:
            got = len(row.cells)
            if got > count or (got < count and at is not None):
                refuse(f"{row.place}: expected {count} columns, got {got}", broken)
            elif at is None:
                yield Row(row.place, row.cells + [None] * (count - got))
            else:
                yield Row(row.place, [row.cells[place] for place in at])

    def _parquet_rows(self, names: Sequence[str]) -> Iterator[Row]:
        number = 0
        try:
            with _open_parquet(self.path) as file:
                for batch in file.iter_batches(1024, columns=list(names)):
                    columns = [batch.column(name).to_pylist() for name in names]
                    for cells in zip(*columns, strict=True):
                        number += 1
                        yield Row(f"{self.path}:{number}", list(cells))
        except UserError:
            raise
        except Exception as error:  # pyarrow raises several families
            raise UserError(f"{self.path}: not a valid Parquet file: {error}") from error

    def _guess_separator(self) -> str:
        """Comma, semicolon or tab: whichever the first line has, commas first."""
        first = next(read_lines(self.path, self.encoding), Line(1, "")).text
        for separator in (",", ";", "\t"):
            if separator in first:
                return separator
        return ","

    def _split_rows(self, broken: Broken | None = None) -> Iterator[Row]:
        """All rows of CSV or TSV as strings, the header among them."""
        lines = read_lines(self.path, self.encoding)
        for number, text in lines:
            if not text:
                continue
            place = f"{self.path}:{number}"
            if self._quotes and '"' in text:
                try:
                    cells = self._quoted(place, text, lines)
                except UserError as error:
                    refuse(str(error), broken)
                    continue
                yield Row(place, cells)
            else:
                yield Row(place, text.split(self._separator))

    def _quoted(self, place: str, text: str, lines: Iterator[Line]) -> list[Any]:
        """Cells of a row of which some may be quoted; reads on where a quoted one goes on."""
        cells: list[Any] = []
        at = 0
        while True:
            if not text.startswith('"', at):
                end = text.find(self._separator, at)
                cells.append(text[at:] if end < 0 else text[at:end])
                if end < 0:
                    return cells
                at = end + 1
                continue
            parts: list[str] = []
            at, size = at + 1, 0
            while True:
                end = text.find('"', at)
                if end < 0:
                    parts.append(text[at:])
                    size += len(parts[-1]) + 1
                    following = next(lines, None)
                    if following is None or size > LONGEST_LINE:
                        raise UserError(
                            f"{place}: column {len(cells) + 1}: a quote is opened and not closed; "
                            "--quotes no reads quotes as text"
                        )
                    parts.append("\n")
                    text, at = following.text, 0
                elif text.startswith('"', end + 1):
                    parts.append(text[at : end + 1])
                    at = end + 2
                else:
                    parts.append(text[at:end])
                    at = end + 1
                    break
            cells.append("".join(parts))
            if at == len(text):
                return cells
            if not text.startswith(self._separator, at):
                raise UserError(
                    f"{place}: column {len(cells)}: expected a separator after the closing quote, "
                    f"got {text[at : at + 10]}; --quotes no reads quotes as text"
                )
            at += 1


def number_in(cell: object) -> float | None:
    """The number that a cell holds; None if it holds none. ``nan`` and ``inf`` are numbers here."""
    if isinstance(cell, bool) or cell is None:
        return None
    try:
        return float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None


def _is_header(names: list[str], below: list[Row], known: Sequence[str]) -> bool:
    if any(name.lower() in known for name in names):
        return True
    if not below or any(number_in(name) is not None for name in names):
        return False
    columns = ([row.cells[at] for row in below if at < len(row.cells)] for at in range(len(names)))
    return any(cells and all(number_in(cell) is not None for cell in cells) for cells in columns)


def refuse(message: str, broken: Broken | None) -> None:
    """Report a row that cannot be used and go on, or stop there.

    Raises:
        UserError: Nobody wants a report.
    """
    if broken is None:
        raise UserError(message)
    broken(message)


def _ignore(message: str) -> None:
    """Leave a broken row to whoever reads all rows."""


def _objects(
    path: Path, encoding: str, broken: Broken | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of each line of JSON; empty lines are left out."""
    for number, text in read_lines(path, encoding):
        if not text.strip():
            continue
        try:
            record = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            what = str(error) if isinstance(error, ValueError) else "nested too deeply"
            refuse(f"{path}:{number}: not a line of JSON: {what}", broken)
            continue
        if not isinstance(record, dict):
            got = text.strip()[:20]
            refuse(f"{path}:{number}: expected a JSON object, got {got}", broken)
            continue
        yield number, record


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")


def _open_parquet(path: Path) -> Any:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(
            f"{path}: Parquet needs pyarrow: pip install 'unrolled[parquet]'"
        ) from error
    open_regular(path).close()
    try:
        return parquet.ParquetFile(path)
    except Exception as error:  # pyarrow raises several families
        raise UserError(f"{path}: not a valid Parquet file: {error}") from error
