"""Measures of forecasts, and their intervals over blocks of time or over series.

Neighbouring windows share most of their targets, so windows are no independent items: an interval
draws whole blocks. Where there are many series, a block is a series; otherwise it is a stretch of
origins as long as the horizon, or longer, over all series.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unrolled.tasks import statistics
from unrolled.tasks.statistics import Difference
from unrolled.training.task import Estimate

from .plan import Plan

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

MANY = 20
"""Series from which an interval draws series, not stretches of time."""
BLOCKS = 200
"""Blocks of time at most."""


@dataclass(frozen=True)
class Truth:
    """True values after the origins of some windows.

    Attributes:
        values: As they were read, ``[n, H, C]``.
        scaled: In scaled units, ``[n, H, C]``.
        naive: Mean error of the seasonal naive forecast in each window's training part, ``[n, C]``.
        series: Number of each window's series, ``[n]``.
        times: Tick of each window's first target, ``[n]``, in steps.
    """

    values: Array
    scaled: Array
    naive: Array
    series: Integers
    times: Integers

    def blocks(self, horizon: int) -> Integers:
        """Number of each window's block, ``[n]``."""
        if len(np.unique(self.series)) >= MANY:
            return np.unique(self.series, return_inverse=True)[1]
        first, span = int(self.times.min()), int(np.ptp(self.times)) + 1
        size = max(horizon, -(-span // BLOCKS))
        return np.unique((self.times - first) // size, return_inverse=True)[1]


class Measured:
    """Sums of errors of one method by block.

    Args:
        truth: What came.
        point: Forecasts as values, ``[n, H, C]``.
        scaled: The same in scaled units.
        plan: Bands and quantiles.
        quantiles: As values, ``[n, H, C, Q]``; None for a method without.
        low: Lower ends of the bands, ``[n, H, C, bands]``; None for a method without.
        high: Upper ends.

    Attributes:
        counts: ``[blocks, k]``.
        names: Names of the measures, the most important first.
    """

    def __init__(
        self,
        truth: Truth,
        point: Array,
        scaled: Array,
        plan: Plan,
        *,
        quantiles: Array | None = None,
        low: Array | None = None,
        high: Array | None = None,
    ) -> None:
        error, y = np.abs(point - truth.values), truth.values
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.where(error > 0, 200 * error / (np.abs(y) + np.abs(point)), 0.0)
        columns = {
            "mae": error,
            "rmse": error**2,
            "mase": error / truth.naive[:, None, :],
            "smape": relative,
            "scaled_mse": (scaled - truth.scaled) ** 2,
            "scaled_mae": np.abs(scaled - truth.scaled),
        }
        if quantiles is not None:
            columns["crps"] = 2 * _pinball(plan, quantiles, y)
        else:
            columns["crps"] = error  # of a forecast without a spread
        if low is not None and high is not None:
            for at, level in enumerate(plan.levels):
                inside = (y >= low[..., at]) & (y <= high[..., at])
                columns[f"coverage_{level}"] = inside.astype(np.float64)
                columns[f"width_{level}"] = high[..., at] - low[..., at]
        self.names = tuple(columns)
        sums = np.stack([one.sum((1, 2)) for one in columns.values()], axis=-1)
        sums = np.concatenate([sums, np.full((len(y), 1), y[0].size)], axis=1)
        blocks = truth.blocks(plan.horizon)
        self.counts = np.zeros((int(blocks.max()) + 1, sums.shape[1]))
        np.add.at(self.counts, blocks, sums)

    def score(self, name: str) -> statistics.Score:
        """The measure of sums of counts ``[…, k]``."""
        at, root = self.names.index(name), name == "rmse"

        def of(sums: Array) -> Array:
            found: Array = sums[..., at] / sums[..., -1]
            return np.sqrt(found) if root else found

        return of

    def estimate(self, name: str) -> Estimate:
        """A measure with its interval."""
        return statistics.interval(self.counts, self.score(name))

    def estimates(self, names: Sequence[str]) -> dict[str, Estimate]:
        """Measures with their intervals."""
        return {name: self.estimate(name) for name in names if name in self.names}

    def value(self, name: str) -> float:
        """A measure."""
        return float(self.score(name)(self.counts.sum(0)))

    def better_than(self, other: Measured, name: str) -> Difference:
        """By how much the measure is lower than another method's on the same windows."""
        at = (self.names.index(name), other.names.index(name))
        mine, theirs = (
            one.counts[:, [place, -1]] for one, place in zip((self, other), at, strict=True)
        )
        root = name == "rmse"

        def score(sums: Array) -> Array:
            found: Array = sums[..., 0] / sums[..., 1]
            return np.sqrt(found) if root else found

        return statistics.paired(mine, theirs, score, higher=False)


def _pinball(plan: Plan, quantiles: Array, y: Array) -> Array:
    """Mean pinball loss of the quantiles, ``[n, H, C]``."""
    levels = np.array(plan.quantiles)
    error = y[..., None] - quantiles
    found: Array = np.maximum(levels * error, (levels - 1) * error).mean(-1)
    return found


def by_step(point: Array, truth: Truth) -> Array:
    """Mean absolute error of each step of the horizon, ``[H]``."""
    found: Array = np.abs(point - truth.values).mean((0, 2))
    return found


def by_series(point: Array, truth: Truth, names: Mapping[int, str]) -> dict[str, dict[str, float]]:
    """Errors of each series: mae, rmse, and nse, the share of the variance that is explained.

    It is the efficiency of Nash and Sutcliffe: 1 is perfect, 0 is as good as the mean.
    """
    found = {}
    for number, name in names.items():
        rows = truth.series == number
        if not rows.any():
            continue
        y, error = truth.values[rows], point[rows] - truth.values[rows]
        variance = float(((y - y.mean()) ** 2).mean())
        square = float((error**2).mean())
        found[name] = {
            "mae": float(np.abs(error).mean()),
            "rmse": square**0.5,
            "nse": 1 - square / variance if variance > 0 else float("nan"),
            "windows": int(rows.sum()),
        }
    return found
