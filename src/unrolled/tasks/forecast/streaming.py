"""The state of a stream: the last values of each series, and margins that follow the errors.

A forecast is a function of the last ``history`` rows. A state holds just these, so that it takes
new values in constant memory and gives the same numbers as a look at everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from unrolled.errors import UserError, reason
from unrolled.training.run_folder.checkpoint import read_tensors, write_tensors

from .conformal import Tracker
from .network import forecasts_of
from .reading import Found
from .series import Raw, Series, regular
from .windows import Windows, scaled

if TYPE_CHECKING:
    from .predictor import ForecastPredictor

Array = npt.NDArray[np.float64]

_PARTS = ("values", "known", "past")


class State:
    """The state of all series of a stream.

    Args:
        predictor: The run's predictor.

    Attributes:
        series: The last rows of each series, by name.
        trackers: Margins that follow the errors, by name; of series that are tracked.
    """

    def __init__(self, predictor: ForecastPredictor) -> None:
        self._predictor = predictor
        self.series: dict[str, Series] = {}
        self.trackers: dict[str, Tracker] = {}

    def take(
        self, found: Found, fill: str, *, adaptive: bool = False
    ) -> tuple[list[Series], list[Array]]:
        """Take new rows.

        Args:
            found: The new rows, as they were read.
            fill: How to fill gaps, as the option says it.
            adaptive: Let the margins follow the errors.

        Returns:
            The series that have new values, each with what a forecast after them needs; and the
            margins of their bands.

        Raises:
            UserError: A row is not newer than what was taken before, or cannot be used.
        """
        fresh, margins = [], []
        for raw in found.raw:
            known = self.series.get(raw.name)
            joined = raw if known is None else _joined(known, raw, self._ticks(known))
            start = None if known is None else known.start
            plan = self._predictor.plan
            one = regular(joined, plan.frequency, fill, plan.columns, start=start)
            if one is None:
                continue
            if plan.frequency.unit == "rows" and known is not None:
                one = one._replace(offset=known.offset)
            before = 0 if known is None else len(known.values)
            if len(one.values) == before:
                continue
            if adaptive or raw.name in self.trackers:
                self._follow(one, before)
            fresh.append(one)
            tracker = self.trackers.get(raw.name)
            own = self._predictor.calibration.of(plan.numbers.get(raw.name, -1))
            margins.append(own if tracker is None else tracker.margins)
            self.series[raw.name] = _shortened(one, plan.history)
        if not fresh:
            raise UserError("expected new values, found none")
        return fresh, margins

    def _ticks(self, series: Series) -> npt.NDArray[np.int64]:
        plan = self._predictor.plan
        if plan.frequency.unit == "rows":
            return series.last - np.arange(len(series.values))[::-1]
        return plan.frequency.ticks(series.start, series.offset + np.arange(len(series.values)))

    def _follow(self, one: Series, before: int) -> None:
        """Move a series' margins by its new values.

        It begins behind the run's training and validation part, whose errors say too little.

        Args:
            one: Rows that were kept, and new ones.
            before: Number of the former.
        """
        predictor = self._predictor
        plan, count = predictor.plan, len(one.values)
        tracker = self.trackers.get(one.name)
        start, number = before, plan.numbers.get(one.name, -1)
        if tracker is None:
            first = plan.history
            if number >= 0 and one.start == plan.parts[number].start:
                first = plan.parts[number].validation
            start = max(before, first - one.offset)
            if start > count:
                return
            tracker = self.trackers[one.name] = Tracker(plan, predictor.calibration, number)
            origins = np.arange(start, count + 1)
        else:  # the forecast after the last value is remembered already
            origins = np.arange(start + 1, count + 1)
        scale = scaled(one, plan, future=plan.horizon)
        pairs = np.stack([np.zeros_like(origins), origins], axis=1).astype(np.int64)
        found = forecasts_of(predictor.model, Windows([scale], plan, pairs))
        for at, origin in enumerate(origins.tolist()):
            if origin > start:
                tracker.observe(scale.values[origin - 1])
            tracker.promise(found.quantiles[at])

    def save(self, path: Path) -> None:
        """Write it as one file, in one step.

        Raises:
            UserError: It cannot be written.
        """
        names = list(self.series)
        kept = [self.series[name] for name in names]
        tensors = {
            part: torch.from_numpy(np.concatenate([getattr(one, part) for one in kept]))
            for part in _PARTS
        }
        tensors["static"] = torch.from_numpy(np.stack([one.static for one in kept]))
        numbers = [(len(one.values), one.start, one.last, one.offset) for one in kept]
        tensors["numbers"] = torch.from_numpy(np.array(numbers, np.int64))
        tracked = [name for name in names if name in self.trackers]
        for part in ("margins", "pending"):
            found = [getattr(self.trackers[name], part) for name in tracked]
            if found:
                tensors[part] = torch.from_numpy(np.stack(found))
        record = {"run": self._predictor.digest(), "names": names, "tracked": tracked}
        try:
            write_tensors(path, tensors, record)
        except OSError as error:
            raise UserError(f"--state {path}: {reason(error)}") from error

    @classmethod
    def load(cls, path: Path, predictor: ForecastPredictor) -> State:
        """Read it back.

        Raises:
            UserError: The file is corrupt, or the state of another run.
        """
        tensors, record = read_tensors(path)
        if record.get("run") != predictor.digest():
            raise UserError(f"--state {path}: expected a state of this run, got another run's")
        state = cls(predictor)
        arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in tensors.items()}
        ends = np.cumsum(arrays["numbers"][:, 0])[:-1]
        pieces = [np.split(arrays[part], ends) for part in _PARTS]
        for at, name in enumerate(record["names"]):
            _, start, last, offset = (int(one) for one in arrays["numbers"][at])
            values, known, past = (part[at] for part in pieces)
            static, place = arrays["static"][at], str(path)
            state.series[name] = Series(
                name, start, last, values, known, past, static, place, offset=offset
            )
        for at, name in enumerate(record["tracked"]):
            margins, pending = arrays["margins"][at], arrays["pending"][at]
            number = predictor.plan.numbers.get(name, -1)
            state.trackers[name] = Tracker(
                predictor.plan, predictor.calibration, number, margins, pending
            )
        return state


def _shortened(one: Series, history: int) -> Series:
    """The rows of a series that a forecast is made from."""
    left_out = max(0, len(one.values) - history)
    count = len(one.values)
    return one._replace(
        values=one.values[left_out:],
        known=one.known[left_out:count],
        past=one.past[left_out:],
        offset=one.offset + left_out,
    )


def _joined(known: Series, raw: Raw, ticks: npt.NDArray[np.int64]) -> Raw:
    """Rows that were taken before and new ones, one after the other.

    Raises:
        UserError: A new row is not newer.
    """
    late = np.flatnonzero(raw.ticks <= known.last)
    if len(late):
        raise UserError(
            f"{raw.places[int(late[0])]}: expected rows that are newer than those of the state for "
            f"the series {raw.name}"
        )
    parts: Sequence[tuple[Array, Array]] = (
        (known.values, raw.values),
        (known.known, raw.known),
        (known.past, raw.past),
    )
    values, ahead, past = (np.concatenate(pair) for pair in parts)
    return Raw(
        raw.name,
        np.concatenate([ticks, raw.ticks]),
        [*[known.place] * len(ticks), *raw.places],
        values,
        ahead,
        past,
        raw.static,
    )
