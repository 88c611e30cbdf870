"""Windows of series: a stretch of the past and the steps that follow, as arrays and in batches.

The origin of a window is the row of its first target. Rows before a series' beginning are its first
row again.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unrolled.errors import UserError

from .plan import Plan, Scale
from .series import Series

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Batch(NamedTuple):
    """Windows side by side, time first, in scaled units.

    Attributes:
        values: The past, float32 ``[L, N, C]``.
        features: Other columns and the calendar of the past, float32 ``[L, N, F]``.
        future: Known columns and the calendar of the steps to forecast, float32 ``[H, N, K]``.
        static: Columns that do not change, float32 ``[N, S]``.
        series: Number of each window's series among those of the training data, int64 ``[N]``; -1
            for another.
        targets: The steps to forecast, float32 ``[H, N, C]``; zeros where nobody knows them.
    """

    values: Tensor
    features: Tensor
    future: Tensor
    static: Tensor
    series: Tensor
    targets: Tensor

    def like(self, tensor: Tensor) -> Batch:
        """The same on the device of a tensor, and where it is not of integers of its dtype."""
        return Batch(
            *(p.to(tensor) if p.is_floating_point() else p.to(tensor.device) for p in self)
        )


class Scaled(NamedTuple):
    """One series in scaled units.

    Attributes:
        number: Its number in the plan; -1 if it is not of the training data.
        values: ``[T, C]``.
        ahead: Known columns and calendar, ``[T + F, K]``.
        past: Past columns, ``[T, P]``.
        static: ``[S]``.
        scale: Scale of its values.
    """

    number: int
    values: Array
    ahead: Array
    past: Array
    static: Array
    scale: Scale


def scaled(series: Series, plan: Plan, *, future: int = 0) -> Scaled:
    """A series in the plan's units.

    The scale of a series that the training data lack is that of its last window.

    Args:
        series: The series.
        plan: Scales and calendar.
        future: Rows behind the last value that are needed of the known columns.

    Raises:
        UserError: It has other columns than the training data, or too few known rows.
    """
    rows = plan.transformed(series.values, series.place)
    number = plan.numbers.get(series.name, -1)
    if number >= 0:
        scale = plan.parts[number].scale
    else:
        kind = plan.scale if plan.scale in ("none", "mean") else "standard"
        scale = Scale.fit(rows[-plan.history :], kind)
    known = series.known
    if plan.columns.known and len(known) < len(rows) + future:
        raise UserError(
            f"{series.place}: the series {series.name} needs {future} rows after its last value "
            f"with {', '.join(plan.columns.known)} and without {', '.join(plan.columns.targets)}, "
            f"got {max(0, series.future)}"
        )
    total = len(rows) + future if not plan.columns.known else len(known)
    ahead = [plan.known(known[:total])] if plan.columns.known else []
    if plan.calendar:
        ticks = plan.frequency.ticks(series.start, series.offset + np.arange(total))
        ahead.append(plan.frequency.calendar(ticks))
    return Scaled(
        number,
        scale(rows),
        np.concatenate(ahead, axis=1) if ahead else np.zeros((total, 0)),
        plan.past(series.past),
        plan.static(series.static),
        scale,
    )


class Windows:
    """Windows of some series.

    Args:
        series: The series, scaled; one or more.
        plan: Rows of the past and rows to forecast.
        origins: Pairs of series and row of the first target, ``[n, 2]``.

    Attributes:
        origins: As given.
    """

    def __init__(self, series: Sequence[Scaled], plan: Plan, origins: Integers) -> None:
        self.origins = origins
        self._history, self._horizon = plan.history, plan.horizon
        self._starts = np.cumsum([0, *(len(one.values) for one in series)])
        self._ahead_starts = np.cumsum([0, *(len(one.ahead) for one in series)])
        self._values = np.concatenate([one.values for one in series]).astype(np.float32)
        self._past = np.concatenate([one.past for one in series]).astype(np.float32)
        self._ahead = np.concatenate([one.ahead for one in series]).astype(np.float32)
        self._static = np.stack([one.static for one in series]).astype(np.float32)
        self._numbers = np.array([one.number for one in series], np.int64)

    def at(self, origins: Integers) -> Windows:
        """Other windows of the same series."""
        found = copy.copy(self)
        found.origins = origins
        return found

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.origins)

    def batch(self, numbers: Sequence[int] | Integers) -> Batch:
        """Some windows by number, in the order given."""
        which, origin = self.origins[np.asarray(numbers, np.int64)].T
        back = np.arange(-self._history, 0)[:, None]  # [L, 1]
        on = np.arange(self._horizon)[:, None]
        before = np.maximum(origin + back, 0)
        rows = self._starts[which] + before
        ahead = self._ahead_starts[which]
        lasts = self._starts[which + 1] - 1
        after = self._starts[which] + origin + on
        known = np.where((after <= lasts)[..., None], self._values[np.minimum(after, lasts)], 0)
        features = [self._past[rows], self._ahead[ahead + before]]
        parts = (
            self._values[rows],
            np.concatenate(features, axis=-1),
            self._ahead[ahead + origin + on],
            self._static[which],
            self._numbers[which],
            known.astype(np.float32),
        )
        return Batch(*(torch.from_numpy(np.ascontiguousarray(part)) for part in parts))

    def future(self) -> Array:
        """Known columns and calendar of the steps to forecast, ``[n, H, K]``."""
        which, origin = self.origins.T
        rows = (self._ahead_starts[which] + origin)[:, None] + np.arange(self._horizon)
        found: Array = self._ahead[rows].astype(np.float64)
        return found

    def numbers(self) -> Integers:
        """Number of each window's series among those of the training data, -1 for another."""
        found: Integers = self._numbers[self.origins[:, 0]]
        return found

    def targets(self) -> Array:
        """The steps to forecast of all windows, scaled, ``[n, H, C]``."""
        which, origin = self.origins.T
        rows = (self._starts[which] + origin)[:, None] + np.arange(self._horizon)
        found: Array = self._values[rows].astype(np.float64)
        return found

    def past_values(self, stretch: int) -> Array:
        """The last rows before each origin, scaled, ``[n, stretch, C]``."""
        which, origin = self.origins.T
        rows = np.maximum(origin[:, None] + np.arange(-stretch, 0), 0)
        found: Array = self._values[self._starts[which][:, None] + rows].astype(np.float64)
        return found
