"""Bands that cover what they promise: widened or narrowed by the errors on the validation part.

Conformalised quantile regression (Romano, Patterson & Candès, 2019, arXiv:1905.03222): a target's
score is how far it lies outside the band (negative inside), and the margin of a band is the
quantile of the scores that makes it cover its share. Each step of the horizon has a margin of its
own, and so has each series that has enough windows in the validation part.

On a stream the margins follow the errors: after each value they grow a little if it was outside and
shrink a little if not (quantile tracking; Angelopoulos, Candès & Tibshirani, 2023,
arXiv:2307.16895), which brings the long-run coverage to its share whatever the series does.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from unrolled.errors import UserError
from unrolled.files import read_json
from unrolled.training.run_folder.folder import RunFolder

from .plan import Plan

Array = npt.NDArray[np.float64]

NAME = "calibration.json"
FEWEST = 40
"""Scores of a step below which the steps of the horizon share them."""
ENOUGH = 100
"""Validation windows of a series from which its margins are its own."""
RATE = 0.05
"""Share of the scores' spread by which a margin moves with a value, at most."""


@dataclass(frozen=True)
class Calibration:
    """Margins of the bands, in scaled units.

    Attributes:
        margins: Of each series of the training data, and at the end of any other, ``[S + 1, bands,
            H]``.
        rates: By how much a margin moves on a stream, of the same shape.
        count: Number of validation windows behind them; 0 if nothing was fitted.
    """

    margins: Array
    rates: Array
    count: int = 0

    @classmethod
    def none(cls, plan: Plan) -> Calibration:
        """Bands as the network gives them."""
        nothing = np.zeros(_shape(plan))
        return cls(nothing, nothing)

    def of(self, numbers: npt.ArrayLike) -> Array:
        """Margins of series by number, ``[…, bands, H]``; -1 for one not of the training data."""
        found: Array = self.margins[np.asarray(numbers, np.int64)]
        return found

    @classmethod
    def fit(
        cls, plan: Plan, quantiles: Array, targets: Array, numbers: npt.NDArray[np.int64]
    ) -> Calibration:
        """Margins by the forecasts of some windows.

        Args:
            plan: The bands.
            quantiles: ``[n, H, C, Q]``.
            targets: ``[n, H, C]``.
            numbers: Each window's series, ``[n]``.
        """
        if not len(targets):
            return cls.none(plan)
        margins, rates = np.zeros(_shape(plan)), np.zeros(_shape(plan))
        margins[:], rates[:] = _fitted(plan, quantiles, targets)
        for number in np.unique(numbers):
            rows = numbers == number
            if ENOUGH <= rows.sum() < len(rows):
                margins[number], rates[number] = _fitted(plan, quantiles[rows], targets[rows])
        return cls(margins, rates, len(targets))

    def save(self, folder: RunFolder) -> None:
        """Write it to a run.

        Raises:
            OSError: It cannot be written, or the disk is full.
        """
        record = {
            "margins": self.margins.tolist(),
            "rates": self.rates.tolist(),
            "count": self.count,
        }
        folder.write(folder.path / NAME, json.dumps(record).encode())

    @classmethod
    def load(cls, folder: RunFolder, plan: Plan) -> Calibration:
        """Read it from a run; nothing fitted if the run has none.

        Raises:
            UserError: The file is corrupt.
        """
        path: Path = folder.path / NAME
        if not path.exists():
            return cls.none(plan)
        record = read_json(path)
        try:
            margins, rates = (np.array(record[name], np.float64) for name in ("margins", "rates"))
            if margins.shape != _shape(plan) or rates.shape != _shape(plan):
                raise ValueError("expected a margin for each series, band and step")
            if not (np.isfinite(margins).all() and np.isfinite(rates).all()):
                raise ValueError("expected finite margins")
            return cls(margins, rates, int(record["count"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: corrupt: {error}") from error


def _shape(plan: Plan) -> tuple[int, int, int]:
    return len(plan.parts) + 1, len(plan.levels), plan.horizon


def _fitted(plan: Plan, quantiles: Array, targets: Array) -> tuple[Array, Array]:
    """Margins and rates by some windows, ``[bands, H]`` each."""
    margins = np.zeros((len(plan.levels), plan.horizon))
    rates = np.zeros_like(margins)
    few = len(targets) * targets.shape[2] < FEWEST
    for at, level in enumerate(plan.levels):
        low, high = raw_band(plan, quantiles, level)
        scores = np.maximum(low - targets, targets - high)  # [n, H, C]
        for step in range(plan.horizon):
            own = np.sort((scores if few else scores[:, step]).ravel())
            # One more than the validation windows: the next value is as likely anywhere.
            place = int(np.ceil((len(own) + 1) * level / 100)) - 1
            margins[at, step] = own[min(place, len(own) - 1)]
            wide = np.quantile(own, 0.9) - np.quantile(own, 0.1)
            rates[at, step] = RATE * float(wide)
    return margins, rates


def raw_band(plan: Plan, quantiles: Array, level: int) -> tuple[Array, Array]:
    """Ends of a band as the network gives them, ``[…]`` of ``[…, Q]``."""
    low, high = plan.band(level)
    return quantiles[..., low], quantiles[..., high]


def bands(plan: Plan, quantiles: Array, point: Array, margins: Array) -> tuple[Array, Array]:
    """Ends of all bands; the forecast lies in each of them, and each in the next wider one.

    Args:
        plan: The bands.
        quantiles: ``[n, H, C, Q]``.
        point: ``[n, H, C]``.
        margins: ``[n, bands, H]``.

    Returns:
        Lower and upper ends, ``[n, H, C, bands]``.
    """
    lows: list[Array] = []
    highs: list[Array] = []
    for at, level in enumerate(plan.levels):
        low, high = raw_band(plan, quantiles, level)
        margin = margins[:, at, :, None]
        lows.append(np.minimum(low - margin, lows[-1] if lows else point))
        highs.append(np.maximum(high + margin, highs[-1] if highs else point))
    return np.stack(lows, axis=-1), np.stack(highs, axis=-1)


class Tracker:
    """Margins of one series that follow its errors, in constant memory.

    Args:
        plan: The bands.
        calibration: Margins to begin with.
        number: The series' number in the plan; -1 if it is not of the training data.
        margins: Margins to go on with, ``[bands, H]``.
        pending: Bands that wait for their values, ``[H, H, C, bands, 2]``: at a those of a + 1 rows
            ago; NaN where there is none.

    Attributes:
        margins: As given.
        pending: As given.
    """

    def __init__(
        self,
        plan: Plan,
        calibration: Calibration,
        number: int,
        margins: Array | None = None,
        pending: Array | None = None,
    ) -> None:
        horizon = plan.horizon
        shape = (horizon, horizon, plan.channels, len(plan.levels), 2)
        self._plan, self._rates = plan, calibration.rates[number]
        self.margins = calibration.of(number).copy() if margins is None else margins
        self.pending = np.full(shape, np.nan) if pending is None else pending

    def observe(self, value: Array) -> None:
        """Move the margins by a value, ``[C]``."""
        steps = np.arange(self._plan.horizon)
        waiting = self.pending[steps, steps]  # [H, C, bands, 2]
        margins = self.margins.T[:, None, :]
        known = ~np.isnan(waiting[..., 0]).any((1, 2))
        outside = (value[:, None] < waiting[..., 0] - margins) | (
            value[:, None] > waiting[..., 1] + margins
        )
        missed = outside.mean(1).T  # [bands, H]
        share = 1 - np.array(self._plan.levels)[:, None] / 100
        self.margins = self.margins + np.where(known, self._rates * (missed - share), 0.0)

    def promise(self, quantiles: Array) -> None:
        """Remember a forecast, ``[H, C, Q]``, made after the value observed last."""
        self.pending = np.roll(self.pending, 1, axis=0)
        ends = [np.stack(raw_band(self._plan, quantiles, one), -1) for one in self._plan.levels]
        self.pending[0] = np.stack(ends, axis=-2)


def followed(
    plan: Plan, calibration: Calibration, number: int, quantiles: Array, values: Array
) -> Array:
    """Margins of forecasts made at every row of one series, each by the errors before it.

    Args:
        plan: The bands.
        calibration: Margins to begin with.
        number: The series' number in the plan; -1 if it is not of the training data.
        quantiles: Forecasts ``[n, H, C, Q]``, from one row after the other.
        values: The first value that each was made for, ``[n, C]``.

    Returns:
        ``[n, bands, H]``.
    """
    tracker = Tracker(plan, calibration, number)
    found = []
    for one, value in zip(quantiles, values, strict=True):
        found.append(tracker.margins)
        tracker.promise(one)
        tracker.observe(value)
    return np.array(found)
