"""The cheap method: the best linear map of the past, in closed form.

It is NLinear (Zeng et al., 2022, arXiv:2205.13504) by ridge regression: each step to forecast is
the last value plus a weighted sum of differences to it; beside it stands the same without the last
value. Known columns of the step to forecast are read as well. How much of the past is read, whether
all series share the weights, and the penalty are chosen on the validation part.

All of it needs the second moments of windows alone: they are summed up once, and every candidate is
fitted to the training part's and measured by the validation part's.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from unrolled.errors import UserError
from unrolled.training.run_folder.checkpoint import read_tensors, write_tensors

from .plan import Plan
from .windows import Scaled

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

NAME = "linear.safetensors"
PENALTIES = (1e-5, 1e-3, 1e-2, 1e-1)
"""Ridge penalties that are tried, as shares of a window."""
GROUPS = 64
"""Series up to which each may have weights of its own."""
LARGEST = 3000
"""Numbers of a window up to which the known columns are read."""


@dataclass(frozen=True)
class LinearMap:
    """A linear map of scaled windows.

    Attributes:
        weights: Of the past, ``[G, L, H]``; G is 1 where all series share them, and otherwise one
            for each channel of each series.
        bias: ``[G, H]``.
        ahead: Of the known columns and the calendar of the step itself, ``[G, H, K]``.
        description: What was chosen, in words.
    """

    weights: Array
    bias: Array
    ahead: Array
    description: str

    def __call__(self, past: Array, future: Array, numbers: Integers) -> Array:
        """Forecasts ``[n, H, C]``.

        Args:
            past: ``[n, L, C]``.
            future: ``[n, H, K]``.
            numbers: Each window's series, ``[n]``; -1 for one with the mean of all weights.
        """
        channels = past.shape[2]
        found = np.zeros((len(past), self.bias.shape[1], channels))
        for number in np.unique(numbers):
            rows = numbers == number
            for channel in range(channels):
                group = group_of(int(number), channel, channels, len(self.weights))
                weights, bias, ahead = (
                    part.mean(0) if group is None else part[group]
                    for part in (self.weights, self.bias, self.ahead)
                )
                known = np.einsum("nhk,hk->nh", future[rows], ahead)
                found[rows, :, channel] = past[rows][:, :, channel] @ weights + bias + known
        return found

    def save(self, folder: Path) -> None:
        """Write it to a run's folder.

        Raises:
            OSError: The file cannot be written, or the disk is full.
        """
        parts = {"weights": self.weights, "bias": self.bias, "ahead": self.ahead}
        tensors = {name: torch.from_numpy(part) for name, part in parts.items()}
        write_tensors(folder / NAME, tensors, {"description": self.description})

    @classmethod
    def load(cls, folder: Path, plan: Plan) -> LinearMap:
        """Read it back.

        Raises:
            UserError: The file is missing, corrupt, or of another plan.
        """
        tensors, record = read_tensors(folder / NAME)
        try:
            parts = {name: tensors[name].numpy() for name in ("weights", "bias", "ahead")}
            found = cls(**parts, description=str(record["description"]))
        except KeyError as error:
            raise UserError(f"{folder / NAME}: corrupt: {error}") from error
        if found.weights.ndim != 3 or found.weights.shape[1:] != (plan.history, plan.horizon):
            raise UserError(f"{folder / NAME}: does not fit the plan of the run")
        return found


def group_of(number: int, channel: int, channels: int, groups: int) -> int | None:
    """Number of the weights of a series' channel; None for the mean of all."""
    if groups == 1:
        return 0
    return None if number < 0 else number * channels + channel


class _Moments(NamedTuple):
    """Second moments of windows ``[past, 1, targets, known columns of the targets]``.

    Attributes:
        sums: Sums over the windows.
        windows: Number of windows.
    """

    sums: Array
    windows: int


class _Choice(NamedTuple):
    """One way to fit.

    Attributes:
        stretch: Rows of the past that are read.
        last: Whether everything is a difference to the last value.
        penalty: Ridge penalty.
    """

    stretch: int
    last: bool
    penalty: float


def fit_linear(series: Sequence[Scaled], plan: Plan) -> LinearMap:
    """The map that is best on the validation part, fitted to the training part.

    Where the series are too short for a whole window it is the last value.
    """
    channels = plan.channels
    width = series[0].ahead.shape[1]
    if plan.history + 1 + plan.horizon * (1 + width) > LARGEST:
        width = 0
    groups: list[tuple[_Moments, _Moments]] = []
    shared: tuple[_Moments, _Moments] | None = None
    several = len(series) * channels <= GROUPS
    for one, part in zip(series, plan.parts, strict=True):
        for channel in range(channels):
            spans = ((0, part.train), (part.train, part.validation))
            found = [_moments(one, channel, span, plan, width) for span in spans]
            if shared is None:
                shared = (found[0], found[1])
            else:
                shared = tuple(  # type: ignore[assignment]
                    _Moments(a.sums + b.sums, a.windows + b.windows)
                    for a, b in zip(shared, found, strict=True)
                )
            if several:
                groups.append((found[0], found[1]))
    assert shared is not None
    if not shared[0].windows:
        return _last_value(plan, series[0].ahead.shape[1])
    ways = [("shared weights", [shared])]
    if several and len(groups) > 1 and all(train.windows for train, _ in groups):
        ways.append(("weights for each series", groups))
    best: tuple[float, str, _Choice, list[Array]] | None = None
    for name, moments in ways:
        prepared = [[(_differences(m, plan), m) for m in pair] for pair in moments]
        for choice in _choices(plan):
            error, maps = 0.0, []
            for train, validation in prepared:
                fitted = _fit(train[0 if choice.last else 1], choice, plan, width)
                measured = validation if validation[1].windows else train
                error += _error(measured[0 if choice.last else 1], fitted, choice, plan, width)
                maps.append(fitted)
            if best is None or error < best[0]:
                best = error, name, choice, maps
    assert best is not None
    _, name, choice, maps = best
    return _assembled(maps, choice, name, plan, width, series[0].ahead.shape[1])


