"""Items from files of any format that the task knows.

A format that is not given is guessed from the file's name and, where the name does not tell, from
its beginning. Columns of tables that are not given are guessed by their names and by what is in
them; what cannot be told is an error that names the option.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unrolled.errors import UserError, reason
from unrolled.files import open_regular
from unrolled.tasks.tables import (
    Broken,
    Table,
    format_of,
    number_in,
    read_lines,
    refuse,
    text_decoder,
)

from .items import Item, Values, label_of, numbers
from .options import DataOptions
from .series_files import is_idx, read_idx, read_npy, read_npz, read_ts

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

PREFIX = "__label__"
"""What a label begins with in fastText's format."""


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


def read_items(
    files: Sequence[str | Path],
    options: DataOptions,
    *,
    labels: bool = True,
    known: Collection[str] = (),
    broken: Broken | None = None,
) -> Iterator[Item]:
    """Items of some files one after another, in constant memory.

    Args:
        files: Files or folders.
        options: Formats and columns.
        labels: Whether each item must have a label. If not, labels are given where the files have
            them.
        known: Labels of the training data, where there are some already: they tell the column with
            the label in a table whose columns have no names, even one of a single row.
        broken: Called with one line about each item that is left out because it is broken or
            empty; without it the first stops the reading.

    Raises:
        UserError: A file cannot be read, or an item is broken.
    """
    kind: bool | None = None
    channels: int | None = None
    text_decoder(options.encoding)
    for file in files:
        path = Path(file)
        for item in _of_file(path, options, labels, known, broken):
            if item.series is None and kind is None:
                kind = True
            if kind is None:
                kind = False
            if kind != (item.series is None):
                wanted, got = ("a text", "a series") if kind else ("a series", "a text")
                raise UserError(f"{item.place}: expected {wanted} as before, got {got}")
            if item.series is not None:
                channels = channels or item.series.shape[1]
                if item.series.shape[1] != channels:
                    message = (
                        f"{item.place}: expected {channels} channels as before, "
                        f"got {item.series.shape[1]}"
                    )
                    refuse(message, broken)
                    continue
            elif not (item.text or "").strip():
                refuse(f"{item.place}: the text is empty", broken)
                continue
            yield item


def format_for(path: Path, options: DataOptions, *, labels: bool = True) -> str:
    """Format of a file: the one given, or the one that name and beginning tell.

    Raises:
        UserError: They do not tell, or the file cannot be read.
    """
    if path.is_dir():
        if options.format not in ("auto", "folders"):
            raise UserError(f"{path}: expected a file for --format {options.format}, got a folder")
        return "folders"
    if options.format != "auto":
        return str(options.format)
    if is_idx(path):
        return "idx"
    if path.suffix.lower() in (".ts", ".npz"):
        return path.suffix.lower()[1:]
    if known := format_of(path):
        return known
    with open_regular(path) as file:
        head = file.read(4)
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    first = next(
        (line.text for line in read_lines(path, options.encoding) if line.text.strip()), ""
    )
    if first.startswith(PREFIX):
        return "fasttext"
    if first.startswith("{"):
        return "jsonl"
    if "\t" in first:
        return "tsv"
    if not labels:
        return "lines"
    raise UserError(
        f"{path}: name and first line do not tell the format; --format says it: csv, tsv, jsonl, "
        "parquet, fasttext, ts, npz, idx"
    )


_MAGIC = (
    (b"PAR1", "parquet"),
    (b"PK\x03\x04", "npz"),
    (b"\0\0\x08\x03", "idx"),
    (b"\x1f\x8b", "idx"),
)
"""First bytes of binary formats."""


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


