"""Data frames of any library, by way of narwhals: their rows in, rows as a frame out."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unrolled.errors import UserError
from unrolled.tasks.tables import Row

from .times import SECOND, read_time


class Source(NamedTuple):
    """A table from anywhere.

    Attributes:
        where: Name of the file or kind of the frame, for errors.
        names: Its columns.
        sample: Its first rows.
        rows: Gives the cells of some columns, row by row.
    """

    where: str
    names: Sequence[str]
    sample: Sequence[Sequence[Any]]
    rows: Any


def frame_source(frame: Any) -> Source:
    """A data frame as a table.

    Raises:
        UserError: It is none, or narwhals is not installed.
    """
    try:
        import narwhals as nw
    except ImportError as error:
        raise UserError("data frames need narwhals: pip install 'unrolled[frames]'") from error
    try:
        table = nw.from_native(frame, eager_only=True)
    except TypeError as error:
        raise UserError(f"expected a data frame, got {type(frame).__name__}") from error

    def rows(names: Sequence[str]) -> Iterator[Row]:
        kept = table.select(list(names))
        for number, cells in enumerate(kept.iter_rows(), start=1):
            yield Row(f"row {number}", list(cells))

    sample = [list(row) for row in itertools.islice(table.iter_rows(), 20)]
    return Source(f"this {type(frame).__name__}", list(table.columns), sample, rows)


def write_rows(df: Any, path: Path) -> None:
    """Rows of a frame as lines of JSON."""
    source = frame_source(df)
    names = list(source.names)
    with path.open("w", encoding="utf-8") as file:
        for _, cells in source.rows(names):
            row = {name: _plain(cell) for name, cell in zip(names, cells, strict=True)}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _plain(cell: Any) -> Any:
    """A cell as JSON has it."""
    if isinstance(cell, datetime | date):
        return cell.isoformat()
    if isinstance(cell, np.generic):
        cell = cell.item()
    return None if isinstance(cell, float) and cell != cell else cell


def kind_of(df: Any) -> Any:
    """The library of a frame."""
    import narwhals as nw

    return nw.from_native(df, eager_only=True).implementation


def frame_of(rows: Sequence[dict[str, Any]], kind: Any, times: Sequence[str]) -> Any:
    """Rows as a frame of some library, dates as such."""
    import narwhals as nw

    columns = {name: [row[name] for row in rows] for name in rows[0]}
    for name in times:
        columns[name] = [_moment(cell) for cell in columns[name]]
    return nw.from_dict(columns, backend=kind).to_native()


def _moment(cell: Any) -> Any:
    """A written time as an object, where it is a date."""
    if not isinstance(cell, str) or "+" in cell:
        return cell
    tick, _ = read_time(cell, "", "ds")
    return (
        np.datetime64(tick, "us").item()
        if tick % SECOND
        else np.datetime64(tick // SECOND, "s").item()
    )
