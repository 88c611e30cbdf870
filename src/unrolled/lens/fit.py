"""The half-life of what decays with the lag."""

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
        slope: nats per step; 0 for a curve that is flat to rounding, -∞ where nothing is left
            after a single lag, NaN where there is nothing to fit.
        intercept: nats, at lag 0.
        r_squared: the share of log y's variance that the line explains: 1 for an exponential.
    """

    slope: float
    intercept: float
    r_squared: float

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

    def change(self, steps: float) -> float:
        """By what factor y changes in so many steps; ∞ where that is no number."""
        if steps == 0:
            return 1.0
        try:
            return math.exp(self.slope * steps)
        except OverflowError:
            return math.inf


def half_life_of_influence(by_lag: Tensor, lags: Tensor | None = None) -> Fit:
    """Fit an exponential to influence against lag, by least squares on its logarithm.

    Args:
        by_lag: ``[lags]``, the influence at lag 0, 1, ...; NaN where it is not known. Where it is
            exactly 0 it has no logarithm and does not count.
        lags: the lag of each value, if they are others.

    Returns:
        The fit, with half-life and R².

    Raises:
        ValueError: if by_lag is no vector, or holds a negative number.
    """
    if by_lag.ndim != 1:
        raise ValueError(
            "half_life_of_influence: by_lag must have one dimension, a value for each lag, "
            f"got shape {tuple(by_lag.shape)}"
        )
    if (by_lag < 0).any():
        raise ValueError(
            "half_life_of_influence: by_lag must hold norms, which are not negative, got "
            f"{float(by_lag[by_lag < 0][0]):g}"
        )
    if lags is None:
        lags = torch.arange(len(by_lag), dtype=torch.int64, device="cpu")
    return fit(lags, by_lag.detach().to("cpu", torch.float64).log())


def fit(lags: Tensor, logs: Tensor) -> Fit:
    """The same for logarithms ``[lags]``, in which -∞ stands for nothing and NaN for unknown."""
    lags, logs = lags.to("cpu", torch.float64), logs.to("cpu", torch.float64)
    finite = logs.isfinite()
    if finite.sum() < 2:
        gone = bool((logs == -math.inf).any())
        return Fit(-math.inf if gone else math.nan, math.nan, math.nan)
    x, y = lags[finite], logs[finite]
    x_from, y_from = x - x.mean(), y - y.mean()
    total = float(y_from.square().sum())
    if total <= FLAT**2 * len(y):
        return Fit(0.0, float(y.mean()), 1.0)
    slope = float((x_from * y_from).sum() / x_from.square().sum())
    rest = float((y_from - slope * x_from).square().sum())
    return Fit(slope, float(y.mean() - slope * x.mean()), 1 - rest / total)
