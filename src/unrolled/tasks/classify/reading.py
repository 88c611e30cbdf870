"""Items from files of any format that the task knows.

A format that is not given is guessed from the file's name and, where the name does not tell, from
its beginning; what cannot be told is an error that names the option.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from unrolled.errors import UserError, reason
from unrolled.files import open_regular
from unrolled.tasks.tables import (
    Broken,
    format_of,
    read_lines,
    refuse,
    text_decoder,
)

from .columns import guess_columns, open_table
from .items import Item, Values, numbers
from .options import DataOptions
from .series_files import is_idx, read_idx, read_npy, read_npz, read_ts
from .table_items import read_table

PREFIX = "__label__"
"""What a label begins with in fastText's format."""


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
        yield from read_table(table, columns, options, labels, broken)


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
