"""Columns of a table: which one tells the series, which one the time, which are forecast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from unrolled.errors import UserError
from unrolled.tasks.tables import number_in

from .options import DataOptions

ID_NAMES = ("unique_id", "series_id", "series", "item_id")
"""Names of columns that tell the series, the surest first."""

TIME_NAMES = ("ds", "date", "datetime", "timestamp", "time", "month", "day", "year", "week", "t")
"""Names of columns with times, the surest first."""

TARGET_NAMES = ("y", "target", "value")
"""Names of columns to forecast, the surest first."""


@dataclass(frozen=True)
class Columns:
    """Use of a table's columns.

    Attributes:
        id: Column that tells the series of a row; None where the table is one series, or has a
            column for each.
        time: Column with the time.
        targets: Columns that are forecast.
        known: Columns known in the future.
        past: Columns known in the past only.
        static: Columns that do not change within a series.
        multivariate: Whether the targets are forecast together.
        words: Of each static column the words in it, sorted; none where it holds numbers.
    """

    id: str | None
    time: str
    targets: tuple[str, ...]
    known: tuple[str, ...] = ()
    past: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    multivariate: bool = False
    words: tuple[tuple[str, ...], ...] = ()

    def __str__(self) -> str:
        parts = [f"series {self.id}"] if self.id is not None else []
        parts += [f"time {self.time}", f"forecast {', '.join(self.targets)}"]
        parts += [
            f"{name} {', '.join(getattr(self, name))}"
            for name in ("known", "past", "static")
            if getattr(self, name)
        ]
        return "; ".join(parts)

    def record(self) -> dict[str, Any]:
        """Everything as JSON has it."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Any) -> Columns:
        """Read back from JSON.

        Raises:
            KeyError: A value is missing.
            TypeError: A value is missing or of another type.
        """
        lists: dict[str, Any] = {
            key: tuple(one) if isinstance(one, list) else one for key, one in record.items()
        }
        lists["words"] = tuple(tuple(one) for one in lists["words"])
        return cls(**lists)


def guess_columns(
    names: Sequence[str], sample: Sequence[Sequence[Any]], options: DataOptions, where: str
) -> Columns:
    """Use of a table's columns, as given or guessed.

    Args:
        names: Columns of the table.
        sample: Its first rows.
        options: What is given.
        where: Name of the file, for errors.

    Raises:
        UserError: A column that was asked for is not there, or it cannot be told which is which.
    """
    if not sample:
        raise UserError(f"{where}: expected rows below the names of the columns, found none")
    lower = {name.lower(): name for name in names}

    def given(word: str, option: str) -> str:
        if word in names:
            return word
        listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
        raise UserError(f"{option}: {where} has no column {word}; it has {listed}")

    def several(words: str | None, option: str) -> tuple[str, ...]:
        return tuple(given(word.strip(), option) for word in (words or "").split(",") if word)

    def guessed(known: Sequence[str]) -> str | None:
        return next((lower[name] for name in known if name in lower), None)

    others = {
        "--known": several(options.known, "--known"),
        "--past": several(options.past, "--past"),
        "--static": several(options.static, "--static"),
    }
    targets = several(options.targets, "--targets")
    if options.target is not None:
        targets = (given(options.target, "--target"),)
    series = given(options.id, "--id") if options.id is not None else guessed(ID_NAMES)
    time = given(options.time, "--time") if options.time is not None else guessed(TIME_NAMES)
    taken = {*targets, *(name for group in others.values() for name in group)}
    if time is None:
        time = next((name for name in names if name not in taken and name != series), None)
    if time is None:
        raise UserError(f"{where}: expected a column with times; --time names it")
    if not targets:
        targets = (_target(names, sample, {series, time, *taken}, guessed(TARGET_NAMES), where),)
    uses = {"--id": (series,) if series else (), "--time": (time,), "--target": targets, **others}
    seen: dict[str, str] = {}
    for option, group in uses.items():
        for name in group:
            if name in seen:
                raise UserError(f"{option}: column {name} is used by {seen[name]} already")
            seen[name] = option
    return Columns(
        series,
        time,
        targets,
        known=others["--known"],
        past=others["--past"],
        static=others["--static"],
        multivariate=options.multivariate,
    )


def _target(
    names: Sequence[str],
    sample: Sequence[Sequence[Any]],
    taken: set[str | None],
    guess: str | None,
    where: str,
) -> str:
    """The column to forecast: one of a usual name, or the only one left with numbers."""
    if guess is not None and guess not in taken:
        return guess
    left = [name for name in names if name not in taken and _numeric(names.index(name), sample)]
    if len(left) == 1:
        return left[0]
    listed = ", ".join(left[:20]) or "none"
    raise UserError(
        f"{where}: expected one column to forecast, found {listed}; --target names it, and "
        "--targets a,b,c several"
    )


def _numeric(at: int, sample: Sequence[Sequence[Any]]) -> bool:
    cells = [row[at] for row in sample if at < len(row)]
    filled = [cell for cell in cells if cell not in (None, "")]
    return bool(filled) and all(number_in(cell) is not None for cell in filled)
