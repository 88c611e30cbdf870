"""The straight line nearest to the logarithm of a curve."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

FLAT = 1e-6
"""Curves whose logarithm varies by less than this (root mean square, nats) are flat to rounding."""


@dataclass(frozen=True)
class Fit:
    """The straight line log y = intercept + slope · lag nearest to the logarithm of a curve.

    Attributes:
        slope: nats per step; 0 for a curve that is flat to rounding, NaN where there are not two
            points.
        intercept: nats, at lag 0.
        r_squared: the share of log y's variance that the line explains: 1 for an exponential.
        points: how many there were.
    """

    slope: float
    intercept: float
    r_squared: float
    points: int

    @property
    def half_life(self) -> float:
        """Steps in which y halves, log 2 / -slope; ∞ where it does not decay."""
        if math.isnan(self.slope):
            return math.nan
        return math.log(2) / -self.slope if self.slope < 0 else math.inf

    @property
    def doubling_time(self) -> float:
        """Steps in which y doubles, log 2 / slope; ∞ where it does not grow."""
        if math.isnan(self.slope):
            return math.nan
        return math.log(2) / self.slope if self.slope > 0 else math.inf

    def at(self, lag: float) -> float:
        """Where the line is at a lag: the logarithm of y."""
        return self.intercept + self.slope * lag

    def lag_of(self, log: float) -> float:
        """The lag at which the line comes down to a logarithm; ∞ if it does not decay."""
        return (log - self.intercept) / self.slope if self.slope < 0 else math.inf


def fit(lags: Tensor, logs: Tensor) -> Fit:
    """Least squares on logarithms ``[lags]``; what is not finite (no influence) does not count."""
    lags, logs = lags.to("cpu", torch.float64), logs.to("cpu", torch.float64)
    finite = logs.isfinite()
    points = int(finite.sum())
    if points < 2:
        return Fit(math.nan, math.nan, math.nan, points)
    x, y = lags[finite], logs[finite]
    x_from, y_from = x - x.mean(), y - y.mean()
    total = float(y_from.square().sum())
    if total <= FLAT**2 * points:
        return Fit(0.0, float(y.mean()), 1.0, points)
    slope = float((x_from * y_from).sum() / x_from.square().sum())
    rest = float((y_from - slope * x_from).square().sum())
    return Fit(slope, float(y.mean() - slope * x.mean()), 1 - rest / total, points)
