"""Judgement of forecasts on some windows, beside the cheap methods, in numbers and in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.tasks.statistics import Difference
from unrolled.training.task import Estimate, Evaluation

from . import report
from .baselines import LAST, cheap_forecasts
from .conformal import Calibration, bands, followed
from .linear import LinearMap
from .measures import Measured, Truth, by_series, by_step
from .network import Forecasts
from .options import DISTRIBUTIONS, ForecastOptions
from .plan import Plan
from .series import Series
from .windows import Scaled, Windows

Array = npt.NDArray[np.float64]

FEW = 20
"""Blocks below which the intervals say little."""
NETWORK = "network"
MEASURES = ("mae", "rmse", "mase", "smape", "crps", "scaled_mse", "scaled_mae")
"""Measures that are given, after the bands' coverage."""


class Judge:
    """Forecasts of windows and what came, in the units of the data.

    Args:
        options: What the run was trained with.
        plan: Its plan.
        series: The series as they were read.
        scaled: The same, scaled.
        windows: Windows whose targets are known, one or more.
        forecasts: The network's forecasts of these.
        calibration: Margins of the bands.
        linear: The linear map.
    """

    def __init__(
        self,
        options: ForecastOptions,
        plan: Plan,
        series: Sequence[Series],
        scaled: Sequence[Scaled],
        windows: Windows,
        forecasts: Forecasts,
        calibration: Calibration,
        linear: LinearMap,
    ) -> None:
        self.options, self.plan, self.linear = options, plan, linear
        self.series, self.windows = series, windows
        self._scales = scaled
        self.calibration, self.forecasts = calibration, forecasts
        self.metric = "rmse" if options.training.loss in ("squared", *DISTRIBUTIONS) else "mae"
        which, origin = windows.origins.T
        targets = windows.targets()
        values = np.stack(
            [series[i].values[t : t + plan.horizon] for i, t in windows.origins.tolist()]
        )
        naive = np.stack([_naive(plan, series[i]) for i in range(len(series))])[which]
        starts = np.array([one.start for one in series])
        if plan.frequency.unit == "fixed":
            times = starts[which] // plan.frequency.count + origin
        else:
            times = origin  # of series that may begin at other times: each by its own rows
        self.truth = Truth(values, targets, naive, which, times)
        margins = calibration.of(windows.numbers())
        low, high = bands(plan, forecasts.quantiles, forecasts.point, margins)
        self.point = self.restored(forecasts.point)
        self.low, self.high = (self.restored(end) for end in (low, high))
        cheap = cheap_forecasts(windows, plan, linear, read_target=options.model.read_target)
        self.points = {NETWORK: self.point} | {
            name: self.restored(one) for name, one in cheap.items()
        }
        self.measured = {
            NETWORK: Measured(
                self.truth,
                self.point,
                forecasts.point,
                plan,
                quantiles=self.restored(forecasts.quantiles),
                low=self.low,
                high=self.high,
            )
        } | {
            name: Measured(self.truth, self.points[name], one, plan) for name, one in cheap.items()
        }

    def restored(self, scaled: Array) -> Array:
        """Scaled numbers ``[n, H, C, …]`` in the units of the data."""
        which = self.windows.origins[:, 0]
        center = np.array([one.scale.center for one in self._scales])[which]
        spread = np.array([one.scale.spread for one in self._scales])[which]
        more = (1,) * (scaled.ndim - 3)
        shape = (len(which), 1, self.plan.channels, *more)
        return self.plan.restored(scaled * spread.reshape(shape) + center.reshape(shape))

    def best_cheap(self) -> str | None:
        """The cheap method with the lowest error on these windows."""
        cheap = [name for name in self.measured if name != NETWORK]
        return min(cheap, key=lambda name: self.measured[name].value(self.metric), default=None)

    def followed_coverage(self) -> dict[int, float] | None:
        """Coverage of bands whose margins follow the errors; None where rows are left out."""
        plan, hits, total = self.plan, np.zeros(len(self.plan.levels)), 0
        for number in np.unique(self.windows.origins[:, 0]):
            rows = np.flatnonzero(self.windows.origins[:, 0] == number)
            if (np.diff(self.windows.origins[rows, 1]) != 1).any():
                return None
            quantiles, targets = self.forecasts.quantiles[rows], self.truth.scaled[rows]
            own = self._scales[number].number
            margins = followed(plan, self.calibration, own, quantiles, targets[:, 0])
            low, high = bands(plan, quantiles, self.forecasts.point[rows], margins)
            inside = (targets[..., None] >= low) & (targets[..., None] <= high)
            hits += inside.sum((0, 1, 2))
            total += targets.size
        return {level: float(hit / total) for level, hit in zip(plan.levels, hits, strict=True)}