def _choices(plan: Plan) -> Iterator[_Choice]:
    stretches = {max(1, plan.history // divisor) for divisor in (1, 2, 4, 8)}
    for stretch, last, penalty in itertools.product(sorted(stretches), (True, False), PENALTIES):
        if stretch > 1 or not last:
            yield _Choice(stretch, last, penalty)


def _moments(one: Scaled, channel: int, span: tuple[int, int], plan: Plan, width: int) -> _Moments:
    """Moments of the windows whose targets lie in a span of rows, and whose past is whole."""
    history, horizon = plan.history, plan.horizon
    size = history + 1 + horizon * (1 + width)
    first, end = max(0, span[0] - history), span[1]
    if end - first < history + horizon:
        return _Moments(np.zeros((size, size)), 0)
    view = np.lib.stride_tricks.sliding_window_view
    rows = view(one.values[first:end, channel], history + horizon)
    parts = [rows[:, :history], np.ones((len(rows), 1)), rows[:, history:]]
    if width:
        known = view(one.ahead[first + history : end], horizon, axis=0)  # [n, K, H]
        parts.append(known.transpose(0, 2, 1).reshape(len(rows), -1))
    whole = np.concatenate(parts, axis=1)
    return _Moments(whole.T @ whole, len(rows))


def _differences(moments: _Moments, plan: Plan) -> _Moments:
    """The same moments where past and targets are differences to the last value."""
    last = plan.history - 1
    moved = [i for i in range(plan.history + 1 + plan.horizon) if i not in (last, plan.history)]
    sums = moments.sums.copy()
    sums[:, moved] -= sums[:, [last]]
    sums[moved] -= sums[[last]]
    return _Moments(sums, moments.windows)


def _inputs(choice: _Choice, plan: Plan, width: int, step: int) -> Integers:
    """Places of what a step is forecast from: the past, 1, the step's known columns."""
    history, horizon = plan.history, plan.horizon
    end = history - choice.last
    known = history + 1 + horizon + step * width + np.arange(width)
    return np.concatenate([np.arange(history - choice.stretch, end), [history], known])


def _fit(moments: _Moments, choice: _Choice, plan: Plan, width: int) -> Array:
    """Ridge weights ``[inputs, H]``.

    The past is the same for all steps, so its equations are solved once, and for each step those of
    its known columns alone, with the past eliminated (Schur's complement).
    """
    sums, history, horizon = moments.sums, plan.history, plan.horizon
    past = _inputs(choice, plan, 0, 0)
    targets = history + 1 + np.arange(horizon)
    known = history + 1 + horizon + np.arange(horizon * width)
    ridge = choice.penalty * max(1, moments.windows)
    gram = sums[np.ix_(past, past)].copy()
    gram[np.diag_indices_from(gram)] += np.append(np.full(len(past) - 1, ridge), 1e-6 * ridge)
    solved = np.linalg.solve(gram, sums[np.ix_(past, np.concatenate([targets, known]))])
    if not width:
        return np.asarray(solved)
    found = np.zeros((len(past) + width, horizon))
    for step in range(horizon):
        own = known[step * width : (step + 1) * width]
        by_past = solved[:, horizon + step * width : horizon + (step + 1) * width]
        across = sums[np.ix_(own, past)]
        left = sums[np.ix_(own, own)] + ridge * np.eye(width) - across @ by_past
        right = sums[own, targets[step]] - across @ solved[:, step]
        found[len(past) :, step] = weights = np.linalg.solve(left, right)
        found[: len(past), step] = solved[:, step] - by_past @ weights
    return found


def _error(moments: _Moments, weights: Array, choice: _Choice, plan: Plan, width: int) -> float:
    """Sum of squared errors."""
    sums, total = moments.sums, 0.0
    for step in range(plan.horizon):
        inputs, target = _inputs(choice, plan, width, step), plan.history + 1 + step
        w = weights[:, step]
        total += float(
            sums[target, target]
            - 2 * w @ sums[inputs, target]
            + w @ sums[np.ix_(inputs, inputs)] @ w
        )
    return total


def _assembled(
    maps: Sequence[Array], choice: _Choice, name: str, plan: Plan, width: int, columns: int
) -> LinearMap:
    """The fitted weights as a map of the past itself, differences or not."""
    history, horizon = plan.history, plan.horizon
    weights = np.zeros((len(maps), history, horizon))
    bias, ahead = np.zeros((len(maps), horizon)), np.zeros((len(maps), horizon, columns))
    for group, fitted in enumerate(maps):
        own = choice.stretch - choice.last
        weights[group, history - choice.stretch : history - choice.last] = fitted[:own]
        if choice.last:
            weights[group, -1] = 1 - fitted[:own].sum(0)
        bias[group] = fitted[own]
        if width:
            ahead[group] = fitted[own + 1 :].T
    kind = "NLinear" if choice.last else "a linear map"
    words = f"{kind} of the last {choice.stretch} steps, by ridge regression, {name}"
    return LinearMap(weights, bias, ahead, words + (", with the known columns" if width else ""))


def _last_value(plan: Plan, columns: int) -> LinearMap:
    weights = np.zeros((1, plan.history, plan.horizon))
    weights[0, -1] = 1
    bias, ahead = np.zeros((1, plan.horizon)), np.zeros((1, plan.horizon, columns))
    return LinearMap(weights, bias, ahead, "the last value: the series are too short for more")
