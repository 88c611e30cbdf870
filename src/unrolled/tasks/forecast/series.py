"""Series made from the rows of tables: grouped, put on a regular grid, gaps refused or filled."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from unrolled.errors import UserError
from unrolled.tasks.tables import Row

from .columns import Columns
from .times import Frequency, Ticks, read_time

Array = npt.NDArray[np.float64]

GAPS = "--fill previous, --fill linear or --fill zero fills gaps"
LONGEST_GAP = 100_000
"""Missing rows in a row that are still taken for a gap and not for a mistake."""


class Series(NamedTuple):
    """One series, a row for each step of the grid.

    Attributes:
        name: Its name.
        start: Tick where its grid begins: of the first row, unless rows before it are left out.
        last: Tick of the last value.
        values: What is forecast, ``[T, C]``; C is 1 unless channels are forecast together.
        known: Columns known in the future, ``[T + F, K]``: F rows follow the last value.
        past: Columns known in the past only, ``[T, P]``.
        static: Columns that do not change, ``[S]``; of one with words a 1 for its own.
        place: File and row of its first value.
        filled: Number of values that were filled in.
        offset: Rows between the beginning of the grid and the first row.
    """

    name: str
    start: int
    last: int
    values: Array
    known: Array
    past: Array
    static: Array
    place: str
    filled: int = 0
    offset: int = 0

    @property
    def future(self) -> int:
        """Rows of known columns behind the last value."""
        return len(self.known) - len(self.values)


@dataclass
class Gathered:
    """Rows of one series as they were read, NaN where a cell is empty.

    Attributes:
        ticks: Time of each row.
        places: File and row of each.
        values: Cells to forecast.
        known: Cells of the columns known in the future.
        past: Cells of the columns known in the past.
        static: Cells of the columns that do not change, numbers or words.
    """

    ticks: list[int] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    values: list[list[float]] = field(default_factory=list)
    known: list[list[float]] = field(default_factory=list)
    past: list[list[float]] = field(default_factory=list)
    static: list[float | str] | None = None


class Raw(NamedTuple):
    """Rows of one series in the order of their times.

    Attributes:
        name: Its name.
        ticks: Times, ``[T]``, all different.
        places: File and row of each.
        values: ``[T, C]``, NaN where a cell is empty; as the others.
        known: ``[T, K]``.
        past: ``[T, P]``.
        static: Cells of the columns that do not change.
    """

    name: str
    ticks: Ticks
    places: Sequence[str]
    values: Array
    known: Array
    past: Array
    static: Sequence[float | str]


def gather(rows: Iterable[Row], columns: Columns, found: dict[str, Gathered]) -> bool | None:
    """Sort rows to their series.

    Args:
        rows: Cells in the order id (where there is one), time, targets, known, past, static.
        columns: Names of these.
        found: Series by name; it is added to.

    Returns:
        Whether the times are dates; None where there is no row.

    Raises:
        UserError: A time or a number cannot be read, or a static column changes.
    """
    dated: bool | None = None
    ided = columns.id is not None
    first = 1 + ided
    ends = np.cumsum([first, len(columns.targets), len(columns.known), len(columns.past)])
    names = [*columns.targets, *columns.known, *columns.past]
    for place, cells in rows:
        name = ""
        if ided:
            name = str(cells[0]).strip() if cells[0] is not None else ""
            if not name:
                raise UserError(f"{place}: column {columns.id}: expected the name of a series")
        tick, is_date = read_time(cells[int(ided)], place, columns.time)
        if dated is None:
            dated = is_date
        if is_date != dated:
            raise UserError(f"{place}: column {columns.time}: expected dates or numbers, got both")
        numbers = _numbers(cells[first : ends[3]], place, names)
        y, k, p = (numbers[a - first : b - first] for a, b in itertools.pairwise(ends))
        one = found.setdefault(name, Gathered())
        s = [_word_or_number(cell, place) for cell in cells[ends[3] :]]
        if one.static is None:
            one.static = s
        elif one.static != s:
            raise UserError(f"{place}: a static column changes within the series {name}")
        one.ticks.append(tick)
        one.places.append(place)
        one.values.append(y)
        one.known.append(k)
        one.past.append(p)
    return dated


def _numbers(cells: Sequence[Any], place: str, names: Sequence[str]) -> list[float]:
    found = []
    for cell, name in zip(cells, names, strict=True):
        if cell is None or cell == "":
            found.append(np.nan)
            continue
        try:
            value = float(cell)
        except (TypeError, ValueError, OverflowError):
            value = np.inf
        if abs(value) > 1e30:
            if isinstance(cell, str) and cell.strip().lower() in ("", "na", "n/a", "null"):
                value = np.nan
            else:
                raise UserError(
                    f"{place}: column {name}: expected a finite number, got {str(cell)[:30]}"
                )
        found.append(value)
    return found


def _word_or_number(cell: Any, place: str) -> float | str:
    """A cell of a static column."""
    if cell is None or (text := str(cell).strip()) == "":
        raise UserError(f"{place}: expected a number or a word in each static column")
    try:
        value = float(cell)
    except (TypeError, ValueError, OverflowError):
        return text
    return value if abs(value) <= 1e30 else text


def words_of(found: dict[str, Gathered], columns: Columns) -> tuple[tuple[str, ...], ...]:
    """Words of each static column, sorted; none where all cells are numbers."""
    rows = [one.static or [] for one in found.values()]
    cells = [[row[at] for row in rows] for at in range(len(columns.static))]
    return tuple(
        tuple(sorted({_as_word(cell) for cell in column}))
        if any(isinstance(cell, str) for cell in column)
        else ()
        for column in cells
    )


def _as_word(cell: float | str) -> str:
    return cell if isinstance(cell, str) else f"{cell:g}"


def _static(raw: Raw, columns: Columns) -> Array:
    """Static columns as numbers, ``[S]``.

    Raises:
        UserError: A word is none of the training data's.
    """
    numbers: list[float] = []
    for cell, name, words in zip(raw.static, columns.static, columns.words, strict=True):
        if words:
            if _as_word(cell) not in words:
                listed = ", ".join(words[:20]) + (", …" if len(words) > 20 else "")
                raise UserError(
                    f"{raw.places[0]}: column {name}: expected one of {listed}, got {cell}"
                )
            numbers += [float(word == _as_word(cell)) for word in words]
        elif isinstance(cell, str):
            raise UserError(f"{raw.places[0]}: column {name}: expected a number, got {cell[:30]}")
        else:
            numbers.append(cell)
    return np.array(numbers, np.float64)


def sorted_rows(found: dict[str, Gathered], columns: Columns) -> Iterator[Raw]:
    """The series in the order of their times; of a wide table one for each column.

    Raises:
        UserError: Two rows have the same time.
    """
    for name, one in found.items():
        ticks = np.array(one.ticks, np.int64)
        order = np.argsort(ticks, kind="stable")
        ticks = ticks[order]
        places = [one.places[at] for at in order]
        if len(same := np.flatnonzero(np.diff(ticks) == 0)):
            at = int(same[0])
            of = f" of {name}" if name else ""
            raise UserError(f"{places[at + 1]}: the same time{of} as {places[at]}")
        count = len(ticks)
        values, known, past = (
            np.array(rows, np.float64).reshape(count, -1)[order]
            for rows in (one.values, one.known, one.past)
        )
        static = one.static or []
        if columns.multivariate or len(columns.targets) == 1:
            title = name or ("all" if columns.multivariate else columns.targets[0])
            yield Raw(title, ticks, places, values, known, past, static)
            continue
        for at, target in enumerate(columns.targets):
            title = f"{name}/{target}" if name else target
            yield Raw(title, ticks, places, values[:, at : at + 1], known, past, static)


def regular(
    raw: Raw, frequency: Frequency, fill: str, columns: Columns, *, start: int | None = None
) -> Series | None:
    """A series with a row for each step of the grid; None where it has no value at all.

    Rows before the first value are left out, those after the last are the known future.

    Args:
        raw: The series as it was read.
        frequency: The grid.
        fill: How to fill gaps, as the option says it.
        columns: Names of the columns, for errors.
        start: Tick where the grid begins; by default that of the first value.

    Raises:
        UserError: A row lies beside the grid; or a row or a cell is missing and is not to be
            filled.
    """
    there = np.asarray(np.isfinite(raw.values).any(1))
    if not there.any():
        return None
    first = int(there.argmax())
    ticks, places = raw.ticks[first:], raw.places[first:]
    origin = int(ticks[0]) if start is None else start
    steps = frequency.positions(ticks, origin)
    offset = max(0, int(steps[0]))
    if (steps < 0).any():
        at = int((steps < 0).argmax())
        raise UserError(
            f"{places[at]}: irregular time {frequency.text(int(ticks[at]))}: expected a row every "
            f"{frequency}, from {frequency.text(origin)}; --frequency gives another"
        )
    steps -= offset
    gaps = np.diff(steps) - 1
    if gaps.any() and (fill == "refuse" or int(gaps.max()) > LONGEST_GAP):
        at = int(gaps.argmax()) if int(gaps.max()) > LONGEST_GAP else int((gaps > 0).argmax())
        missing = "1 row is" if gaps[at] == 1 else f"{gaps[at]:,} rows are"
        raise UserError(
            f"{places[at + 1]}: {missing} missing before this one, with a row every {frequency}; "
            f"{GAPS}"
        )
    total = int(steps[-1]) + 1
    last = int(steps[int(len(there) - 1 - there[::-1].argmax()) - first]) + 1
    grid = [np.full((total, part.shape[1]), np.nan) for part in (raw.values, raw.known, raw.past)]
    for whole, part in zip(grid, (raw.values, raw.known, raw.past), strict=True):
        whole[steps] = part[first:]
    values, known, past = grid[0][:last], grid[1], grid[2][:last]
    filled = 0
    for part, names in ((values, columns.targets), (known, columns.known), (past, columns.past)):
        holes = np.isnan(part)
        if not holes.any():
            continue
        if fill == "refuse":
            at, column = (int(one[0]) for one in np.nonzero(holes))
            name = names[column] if len(names) > column else raw.name
            row = int(np.searchsorted(steps, at))
            raise UserError(f"{places[row]}: column {name}: expected a number, got nothing; {GAPS}")
        filled += int(holes.sum())
        _fill(part, fill)
    return Series(
        raw.name,
        origin,
        int(ticks[np.searchsorted(steps, last - 1)]),
        values,
        known,
        past,
        _static(raw, columns),
        places[0],
        filled,
        offset,
    )


def _fill(part: Array, how: str) -> None:
    """Fill NaN in place, column by column."""
    rows = np.arange(len(part))
    for column in part.T:
        there = ~np.isnan(column)
        if how == "zero" or not there.any():
            column[~there] = 0.0
        elif how == "linear":
            column[~there] = np.interp(rows[~there], rows[there], column[there])
        else:
            before = np.maximum.accumulate(np.where(there, rows, -1))
            column[:] = column[np.where(before < 0, there.argmax(), before)]