def evaluate(judge: Judge, *, prefix: str = "", notes: Sequence[str] = ()) -> Evaluation:
    """Measures with intervals, the best cheap method's beside them, words, parts of a report.

    Args:
        judge: Forecasts and what came.
        prefix: Put before the measures' names.
        notes: Sentences to add.
    """
    plan, network = judge.plan, judge.measured[NETWORK]
    covers = [f"coverage_{level}" for level in plan.levels]
    first = judge.metric
    names = [first, *(name for name in MEASURES if name != first), *covers]
    estimates = network.estimates(names)
    best = judge.best_cheap()
    base = judge.measured[best].estimates([n for n in names if n not in covers]) if best else {}
    words = [_first(judge, estimates[first]), *_verdict(judge, best)]
    words += [_coverage(level, estimates[f"coverage_{level}"]) for level in plan.levels]
    details: dict[str, Any] = {
        "windows": len(judge.windows),
        "horizon": plan.horizon,
        "history": plan.history,
        "methods": {
            name: {key: one.value(key) for key in (*MEASURES[:5], "scaled_mse")}
            for name, one in judge.measured.items()
        },
        "bands": {
            str(level): {
                "coverage": network.value(f"coverage_{level}"),
                "mean width": network.value(f"width_{level}"),
            }
            for level in plan.levels
        },
    }
    kept = judge.followed_coverage()
    if kept is not None:
        for level, share in kept.items():
            details["bands"][str(level)]["coverage if margins follow the errors"] = share
    numbers = {i: one.name for i, one in enumerate(judge.series)}
    if len(numbers) > 1 or judge.options.model.read_target is False:
        details["series"] = by_series(judge.point, judge.truth, numbers)
    if best:
        words.append(f"Linear map: {judge.linear.description}.")
    if len(network.counts) < FEW:
        words.append(
            f"The windows share values but for {len(network.counts)} of them: the intervals say "
            "little."
        )
    steps = {name: by_step(point, judge.truth) for name, point in judge.points.items()}
    sections = [
        report.methods({n: m.estimates(names) for n, m in judge.measured.items()}, first),
        report.coverage(details["bands"], {n: estimates[n] for n in covers}),
        *([report.steps(steps)] if judge.plan.horizon > 1 else []),
        report.pictures(_shown(judge)),
    ]
    if "series" in details:
        sections.append(report.by_series(details["series"]))
    return Evaluation(
        {prefix + name: one for name, one in estimates.items()},
        {prefix + name: one for name, one in base.items()},
        [*words, *notes],
        details,
        sections,
    )


def _naive(plan: Plan, series: Series) -> Array:
    """Error of the seasonal naive forecast in the training part; of another series in all of it."""
    number = plan.numbers.get(series.name, -1)
    if number >= 0:
        return np.array(plan.parts[number].naive)
    error = np.abs(series.values[plan.season :] - series.values[: -plan.season])
    found = error.mean(0) if len(error) else np.ones(plan.channels)
    return np.where(found > 0, found, 1.0)


