"""The decay of influence with the lag: what is measured, and the exponential where one fits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .fit import Fit, fit

HALF, TENTH, HUNDREDTH = 0.5, 0.1, 0.01
"""The shares of the influence whose lags are measured."""
GROWN = 100.0
"""An influence that is so many times that at the start has exploded."""
LINEAR = 0.95
"""The least R² at which log influence counts as a straight line."""
ROUNDING = 1e-4
"""Influence this close to a share, relative to it, counts as that share."""
POINTS = 3
"""The fewest points that can tell a straight line from another curve."""
NOTHING = 1e-4
"""The most that a line may leave where nothing at all is measured."""


@dataclass(frozen=True)
class Decay:
    """Influence against the lag.

    All shares are of the influence at lag 0, or at the first lag at which there is any. Each lag is
    the first of its kind, so it stays the same when more lags are looked at.

    Attributes:
        start: log of the influence at the first lag at which there is any; NaN if there is none.
        lags: the largest lag that was looked at; 0 where there are not two to compare.
        half: the first lag at which a half or less is left; None where more is left at every lag.
        tenth: the same for a tenth.
        hundredth: the same for a hundredth.
        grown: the first lag at which it is 100 times as large; None where it is less at every lag.
        left: the share at the largest lag; NaN where there are not two lags to compare.
        most: the largest share at any lag, and `returned` the largest after `hundredth`.
        returned: 0 where nothing, or no lag, comes after `hundredth`.
        fit: the straight line nearest to its logarithm, whether it is near or not; see `fits`.
        fits: whether influence is an exponential. It is if R² of the line is 0.95 or more over
            three lags or more, and the line does not contradict what is measured: its half-life is
            `half` to a factor of 2, and it has less than 10⁻⁴ left where influence is exactly 0. A
            curve that falls at once, and then slowly over very many lags, has a large R² and a line
            that knows nothing of the fall.
    """

    start: float
    lags: int
    half: int | None
    tenth: int | None
    hundredth: int | None
    grown: int | None
    left: float
    most: float
    returned: float
    fit: Fit
    fits: bool

    @property
    def half_life(self) -> float:
        """Steps over which the exponential halves; ∞ if it does not decay, NaN if none fits."""
        return self.fit.half_life if self.fits else math.nan

    @property
    def doubling_time(self) -> float:
        """Steps over which the exponential doubles; ∞ if it does not grow, NaN if none fits."""
        return self.fit.doubling_time if self.fits else math.nan

    def __str__(self) -> str:
        if not self.lags:
            return "There are not two lags with an influence to compare."
        found = []
        if self.grown is not None:
            found.append(f"has grown {GROWN:g} times at lag {self.grown}")
        found.append(f"is {self._reached()}")
        lags = f"the {self.lags} lags" if self.lags > 1 else "the one lag"
        told = " and ".join(found)
        return f"Over {lags} looked at, influence {told}; at the last one {self.last}."

    @property
    def last(self) -> str:
        """What is left at the last lag, in words."""
        if self.left > 1 + ROUNDING:
            return f"{self.left:.2g} times as much arrives as at the start"
        if self.left >= 1e-6:
            return f"{100 * self.left:.2g} % is left"
        return "nothing to speak of is left"

    def _reached(self) -> str:
        """The lags of a half, a tenth and a hundredth, each named once."""
        lags = {"a half": self.half, "a tenth": self.tenth, "a hundredth": self.hundredth}
        reached = {
            lag: f"to {share} at lag {lag}" for share, lag in lags.items() if lag is not None
        }
        never = next((f"never to {share}" for share, lag in lags.items() if lag is None), None)
        *most, last = [*reached.values(), *([never] if never else [])]
        told = f"{', '.join(most)} and {last}" if most else last
        return f"down {told}" if reached else told.replace("never to", "never down to")


def decay_of_influence(by_lag: Tensor, exact: Tensor | None = None) -> Decay:
    """Measure how influence decays with the lag.

    Args:
        by_lag: ``[lags]``, the influence at lag 0, 1, ...; NaN where it is not known.
        exact: ``[lags]``, where it has digits enough to be fitted; everywhere if not given.

    Raises:
        ValueError: if by_lag is no vector, or holds a negative number.
    """
    if by_lag.ndim != 1:
        raise ValueError(
            "decay_of_influence: by_lag must have one dimension, a value for each lag, "
            f"got shape {tuple(by_lag.shape)}"
        )
    if (by_lag < 0).any():
        raise ValueError(
            "decay_of_influence: by_lag must hold norms, which are not negative, got "
            f"{float(by_lag[by_lag < 0][0]):g}"
        )
    norms = by_lag.detach().to("cpu", torch.float64)
    logs = norms.log() if exact is None else torch.where(exact, norms, torch.nan).log()
    nearest = fit(torch.arange(len(norms), dtype=torch.int64, device="cpu"), logs)
    known = (~norms.isnan()).nonzero().flatten().tolist()
    start = next((lag for lag in known if norms[lag] > 0), None)
    if start is None or known[-1] == start or not math.isfinite(norms[start]):
        none = math.nan
        return Decay(none, 0, None, None, None, None, none, none, 0.0, nearest, fits=False)
    shares = {lag: float(norms[lag] / norms[start]) for lag in known if lag >= start}
    half, tenth, hundredth = (_first(shares, most=share) for share in (HALF, TENTH, HUNDREDTH))
    after = [y for lag, y in shares.items() if hundredth is not None and lag > hundredth]
    return Decay(
        start=math.log(norms[start]),
        lags=known[-1],
        half=half,
        tenth=tenth,
        hundredth=hundredth,
        grown=_first(shares, least=GROWN),
        left=shares[known[-1]],
        most=max(shares.values()),
        returned=max(after, default=0.0),
        fit=nearest,
        fits=nearest.points >= POINTS
        and nearest.r_squared >= LINEAR
        and _agrees(nearest, shares, half),
    )


def _agrees(line: Fit, shares: dict[int, float], half: int | None) -> bool:
    """Whether a line does not contradict the lags of a half and of nothing.

    A half is left between the lag before `half` and that lag, or after the last of them.
    """
    start, last = min(shares), max(shares)
    gone = _first(shares, most=0)
    if gone is not None and line.slope * (gone - start) > math.log(NOTHING):
        return False
    if half is None:
        return line.half_life >= (last - start) / 2
    return (half - start - 1) / 2 <= line.half_life <= 2 * (half - start)


def _first(
    shares: dict[int, float], *, least: float = -math.inf, most: float = math.inf
) -> int | None:
    """The first lag whose share is within these bounds."""
    least, most = least * (1 - ROUNDING) if least > 0 else least, most * (1 + ROUNDING)
    return next((lag for lag, share in shares.items() if least <= share <= most), None)
