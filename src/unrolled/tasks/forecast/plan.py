"""Everything about a run's series that is fixed before training: grid, stretches, parts, scales."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.errors import UserError
from unrolled.files import read_json, write_file
from unrolled.ranges import shown

from .columns import Columns
from .options import ForecastOptions
from .series import Series
from .times import Frequency

Array = npt.NDArray[np.float64]

NAME = "plan.json"
FORMAT = 1
QUANTILES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Quantiles that are learnt besides those of the bands."""
LEAST_HISTORY = 16
"""Steps of a history that is not given, at least."""
WHOLE_HISTORY = 96
"""Longest history, in steps, that is read step by step."""
SEGMENTS = 32
"""Segments of a longer one, about."""


@dataclass(frozen=True)
class Scale:
    """A reversible scale of some columns: ``(x − center) / spread``.

    Attributes:
        center: Of each column.
        spread: Of each column, above 0.
    """

    center: tuple[float, ...]
    spread: tuple[float, ...]

    @classmethod
    def fit(cls, rows: Array, how: str = "standard") -> Scale:
        """Scale of the columns of ``[T, C]``; the spread of a constant one is 1."""
        count = rows.shape[1]
        if how == "none" or not len(rows):
            return cls((0.0,) * count, (1.0,) * count)
        if how == "mean":
            means = np.abs(rows).mean(0)
            return cls((0.0,) * count, tuple(np.where(means > 0, means, 1.0).tolist()))
        center, spread = rows.mean(0), rows.std(0)
        spread = np.where(spread > 1e-9 * (1 + np.abs(center)), spread, 1.0)
        return cls(tuple(center.tolist()), tuple(spread.tolist()))

    def __call__(self, rows: Array) -> Array:
        """Scaled rows ``[…, C]``."""
        scaled: Array = (rows - np.array(self.center)) / np.array(self.spread)
        return scaled

    def back(self, scaled: Array) -> Array:
        """Rows ``[…, C]`` as they were."""
        rows: Array = scaled * np.array(self.spread) + np.array(self.center)
        return rows


@dataclass(frozen=True)
class Part:
    """One series of the training data.

    Attributes:
        name: Its name.
        start: Tick of its first row.
        length: Rows.
        train: Rows of the training part, which are the first.
        validation: Rows up to the end of the validation part.
        scale: Scale of its values by the training part.
        naive: Mean error of the seasonal naive forecast in the training part, of each channel.
    """

    name: str
    start: int
    length: int
    train: int
    validation: int
    scale: Scale
    naive: tuple[float, ...]


@dataclass(frozen=True)
class Plan:
    """All that is fixed before training.

    Attributes:
        columns: Use of the columns.
        frequency: The grid.
        history: Steps that a forecast is made from.
        horizon: Steps that are forecast.
        season: Steps after which a pattern repeats.
        segment: Steps that are read at a time.
        calendar: Names of the calendar's features.
        scale: Kind of scale, as in the options.
        log: Whether logarithms are forecast.
        levels: Bands in percent.
        quantiles: Quantiles that the forecast gives, sorted.
        known: Scale of the columns known in the future.
        past: Scale of the columns known in the past.
        static: Scale of the columns that do not change.
        parts: The series.
    """

    columns: Columns
    frequency: Frequency
    history: int
    horizon: int
    season: int
    segment: int
    calendar: tuple[str, ...]
    scale: str
    log: bool
    levels: tuple[int, ...]
    quantiles: tuple[float, ...]
    known: Scale
    past: Scale
    static: Scale
    parts: tuple[Part, ...]
    numbers: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "numbers", {one.name: i for i, one in enumerate(self.parts)})

    @property
    def channels(self) -> int:
        """C, columns that are forecast together."""
        return len(self.columns.targets) if self.columns.multivariate else 1

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels."""
        return self.columns.targets if self.columns.multivariate else ("",)

    def band(self, level: int) -> tuple[int, int]:
        """Places of a band's ends among the quantiles."""
        low, high = ends(level)
        return self.quantiles.index(low), self.quantiles.index(high)

    def transformed(self, values: Array, place: str) -> Array:
        """Values as they are scaled: themselves, or their logarithms.

        Raises:
            UserError: One has no logarithm.
        """
        if not self.log:
            return values
        if not (values > 0).all():
            raise UserError(f"{place}: --log: expected values above 0 in the series")
        return np.log(values)

    def restored(self, values: Array) -> Array:
        """The reverse of `transformed`."""
        return np.exp(np.minimum(values, 700.0)) if self.log else values

    def save(self, folder: Path) -> None:
        """Write ``plan.json`` to a run's folder.

        Raises:
            OSError: The file cannot be written, or the disk is full.
        """
        record = {"format": FORMAT, **asdict(self)}
        del record["numbers"]
        write_file(folder / NAME, json.dumps(record, ensure_ascii=False).encode())

    @classmethod
    def load(cls, folder: Path) -> Plan:
        """Read back.

        Raises:
            UserError: The file is missing, of another version, or corrupt.
        """
        path = folder / NAME
        record = read_json(path)
        if not isinstance(record, dict) or record.pop("format", None) != FORMAT:
            raise UserError(f"{path}: not a plan of this version of unrolled")
        try:
            scales: dict[str, Any] = {
                name: _scale(record.pop(name)) for name in ("known", "past", "static")
            }
            parts = tuple(
                Part(**{**one, "scale": _scale(one["scale"]), "naive": tuple(one["naive"])})
                for one in record.pop("parts")
            )
            rest: dict[str, Any] = {
                key: tuple(one) if isinstance(one, list) else one
                for key, one in record.items()
                if key not in ("columns", "frequency")
            }
            columns = Columns.from_record(record["columns"])
            plan = cls(columns, Frequency(**record["frequency"]), parts=parts, **scales, **rest)
            counts = (plan.history, plan.horizon, plan.season, plan.segment)
            if min(counts) < 1 or plan.history % plan.segment:
                raise ValueError("expected stretches of one step or more")
            if any(len(one.scale.center) != plan.channels for one in parts) or not parts:
                raise ValueError("expected a scale for each channel")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{path}: corrupt: {error}") from error
        return plan