def _first(judge: Judge, value: Estimate) -> str:
    text = f"{judge.metric.upper()} {value.value:.4g} on {len(judge.windows):,} windows"
    if value.low is None or value.high is None:
        return text + "."
    return f"{text}, 95 % interval {value.low:.4g} to {value.high:.4g}."


def _verdict(judge: Judge, best: str | None) -> list[str]:
    """The method to use, in a sentence or two."""
    if best is None:
        return []
    network, name = judge.measured[NETWORK], judge.metric.upper()
    found = network.better_than(judge.measured[best], judge.metric)
    if found.by.low is None:
        return [f"One stretch of time does not tell the network from the {best}."]
    size = _size(found)
    words = []
    if not found.clear:
        words.append(
            f"The network and the {best} are not clearly different ({name}: {size}): use the "
            "cheap one if speed and simplicity matter, and more data to decide."
        )
    elif found.by.value > 0:
        words.append(
            f"The network beats the {best}, the best cheap method here ({name}: {size}): use the "
            "network."
        )
    else:
        words.append(
            f"The {best} beats the network ({name}: {size}): use the {best}, or train on more data."
        )
    last = network.better_than(judge.measured[LAST], judge.metric)
    if not last.clear or last.by.value < 0:
        price = (
            f"The last value is as good as the network ({name}: {_size(last)}): like a price, the "
            "series says nothing about its next step that its last value does not say."
        )
        words = [price] if best == LAST else [*words, price]
    return words


def _size(found: Difference) -> str:
    """The difference in words: how far the one that is ahead is ahead, or where the network is."""
    by = found.by
    assert by.low is not None
    assert by.high is not None
    sign = -1 if by.value < 0 else 1
    low, high = sorted((sign * by.low, sign * by.high))
    whose = "lower" if found.clear else f"the network's {'lower' if sign > 0 else 'higher'}"
    return f"{whose} by {abs(by.value):.4g}, 95 % interval {low:.4g} to {high:.4g}"


def _coverage(level: int, share: Estimate) -> str:
    between = ""
    if share.low is not None and share.high is not None:
        between = f" (95 % interval {share.low:.1%} to {share.high:.1%})"
    return f"The {level} % band covers {share.value:.1%} of the values{between}."


def _shown(judge: Judge) -> list[report.Shown]:
    """Windows with a small, a middle and the largest error, as pictures show them."""
    errors = np.abs(judge.point - judge.truth.values) / judge.truth.naive[:, None, :]
    order = np.argsort(errors.mean((1, 2)), kind="stable")
    picks = {"good": 0.1, "median": 0.5, "worst": 1.0}
    found, seen = [], set()
    for word, share in picks.items():
        number = int(order[min(len(order) - 1, int(share * len(order)))])
        if number in seen:
            continue
        seen.add(number)
        found.append(_picture(judge, number, word))
    return found


def _picture(judge: Judge, number: int, word: str) -> report.Shown:
    plan = judge.plan
    which, origin = (int(one) for one in judge.windows.origins[number])
    series = judge.series[which]
    channel = int(
        np.abs(judge.point[number] - judge.truth.values[number]).mean(0).argmax()
    )  # of several the one with the largest error
    back = max(0, origin - max(3 * plan.horizon, 30))
    title = plan.channel_names[channel] if plan.columns.multivariate else series.name
    start = series.start if plan.frequency.unit != "rows" else series.last - len(series.values) + 1
    when = (
        f"row {origin + 1:,}"
        if plan.frequency.unit == "rows"
        else str(plan.frequency.text(int(plan.frequency.ticks(start, origin))))
    )
    return report.Shown(
        f"{word}: {title}, from {when}",
        series.values[back:origin, channel],
        judge.truth.values[number, :, channel],
        judge.point[number, :, channel],
        [
            (level, judge.low[number, :, channel, at], judge.high[number, :, channel, at])
            for at, level in enumerate(plan.levels)
        ],
    )
