"""Series from files, standard input and data frames."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unrolled.errors import UserError
from unrolled.tasks.tables import Row, Table

from .columns import ID_NAMES, TARGET_NAMES, TIME_NAMES, Columns, guess_columns
from .frames import Source, frame_source
from .options import DataOptions
from .series import Gathered, Raw, Series, gather, regular, sorted_rows, words_of
from .times import Frequency


class Found(NamedTuple):
    """Series that were read.

    Attributes:
        columns: Use of the columns.
        frequency: The grid of their times.
        raw: The series as they were read.
    """

    columns: Columns
    frequency: Frequency
    raw: list[Raw]

    def series(self, fill: str) -> list[Series]:
        """The series on the grid; those without a value are left out.

        Raises:
            UserError: As `regular`, or there is no series.
        """
        found = [regular(one, self.frequency, fill, self.columns) for one in self.raw]
        kept = [one for one in found if one is not None]
        if not kept:
            raise UserError("expected a series with values, found none")
        return kept


def read_files(
    files: Sequence[str | Path],
    options: DataOptions,
    *,
    columns: Columns | None = None,
    frequency: Frequency | None = None,
) -> Found:
    """Series of files; ``-`` is standard input. A series may go on from file to file.

    Args:
        files: The files.
        options: Format, columns, frequency.
        columns: Use of the columns, where it is known from training; targets may be missing then.
        frequency: The grid, where it is known from training.

    Raises:
        UserError: A file cannot be read, or its columns or times cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="unrolled-") as folder:
        sources = [_file_source(file, options, Path(folder)) for file in files]
        return _read(sources, options, columns, frequency)


def read_frame(
    frame: Any,
    options: DataOptions,
    *,
    columns: Columns | None = None,
    frequency: Frequency | None = None,
) -> Found:
    """Series of a data frame: pandas, Polars, Arrow and all others that narwhals reads.

    Raises:
        UserError: It is no data frame, or its columns or times cannot be used.
    """
    return _read([frame_source(frame)], options, columns, frequency)


def with_future(
    series: Sequence[Series], frame: Any, columns: Columns, frequency: Frequency
) -> list[Series]:
    """Series with the known columns of a frame behind their last values.

    Raises:
        UserError: A row does not follow the last value, or a cell is empty.
    """
    source = frame_source(frame)
    wanted = [*([columns.id] if columns.id else []), columns.time, *columns.known]
    for name in wanted:
        if name not in source.names:
            raise UserError(f"{source.where}: expected a column {name}, as in training")
    ahead = replace(
        columns, targets=columns.known[:1], known=columns.known[1:], past=(), static=(), words=()
    )
    found: dict[str, Gathered] = {}
    gather(source.rows(wanted), replace(ahead, multivariate=True), found)
    rows = {one.name: one for one in sorted_rows(found, replace(ahead, multivariate=True))}
    longer = []
    for one in series:
        more = rows.get(one.name if columns.id else "all")
        if more is None:
            longer.append(one)
            continue
        after = frequency.positions(more.ticks, one.start) - one.offset - len(one.values)
        known = np.concatenate([more.values, more.known], axis=1)[after >= 0]
        if after[after >= 0].tolist() != list(range(len(known))) or np.isnan(known).any():
            raise UserError(
                f"{source.where}: expected a row for each step after the last value of {one.name}, "
                "without an empty cell"
            )
        longer.append(one._replace(known=np.concatenate([one.known[: len(one.values)], known])))
    return longer


def _file_source(file: str | Path, options: DataOptions, folder: Path) -> Source:
    path, shown = Path(file), str(file)
    if shown == "-":
        path, shown = folder / "standard-input", "standard input"
        with path.open("wb") as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
    given = [
        word.strip().lower()
        for words in (options.id, options.time, options.target, options.targets, options.known)
        for word in (words or "").split(",")
        if word
    ]
    table = Table(
        path,
        None if options.format == "auto" else options.format,
        encoding=options.encoding,
        known=(*ID_NAMES, *TIME_NAMES, *TARGET_NAMES, *given),
    )

    def rows(names: Sequence[str]) -> Iterator[Row]:
        for place, cells in table.rows(names):
            yield Row(place.replace(str(path), shown, 1), cells)

    return Source(shown, table.columns, [row.cells for row in table.sample], rows)


def _read(
    sources: Sequence[Source],
    options: DataOptions,
    columns: Columns | None,
    frequency: Frequency | None,
) -> Found:
    found: dict[str, Gathered] = {}
    dated: bool | None = None
    used = columns
    for source in sources:
        if columns is None:
            used = guess_columns(source.names, source.sample, options, source.where)
        assert used is not None
        wanted = [*([used.id] if used.id else []), used.time, *used.targets]
        wanted += [*used.known, *used.past, *used.static]
        for name in wanted:
            if name not in source.names:
                raise UserError(f"{source.where}: expected a column {name}, as in training")
        kind = gather(source.rows(wanted), used, found)
        if kind is not None and dated is not None and kind != dated:
            raise UserError(f"{source.where}: expected times as in the file before")
        dated = dated if kind is None else kind
    if used is None or dated is None:
        raise UserError(f"{sources[0].where}: expected rows, found none")
    if columns is None:
        used = replace(used, words=words_of(found, used))
    raw = list(sorted_rows(found, used))
    if frequency is None:
        if options.frequency != "auto":
            frequency = Frequency.parse(options.frequency, dated=dated)
        else:
            frequency = Frequency.found_in([one.ticks for one in raw], dated=dated)
    elif frequency.dated != dated:
        kinds = ("dates", "numbers") if frequency.dated else ("numbers", "dates")
        raise UserError(f"{sources[0].where}: expected {kinds[0]} as times, as in training")
    return Found(used, frequency, raw)
