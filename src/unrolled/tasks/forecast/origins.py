"""Origins of windows: the rows of their first targets, in the parts of a run and in new series."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .plan import Plan
from .series import Series

Integers = npt.NDArray[np.int64]


def origins_between(spans: Sequence[tuple[int, int]], horizon: int, *, every: int = 1) -> Integers:
    """Origins of all windows whose targets lie within a span of rows of each series, ``[n, 2]``.

    Args:
        spans: First row and row behind the last of each series.
        horizon: Rows to forecast.
        every: Rows from one origin to the next; the last one is always there.
    """
    found = []
    for number, (first, end) in enumerate(spans):
        rows = np.arange(end - horizon, max(first, 1) - 1, -every)[::-1]
        found.append(np.stack([np.full(len(rows), number), rows], axis=1))
    return np.concatenate(found).astype(np.int64) if found else np.zeros((0, 2), np.int64)


def spans_after_training(plan: Plan, series: Sequence[Series]) -> list[tuple[int, int]]:
    """Rows of each series behind the run's training and validation part.

    Of a series that the run does not know, all rows that have a whole past.
    """
    spans = []
    for one in series:
        number = plan.numbers.get(one.name, -1)
        length = len(one.values)
        if number < 0:
            spans.append((min(plan.history, length), length))
            continue
        part = plan.parts[number]
        if plan.frequency.unit == "rows":
            first = part.validation if one.start == part.start else 0
        else:
            end = int(plan.frequency.ticks(part.start, part.validation))
            first = int(plan.frequency.positions(np.array([end], np.int64), one.start)[0])
        spans.append((max(0, first), length))
    return spans


def last_origins(
    spans: Sequence[tuple[int, int]], plan: Plan, windows: int | None, every: int | None
) -> Integers:
    """Origins of an evaluation: all within the spans, or the last so many of each series.

    Args:
        spans: Rows of each series.
        plan: The horizon.
        windows: Number of origins; None for all.
        every: Rows between two of them; None for the horizon where they are counted, else 1.
    """
    if windows is None:
        return origins_between(spans, plan.horizon, every=every or 1)
    step = every or plan.horizon
    found = []
    for number, (_, end) in enumerate(spans):
        own = origins_between([(1, end)], plan.horizon, every=step)[-windows:]
        found.append(own + np.array([number, 0]))
    return np.concatenate(found)