def _scale(record: Any) -> Scale:
    """A scale from JSON.

    Raises:
        ValueError: A number cannot be.
    """
    found = Scale(tuple(map(float, record["center"])), tuple(map(float, record["spread"])))
    fine = len(found.center) == len(found.spread) and all(one > 0 for one in found.spread)
    if not fine or not all(map(math.isfinite, (*found.center, *found.spread))):
        raise ValueError("expected a finite center and a spread above 0 for each column")
    return found


def ends(level: int) -> tuple[float, float]:
    """Quantiles at the ends of a band of so many percent."""
    return round((100 - level) / 200, 4), round((100 + level) / 200, 4)


def make_plan(
    options: ForecastOptions, columns: Columns, frequency: Frequency, series: Sequence[Series]
) -> Plan:
    """The plan of a run; scales are of the training parts alone.

    Raises:
        UserError: A stretch of time does not fit the data.
    """
    data = options.data
    default = frequency.season
    season = default if data.season is None else frequency.steps_of(data.season, "--season")
    horizon = default if data.horizon is None else frequency.steps_of(data.horizon, "--horizon")
    cuts = [_cuts(data.val, data.test, len(one.values), frequency, horizon) for one in series]
    longest = max(train for train, _ in cuts)
    if longest < horizon + 2:
        raise UserError(
            f"--horizon: no series has {horizon + 2} rows to train on, a horizon of {horizon} and "
            f"two more; the longest training part has {longest} of {len(series[0].values)} rows"
        )
    if data.history is None:
        history = min(max(2 * season, 2 * horizon, LEAST_HISTORY), max(1, longest // 3))
    else:
        history = frequency.steps_of(data.history, "--history")
        if history + horizon > longest:
            raise UserError(
                f"--history: {history} steps and a horizon of {horizon} need as many rows to train "
                f"on, the longest training part has {longest}"
            )
    by_step = options.model.decode == "paths"
    segment = 1 if by_step else options.model.segment or _segment(history)
    history = -(-history // segment) * segment
    levels = options.training.levels
    both = {*QUANTILES, *(end for level in levels for end in ends(level))}
    plan = Plan(
        columns=columns,
        frequency=frequency,
        history=history,
        horizon=horizon,
        season=season,
        segment=segment,
        calendar=frequency.calendar_names() if data.calendar else (),
        scale=data.scale,
        log=data.log,
        levels=levels,
        quantiles=tuple(sorted(both)),
        known=_pooled([one.known[:train] for one, (train, _) in zip(series, cuts, strict=True)]),
        past=_pooled([one.past[:train] for one, (train, _) in zip(series, cuts, strict=True)]),
        static=_pooled([one.static[None] for one in series]),
        parts=(),
    )
    kind = data.scale if data.scale in ("none", "mean") else "standard"
    parts = []
    for one, (train, validation) in zip(series, cuts, strict=True):
        rows = plan.transformed(one.values, one.place)
        error = np.abs(one.values[season:train] - one.values[: max(0, train - season)])
        naive = error.mean(0) if len(error) else np.full(one.values.shape[1], np.nan)
        known = naive[np.isfinite(naive) & (naive > 0)]
        fallback = float(known.mean()) if len(known) else 1.0
        naive = np.where(np.isfinite(naive) & (naive > 0), naive, fallback)
        scale = Scale.fit(rows[: max(train, 1)], kind)
        parts.append(
            Part(one.name, one.start, len(rows), train, validation, scale, tuple(naive.tolist()))
        )
    return replace(plan, parts=tuple(parts))


def _pooled(rows: Sequence[Array]) -> Scale:
    return Scale.fit(np.concatenate(list(rows)))


def _segment(history: int) -> int:
    """Steps of a segment: 1 for a short history, else the least divisor for about `SEGMENTS`."""
    if history <= WHOLE_HISTORY:
        return 1
    least = history // SEGMENTS
    return next(size for size in range(least, history + 1) if history % size == 0 or size >= 24)


def _cuts(
    val: float | str, test: float | str, length: int, frequency: Frequency, horizon: int
) -> tuple[int, int]:
    """Rows of the training part, and up to the end of the validation part.

    Raises:
        UserError: A part is no share and no stretch of time, or shorter than the horizon.
    """
    sizes = []
    for stretch, option in ((val, "--val"), (test, "--test")):
        word = str(stretch).strip()
        try:
            number = float(word)
        except ValueError:
            number = math.inf
        if 0 <= number < 1:
            sizes.append(int(number * length))
        elif number < 0:
            raise UserError(
                f"{option}: expected a share or a stretch of time, got {shown(stretch)}"
            )
        else:
            size = frequency.steps_of(stretch, option)
            if size < horizon:
                raise UserError(
                    f"{option}: expected {horizon} steps or more, as many as are forecast, got "
                    f"{size}"
                )
            sizes.append(size)
    end = max(0, length - sizes[1])
    return max(0, end - sizes[0]), end
