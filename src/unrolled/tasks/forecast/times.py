"""Times of rows: read, put on a regular grid of steps, continued and written.

A time is a tick: a whole number of microseconds since 1970 (UTC), or of millionths of a number
where a column numbers the rows. A `Frequency` is the grid on which the ticks of a series lie.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from unrolled.errors import UserError
from unrolled.ranges import shown

Ticks = npt.NDArray[np.int64]
Features = npt.NDArray[np.float64]

SECOND = 1_000_000
DAY = 86_400 * SECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST = 1 << 62

_UNITS = {
    "s": SECOND,
    "m": 60 * SECOND,
    "min": 60 * SECOND,
    "h": 3600 * SECOND,
    "d": DAY,
    "w": 7 * DAY,
}
_MONTHS = {"mo": 1, "month": 1, "q": 3, "quarter": 3, "y": 12, "year": 12}
_WORDS = {"hour": "1h", "day": "1d", "week": "1w", "month": "1mo", "quarter": "1q", "year": "1y"}
_STRETCH = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")


def read_time(cell: Any, place: str, column: str) -> tuple[int, bool]:
    """The tick of a cell, and whether it is a date.

    Args:
        cell: ISO text (2024, as text, is a number), a number, or an object of a date or a time.
        place: File and row, for the error.
        column: The column's name, for the error.

    Raises:
        UserError: It is neither a time nor a number.
    """
    try:
        if isinstance(cell, datetime):
            return _tick(cell), True
        if isinstance(cell, date):
            return (cell - date(1970, 1, 1)).days * DAY, True
        if isinstance(cell, np.datetime64):
            return int(cell.astype("M8[us]").astype(np.int64)), True
        if isinstance(cell, str) and not _is_number(cell):
            text = cell.strip()
            if re.search(r"\d(Z|[+-]\d\d:?\d\d)$", text) and ":" in text:
                return _tick(datetime.fromisoformat(text)), True
            found = np.datetime64(text, "us")
            if not np.isnat(found):
                return int(found.astype(np.int64)), True
        elif cell is not None and not isinstance(cell, bool):
            tick = round(float(cell) * SECOND)
            if abs(tick) < _LARGEST:
                return tick, False
    except (ValueError, TypeError, OverflowError):
        pass
    got = "nothing" if cell is None or not str(cell).strip() else str(cell)[:30]
    raise UserError(
        f"{place}: column {column}: expected a time such as 2024-05-31 or 2024-05-31 23:00, or a "
        f"number, got {got}"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _tick(moment: datetime) -> int:
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return (aware - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True)
class Frequency:
    """The regular grid on which times lie.

    Attributes:
        unit: A fixed number of ticks; whole months; the days from Monday to Friday; or rows, whose
            times only order them.
        count: Ticks or months of a step; 1 for the other two.
        dated: Whether the times are dates.
    """

    unit: Literal["fixed", "months", "business", "rows"]
    count: int
    dated: bool

    def __str__(self) -> str:
        if self.unit == "rows":
            return "rows"
        if self.unit == "business":
            return "business days"
        if self.unit == "months":
            return (
                _plural(self.count // 12, "year")
                if self.count % 12 == 0
                else _plural(self.count, "month")
            )
        if not self.dated:
            return f"{self.count / SECOND:g}"
        for name, ticks in (("week", 7 * DAY), ("day", DAY), ("hour", _UNITS["h"])):
            if self.count % ticks == 0:
                return _plural(self.count // ticks, name)
        if self.count % _UNITS["m"] == 0:
            return _plural(self.count // _UNITS["m"], "minute")
        return f"{self.count / SECOND:g} seconds"

    @classmethod
    def parse(cls, text: str, *, dated: bool) -> Frequency:
        """The frequency of an option: ``15m``, ``1h``, ``business``, ``month``, ``rows``, ``2``.

        Raises:
            UserError: It is none.
        """
        word = text.strip().lower()
        if word == "rows":
            return cls("rows", 1, dated)
        if word == "business" and dated:
            return cls("business", 1, True)
        found = _STRETCH.fullmatch(_WORDS.get(word, word))
        if found and dated:
            count, unit = float(found[1]), found[2]
            if unit in _MONTHS and count >= 1 and count.is_integer():
                return cls("months", int(count) * _MONTHS[unit], True)
            if unit in _UNITS and count * _UNITS[unit] >= 1:
                return cls("fixed", round(count * _UNITS[unit]), True)
        if not dated and _is_number(word) and float(word) > 0:
            return cls("fixed", max(1, round(float(word) * SECOND)), False)
        known = "15m, 1h, 1d, business, 1w, month or rows" if dated else "a number, or rows"
        raise UserError(f"--frequency: expected {known}, got {shown(text)}")

    @classmethod
    def found_in(cls, series: Sequence[Ticks], *, dated: bool) -> Frequency:
        """The grid of the most frequent distance of neighbouring rows.

        Args:
            series: Ticks of each series, sorted.
            dated: Whether they are dates.
        """
        steps = np.concatenate([np.diff(ticks) for ticks in series])
        steps = steps[steps > 0]
        if not len(steps):
            return cls("rows", 1, dated)
        values, counts = np.unique(steps, return_counts=True)
        usual = int(values[counts.argmax()])
        if not dated:
            return cls("fixed", usual, False)
        ticks = np.concatenate(list(series))
        if usual >= 28 * DAY and _on_month_grid(ticks):
            months = np.concatenate([np.diff(_months(one)) for one in series])
            values, counts = np.unique(months[months > 0], return_counts=True)
            return cls("months", int(values[counts.argmax()]), True)
        if usual == DAY and not _weekend(ticks).any() and (steps == 3 * DAY).any():
            return cls("business", 1, True)
        return cls("fixed", usual, True)

    def positions(self, ticks: Ticks, origin: int) -> Ticks:
        """Number of steps from an origin to each tick; -1 << 62 where one lies beside the grid."""
        if self.unit == "rows":
            return np.arange(len(ticks), dtype=np.int64)
        if self.unit == "business":
            days = _days(ticks)
            first = np.datetime64(origin, "us").astype("M8[D]")
            found = np.busday_count(first, days).astype(np.int64)
            off = _weekend(ticks) | (ticks % DAY != origin % DAY)
            return _with_gaps(found, off)
        if self.unit == "months":
            start = np.array([origin], np.int64)
            away = _months(ticks) - _months(start)
            rests, rest = _rests(ticks), _rests(start)
            ends = _is_month_end(ticks) & _is_month_end(start)
            off = ((rests != rest) & ~ends) | (away % self.count != 0)
            return _with_gaps(away // self.count, off)
        away = ticks - origin
        return _with_gaps(away // self.count, away % self.count != 0)

    def ticks(self, origin: int, steps: npt.ArrayLike) -> Ticks:
        """Ticks some steps after an origin."""
        counts = np.asarray(steps, np.int64)
        if self.unit == "rows":
            return origin + counts
        if self.unit == "business":
            first = np.datetime64(origin, "us").astype("M8[D]")
            days = np.busday_offset(first, counts, roll="backward")
            return days.astype("M8[us]").astype(np.int64) + origin % DAY
        if self.unit == "months":
            start = np.array([origin], np.int64)
            months = (_months(start)[0] + counts * self.count).astype("M8[M]")
            begin = months.astype("M8[us]").astype(np.int64)
            last_day: Ticks = (months + 1).astype("M8[us]").astype(np.int64) - DAY + origin % DAY
            if _is_month_end(start)[0]:
                return last_day
            same_day: Ticks = np.minimum(begin + _rests(start)[0], last_day)
            return same_day
        return origin + counts * self.count

    def text(self, tick: int, *, after: int = 0) -> str | int | float:
        """A time as it is written; ``after`` counts the rows behind the last one of a series."""
        if self.unit == "rows" and after:
            return f"{self.text(tick)}+{after}"
        if not self.dated:
            return tick // SECOND if tick % SECOND == 0 else tick / SECOND
        whole = self.unit in ("business", "months") or (
            self.unit == "fixed" and not (self.count % DAY)
        )
        moment = np.datetime64(tick, "us")
        if tick % DAY == 0 and (whole or self.unit == "rows"):
            return str(moment.astype("M8[D]"))
        return str(moment.astype("M8[us]" if tick % SECOND else "M8[s]")).replace("T", " ")

    def steps_of(self, stretch: float | str, option: str) -> int:
        """Number of steps of a stretch of time: ``24``, ``14d``, ``2w``.

        Raises:
            UserError: It is no stretch of time, or no whole number of steps.
        """
        word = str(stretch).strip().lower()
        if _is_number(word):
            if float(word) >= 1 and float(word).is_integer():
                return int(float(word))
            raise UserError(f"{option}: expected a whole number of steps, got {shown(stretch)}")
        found = _STRETCH.fullmatch(word)
        if found is None or found[2] not in _UNITS | _MONTHS:
            raise UserError(
                f"{option}: expected a number of steps, or a duration such as 90m, 12h, 14d, 2w, "
                f"6mo or 1y, got {shown(stretch)}"
            )
        if self.unit == "rows" or not self.dated:
            raise UserError(f"{option}: the rows have no dates: give a number of steps")
        steps = float(found[1]) * self._steps_in(found[2])
        if steps < 1 - 1e-9:
            raise UserError(f"{option}: {stretch} is shorter than a step of {self}")
        return max(1, round(steps))

    def _steps_in(self, unit: str) -> float:
        if self.unit == "months":
            if unit in _MONTHS:
                return _MONTHS[unit] / self.count
            return _UNITS[unit] / (self.count * 30.436875 * DAY)
        ticks = _UNITS[unit] if unit in _UNITS else _MONTHS[unit] * 30.436875 * DAY
        if self.unit == "business":
            return ticks / DAY * 5 / 7
        return ticks / self.count

    @property
    def season(self) -> int:
        """Steps after which a pattern repeats, as far as the frequency tells; 1 for none."""
        if self.unit == "business":
            return 5
        if self.unit == "months":
            return 12 // self.count if 12 % self.count == 0 else 1
        if self.unit == "rows" or not self.dated:
            return 1
        if self.count < DAY:
            return DAY // self.count if DAY % self.count == 0 else 1
        if self.count == DAY:
            return 7
        return 52 if self.count == 7 * DAY else 1

    def calendar_names(self) -> tuple[str, ...]:
        """Names of the calendar's features that change at this frequency."""
        if not self.dated or self.unit == "rows":
            return ()
        fixed = self.unit == "fixed"
        names = []
        if fixed and self.count % DAY:
            names.append("hour of day")
        if self.unit == "business" or (fixed and self.count % (7 * DAY)):
            names.append("day of week")
        if self.unit != "months" or self.count % 12:
            names.append("day of year")
        return tuple(f"{wave} of {name}" for name in names for wave in ("sine", "cosine"))

    def calendar(self, ticks: Ticks) -> Features:
        """Sines and cosines of hour, weekday and day of the year, ``[T, features]``."""
        names = self.calendar_names()
        years = ticks.astype("M8[us]").astype("M8[Y]")
        begin = years.astype("M8[us]").astype(np.int64)
        length = (years + 1).astype("M8[us]").astype(np.int64) - begin
        shares = {
            "hour of day": (ticks % DAY) / DAY,
            "day of week": (ticks + 3 * DAY) % (7 * DAY) / (7 * DAY),  # 1970 began on a Thursday
            "day of year": (ticks - begin) / length,
        }
        columns = []
        for name in names:
            wave, _, what = name.partition(" of ")
            angle = 2 * np.pi * shares[what]
            columns.append(np.sin(angle) if wave == "sine" else np.cos(angle))
        return np.stack(columns, axis=-1) if columns else np.zeros((len(ticks), 0))


def _plural(count: int, name: str) -> str:
    return f"1 {name}" if count == 1 else f"{count} {name}s"


def _with_gaps(steps: Ticks, off: npt.NDArray[np.bool_]) -> Ticks:
    found: Ticks = np.where(off, -_LARGEST, steps)
    return found


def _days(ticks: Ticks) -> npt.NDArray[np.datetime64]:
    return ticks.astype("M8[us]").astype("M8[D]")


def _weekend(ticks: Ticks) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = (ticks // DAY + 3) % 7 >= 5
    return found


def _months(ticks: Ticks) -> Ticks:
    return ticks.astype("M8[us]").astype("M8[M]").astype(np.int64)


def _rests(ticks: Ticks) -> Ticks:
    """Ticks since the beginning of the month."""
    return ticks - ticks.astype("M8[us]").astype("M8[M]").astype("M8[us]").astype(np.int64)


def _is_month_end(ticks: Ticks) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = _months(ticks + DAY) != _months(ticks)
    return found


def _on_month_grid(ticks: Ticks) -> bool:
    return bool((_rests(ticks) == _rests(ticks[:1])).all() or _is_month_end(ticks).all())
