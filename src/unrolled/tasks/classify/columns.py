"""Columns of a table: which one has the text or the series, which one the label.

Columns that are not given are guessed by their names and by what is in them; what cannot be told is
an error that names the option.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unrolled.errors import UserError
from unrolled.tasks.tables import Table, number_in

from .options import DataOptions

TEXT_NAMES = (
    *("text", "message", "sentence", "document", "review", "comment", "content", "body"),
    *("utterance", "tweet", "sms", "question", "headline", "title"),
)
"""Names of columns with texts, the surest first."""


LABEL_NAMES = (
    *("label", "labels", "class", "category", "categories", "target", "sentiment", "intent"),
    *("topic", "tag", "tags", "y"),
)
"""Names of columns with labels, the surest first."""


SERIES_NAMES = ("series", "values", "sequence", "x")
"""Names of columns with lists of numbers, in JSON lines and Parquet."""


TIME_NAMES = ("time", "timestamp", "step", "t", "frame")
"""Names of columns with the time of a row."""


NUMBER_NAMES = ("id", "index", "unnamed: 0")
"""Names of columns that number the rows."""


@dataclass(frozen=True)
class Columns:
    """Use of a table's columns.

    Attributes:
        kind: Text; a series in one cell, as a list; one series in each row; one step in each row.
        label: Column of the label; None where there is none.
        values: Column of the text or list, columns of the steps, or columns of the channels.
        series: Column that tells the series of a step.
        time: Column with the time of a step.
    """

    kind: Literal["text", "list", "row", "step"]
    label: str | None
    values: tuple[str, ...]
    series: str | None = None
    time: str | None = None

    def __str__(self) -> str:
        listed = ", ".join(self.values[:3]) + (", …" if len(self.values) > 3 else "")
        use = {"text": "text", "list": "series", "row": "steps", "step": "channels"}[self.kind]
        named = [f"label {self.label}"] if self.label is not None else []
        named += [f"series {self.series}"] if self.series is not None else []
        named += [f"time {self.time}"] if self.time is not None else []
        return ", ".join([f"{use} {listed}", *named])


def open_table(path: Path, format: str, options: DataOptions) -> Table:  # noqa: A002
    """A table with what the options say about it.

    Raises:
        UserError: As `Table`.
    """
    given = [one.lower() for one in (options.text, options.label, options.series) if one]
    choice = {"auto": None, "yes": True, "no": False}
    return Table(
        path,
        format,  # type: ignore[arg-type]
        encoding=options.encoding,
        header=choice[options.header],
        quotes=choice[options.quotes],
        known=(*TEXT_NAMES, *LABEL_NAMES, *(name for name in given if not name.isdecimal())),
    )


def guess_columns(
    table: Table, options: DataOptions, *, labels: bool = True, known: Collection[str] = ()
) -> Columns:
    """Use of a table's columns, as given or guessed; ``labels`` and ``known`` as in `read_items`.

    Raises:
        UserError: A column that was asked for is not there, or it cannot be told which is which.
    """
    label = _label_column(table, options, labels, known)
    others = [name for name in table.columns if name != label]
    if options.series is not None:
        series = table.column(options.series, "--series")
        lower = {name.lower(): name for name in others}
        time = next((lower[name] for name in TIME_NAMES if name in lower), None)
        if options.time is not None:
            time = table.column(options.time, "--time")
        channels = tuple(
            name
            for name in others
            if name not in (series, time) and name.lower() not in NUMBER_NAMES
        )
        if not channels:
            raise UserError(f"{table.path}: expected columns with values beside {series}")
        return Columns("step", label, channels, series, time)
    text: str | None
    if options.text is not None:
        text = table.column(options.text, "--text") if labels or len(others) > 1 else others[0]
    else:
        text = _text_column(table, others)
    if text is not None:
        listed = any(isinstance(_cell(table, row.cells, text), list) for row in table.sample)
        return Columns("list" if listed else "text", label, (text,))
    steps = tuple(name for name in others if name.lower() not in NUMBER_NAMES)
    return Columns("row", label, steps)


def _label_column(
    table: Table, options: DataOptions, labels: bool, known: Collection[str]
) -> str | None:
    unnamed = not table.header and table.format in ("csv", "tsv")
    shares = {}
    if unnamed and known:
        shares = {name: _known_share(table, name, options, known) for name in table.columns}
    names = {name.lower(): name for name in table.columns}
    if options.label is not None:
        if not labels and (len(table.columns) == 1 or not table.has(options.label)):
            return None
        given = table.column(options.label, "--label")
        return None if not labels and shares.get(given, 1) <= 0.5 else given
    for name in LABEL_NAMES:
        if name in names and names[name] != options.text:
            return names[name]
    if shares:
        best = max(shares.values())
        fitting = [name for name, share in shares.items() if share == best]
        if best > (0 if labels else 0.5) and len(fitting) == 1:
            return fitting[0]
        if best <= 0.5 and not labels:
            return None
    if len(table.columns) == 2 and unnamed:
        if options.text is not None:
            text = table.column(options.text, "--text")
            return next(name for name in table.columns if name != text)
        return min(table.columns, key=lambda name: _variety(table, name))
    ends = {table.columns[0], table.columns[-1]} if len(table.columns) > 1 else set()
    words = [name for name in table.columns if not _is_numeric(table, name)]
    if len(words) == 1 and words[0] in ends and len(table.columns) > 2:
        return words[0]
    if not labels:
        return None
    listed = ", ".join(table.columns[:20]) + (", …" if len(table.columns) > 20 else "")
    raise UserError(
        f"{table.path}: expected a column named label or class, found {listed}; --label names the "
        "column with the label, or gives its number"
    )


def _text_column(table: Table, others: list[str]) -> str | None:
    """The column with texts or lists; None where all columns are numbers."""
    if not others:
        raise UserError(f"{table.path}: expected a column beside the label's")
    lower = {name.lower(): name for name in others}
    for name in (*TEXT_NAMES, *SERIES_NAMES):
        if name in lower and (name in TEXT_NAMES or not _is_numeric(table, lower[name])):
            return lower[name]
    wordy = [name for name in others if not _is_numeric(table, name)]
    if not wordy:
        return None
    if len(wordy) == 1 and (len(others) <= 2 or table.format in ("jsonl", "parquet")):
        return wordy[0]
    if len(others) > 3 and len(wordy) * 2 < len(others):
        return None  # steps of a series, some of them broken: the row says which
    raise UserError(
        f"{table.path}: expected a column named text, found {', '.join(others[:20])}; --text names "
        "the column with the text, or gives its number"
    )


def _cell(table: Table, cells: list[Any], name: str) -> Any:
    at = table.columns.index(name)
    return cells[at] if at < len(cells) else None


def _is_numeric(table: Table, name: str) -> bool:
    """Whether a column's first cells are numbers or empty, and not all empty."""
    cells = [_cell(table, row.cells, name) for row in table.sample]
    filled = [cell for cell in cells if cell is not None and cell != ""]
    return bool(cells) and all(number_in(cell) is not None for cell in filled)


def _known_share(table: Table, name: str, options: DataOptions, known: Collection[str]) -> float:
    """Share of a column's first cells that hold known labels and nothing else."""
    cells = [str(_cell(table, row.cells, name) or "") for row in table.sample]
    separator = options.labels_separator
    split = [cell.split(separator) if separator else [cell] for cell in cells]
    fitting = sum(all(part.strip() in known for part in parts) for parts in split)
    return fitting / max(len(cells), 1)


def _variety(table: Table, name: str) -> tuple[int, float]:
    """Number of different cells and their mean length: labels repeat, and are short."""
    cells = [cell for row in table.sample if (cell := str(_cell(table, row.cells, name) or ""))]
    return len(set(cells)), sum(map(len, cells)) / max(len(cells), 1)