def _of_file(
    path: Path,
    options: DataOptions,
    labels: bool,
    known: Collection[str],
    broken: Broken | None,
) -> Iterator[Item]:
    kind = format_for(path, options, labels=labels)
    if kind == "folders":
        yield from _of_folders(path, options, labels, broken)
    elif kind == "ts":
        yield from _labelled(read_ts(path, options.encoding, broken), labels, path)
    elif kind == "npz":
        yield from _labelled(read_npz(path, broken), labels, path)
    elif kind == "idx":
        yield from read_idx(path, options.idx, options.permute, labels=labels)
    elif kind == "fasttext":
        yield from _fasttext(path, options, labels, broken)
    elif kind == "lines":
        if labels:
            raise UserError(f"{path}: lines of text have no labels")
        for number, text in read_lines(path, options.encoding):
            yield Item(text, None, (), f"{path}:{number}")
    else:
        table = open_table(path, kind, options)
        columns = guess_columns(table, options, labels=labels, known=known)
        yield from _of_table(table, columns, options, labels, broken)


def _labelled(items: Iterator[Item], labels: bool, path: Path) -> Iterator[Item]:
    for item in items:
        if labels and not item.labels:
            raise UserError(f"{path}: expected a label for each series, found none")
        yield item


def _fasttext(
    path: Path, options: DataOptions, labels: bool, broken: Broken | None
) -> Iterator[Item]:
    for number, line in read_lines(path, options.encoding):
        place = f"{path}:{number}"
        found: list[str] = []
        rest = line.lstrip()
        while rest.startswith(PREFIX):
            word, _, rest = rest.partition(" ") if " " in rest else (rest, "", "")
            if len(word) > len(PREFIX):
                found.append(word.removeprefix(PREFIX))
            rest = rest.lstrip()
        if labels and not found:
            refuse(f"{place}: expected {PREFIX} and a label at its beginning", broken)
            continue
        yield Item(rest, None, tuple(dict.fromkeys(found)), place)


def _of_table(
    table: Table, columns: Columns, options: DataOptions, labels: bool, broken: Broken | None
) -> Iterator[Item]:
    if columns.kind == "step":
        yield from _of_steps(table, columns, options, labels, broken)
        return
    named = [] if columns.label is None else [columns.label]
    if columns.kind == "row":
        rows = table.rows(None, broken)
        at = [table.columns.index(name) for name in (*named, *columns.values)]
    else:
        rows = table.rows([*named, *columns.values], broken)
        at = list(range(len(named) + 1))
    straight = at == list(range(len(at)))
    for row in rows:
        cells = row.cells if straight else [row.cells[place] for place in at]
        try:
            found = _labels(cells[0], row.place, columns.label, options, labels) if named else ()
            content = cells[len(named) :]
            if columns.kind == "text":
                yield Item(_text(content[0], row.place, columns), None, found, row.place)
            elif columns.kind == "list":
                yield Item(None, _list(content[0], row.place, columns), found, row.place)
            else:
                while content and (content[-1] is None or not str(content[-1]).strip()):
                    content.pop()  # a shorter series
                if not content:
                    raise UserError(f"{row.place}: the series is empty")
                values = numbers(content, row.place, columns.values)
                yield Item(None, values[:, None], found, row.place)
        except UserError as error:
            refuse(str(error), broken)


def _text(cell: Any, place: str, columns: Columns) -> str:
    if cell is None:
        return ""
    if not isinstance(cell, str):
        raise UserError(f"{place}: column {columns.values[0]}: expected a text, got {cell!r:.20}")
    try:
        cell.encode()
    except UnicodeEncodeError as error:  # JSON may hold halves of characters
        raise UserError(
            f"{place}: column {columns.values[0]}: not valid Unicode: half of a character pair"
        ) from error
    return cell


def _list(cell: Any, place: str, columns: Columns) -> Any:
    name = columns.values[0]
    if not isinstance(cell, list) or not cell:
        raise UserError(f"{place}: column {name}: expected a list of numbers, got {cell!r:.20}")
    where = f"{place}: column {name}"
    if not isinstance(cell[0], list):
        return numbers(cell, where)[:, None]
    width = len(cell[0])
    for step, values in enumerate(cell, 1):
        if not isinstance(values, list) or len(values) != width or not width:
            raise UserError(f"{where}: step {step}: expected {width} numbers as before")
    return np.stack([numbers(values, f"{where}: step {at}") for at, values in enumerate(cell, 1)])


def _labels(
    cell: Any, place: str, name: str | None, options: DataOptions, labels: bool
) -> tuple[str, ...]:
    where = f"{place}: column {name}"
    if isinstance(cell, list):
        return tuple(dict.fromkeys(label_of(one, where) for one in cell))
    if options.labels_separator and isinstance(cell, str):
        parts = (part.strip() for part in cell.split(options.labels_separator))
        return tuple(dict.fromkeys(part for part in parts if part))
    if not labels and (cell is None or not str(cell).strip()):
        return ()
    return (label_of(cell, where),)


def _of_steps(
    table: Table, columns: Columns, options: DataOptions, labels: bool, broken: Broken | None
) -> Iterator[Item]:
    """Series of a table in which each row is one step; the rows of a series stand together."""
    assert columns.series is not None
    named = [name for name in (columns.label, columns.time) if name is not None]
    seen: set[str] = set()
    current: str | None = None
    steps: list[Any] = []
    labels_of: tuple[str, ...] = ()
    place, before = "", -float("inf")
    wrong = ""

    def finished() -> Iterator[Item]:
        if wrong:
            refuse(wrong, broken)
        elif steps:
            yield Item(None, np.stack(steps), labels_of, place)

    for row in table.rows([columns.series, *named, *columns.values]):
        key = str(row.cells[0])
        if key != current:
            yield from finished()
            if key in seen:
                raise UserError(
                    f"{row.place}: series {key} begins a second time; its rows must stand together"
                )
            seen.add(key)
            current, steps, place, before, wrong = key, [], row.place, -float("inf"), ""
            labels_of = ()
        try:
            if columns.label is not None:
                found = _labels(row.cells[1], row.place, columns.label, options, labels)
                if steps and found != labels_of:
                    raise UserError(
                        f"{row.place}: column {columns.label}: expected {', '.join(labels_of)} as "
                        f"in the rest of series {key}, got {', '.join(found)}"
                    )
                labels_of = found
            if columns.time is not None:
                before = _later(row.cells[len(named)], before, row.place, columns.time)
            steps.append(numbers(row.cells[1 + len(named) :], row.place, columns.values))
        except UserError as error:
            wrong = wrong or str(error)
    yield from finished()


def _later(cell: Any, before: float, place: str, name: str) -> float:
    """A row's time, which must be later than the one before; times in words are taken as sorted."""
    time = number_in(cell)
    if time is None:
        return before
    if not time > before:
        raise UserError(
            f"{place}: column {name}: expected a time later than {before:g}, got {cell}"
        )
    return time


def _of_folders(
    path: Path, options: DataOptions, labels: bool, broken: Broken | None
) -> Iterator[Item]:
    """Files of a folder: one folder for each label, or, without labels, files alone."""
    folders = [one for one in _listed(path) if one.is_dir()]
    if not folders and labels:
        raise UserError(f"{path}: expected one folder for each label, found none")
    for folder in folders or [path]:
        label = (folder.name,) if folders else ()
        for file in _listed(folder):
            if file.is_dir():
                raise UserError(f"{file}: expected a file of the label {folder.name}, got a folder")
            try:
                yield _of_one_file(file, label, options)
            except UserError as error:
                refuse(str(error), broken)


def _of_one_file(file: Path, label: tuple[str, ...], options: DataOptions) -> Item:
    """A file that is one item."""
    suffix = file.suffix.lower()
    if suffix == ".txt":
        lines = [line.text for line in read_lines(file, options.encoding)]
        return Item("\n".join(lines), None, label, str(file))
    if suffix == ".npy":
        return Item(None, read_npy(file), label, str(file))
    if suffix in (".csv", ".tsv"):
        table = open_table(file, suffix[1:], options)
        rows = [numbers(row.cells, row.place, table.columns) for row in table.rows(table.columns)]
        if not rows:
            raise UserError(f"{file}: the series is empty")
        values: Values = np.stack(rows).astype(np.float32)
        return Item(None, values, label, str(file))
    raise UserError(f"{file}: expected a text (.txt) or a series (.csv, .tsv, .npy)")


def _listed(folder: Path) -> list[Path]:
    """Entries of a folder by name, hidden ones left out."""
    try:
        return sorted(one for one in folder.iterdir() if not one.name.startswith("."))
    except OSError as error:
        raise UserError(f"{folder}: {reason(error)}") from error
