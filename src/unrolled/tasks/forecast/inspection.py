"""A look at series before training: what is there, and what is suspicious."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled.errors import UserError
from unrolled.tasks import statistics
from unrolled.training.task import Inspection

from .baselines import LAST, LINEAR, cheap_forecasts
from .linear import LinearMap, fit_linear
from .options import ForecastOptions
from .origins import origins_between
from .plan import Plan, make_plan
from .reading import Found, read_files
from .series import Raw, Series
from .windows import Windows, scaled

FIRST = 5
"""Series that a warning names."""
REPEATED = 0.5
"""Share of a series' values that repeat the one before from which it is suspicious."""


def inspect_data(options: ForecastOptions) -> Inspection:
    """Look at the files that training would read.

    Raises:
        UserError: A file cannot be read at all.
    """
    data = options.data
    if not data.data:
        raise UserError("--data: expected one file or more")
    found = read_files(data.data, data)
    warnings = _gaps(found, data.fill)
    series = found.series("previous" if data.fill == "refuse" else data.fill)
    lengths = np.array([len(one.values) for one in series])
    facts: dict[str, Any] = {
        "files": ", ".join(data.data),
        "columns": str(found.columns),
        "series": len(series),
        "a row every": str(found.frequency),
        "from": found.frequency.text(min(one.start for one in series)),
        "to": found.frequency.text(max(one.last for one in series)),
        "shortest": int(lengths.min()),
        "median length": int(np.median(lengths)),
        "longest": int(lengths.max()),
        "missing values": sum(one.filled for one in series),
    }
    warnings += _suspicious(series)
    try:
        plan = make_plan(options, found.columns, found.frequency, series)
    except UserError as error:
        return Inspection(facts, [*warnings, str(error)])
    facts |= {
        "season": plan.season,
        "history": plan.history,
        "horizon": plan.horizon,
        "calendar": ", ".join(plan.calendar) or "not read",
        "rows to train on": sum(part.train for part in plan.parts),
        "rows to validate on": sum(part.validation - part.train for part in plan.parts),
        "rows to test on": sum(part.length - part.validation for part in plan.parts),
    }
    short = [part.name for part in plan.parts if part.train < plan.horizon + 1]
    if short:
        warnings.append(f"{_many(short)} too short to train on: {_listed(short)}")
    try:
        more, said = _compared(series, plan)
    except UserError as error:
        return Inspection(facts, [*warnings, str(error)])
    return Inspection(facts | more, [*warnings, *said])


def _gaps(found: Found, fill: str) -> list[str]:
    """Rows and values that are missing, rows beside the grid."""
    warnings: list[str] = []
    counts = {"rows missing": 0, "values missing": 0, "rows at irregular times": 0}
    first: dict[str, str] = {}
    for raw in found.raw:
        for kind, places in _holes(raw, found).items():
            counts[kind] += len(places)
            if places:
                first.setdefault(kind, places[0])
    for kind, count in counts.items():
        if count:
            how = "training refuses them; --fill says how to fill them"
            if kind == "rows at irregular times":
                how = "training refuses them; --frequency gives another grid, or rows"
            elif fill != "refuse":
                how = f"filled with --fill {fill}"
            warnings.append(f"{count:,} {kind}, the first at {first[kind]}: {how}")
    return warnings


def _holes(raw: Raw, found: Found) -> dict[str, list[str]]:
    there = np.asarray(np.isfinite(raw.values).any(1))
    if not there.any():
        return {}
    begin, end = int(there.argmax()), len(there) - int(there[::-1].argmax())
    ticks, places = raw.ticks[begin:end], raw.places[begin:end]
    steps = found.frequency.positions(ticks, int(ticks[0]))
    irregular = [places[at] for at in np.flatnonzero(steps < 0).tolist()]
    on = np.flatnonzero(steps >= 0)
    gaps = np.diff(steps[on]) - 1
    missing = [
        places[int(on[at + 1])]
        for at in np.flatnonzero(gaps > 0).tolist()
        for _ in range(int(gaps[at]))
    ]
    empty = np.asarray(np.isnan(raw.values[begin:end]).any(1))
    return {
        "rows missing": missing,
        "values missing": [places[at] for at in np.flatnonzero(empty).tolist()],
        "rows at irregular times": irregular,
    }


def _suspicious(series: list[Series]) -> list[str]:
    """Constant, repeated and doubled series."""
    warnings = []
    constant = [one.name for one in series if (np.ptp(one.values, axis=0) == 0).any()]
    if constant:
        warnings.append(f"{_many(constant)} constant: {_listed(constant)}")
    stuck = [
        one.name
        for one in series
        if len(one.values) > 2
        and one.name not in constant
        and (np.diff(one.values, axis=0) == 0).all(1).mean() > REPEATED
    ]
    if stuck:
        warnings.append(
            f"{_many(stuck)} mostly the value before once more: {_listed(stuck)}; a sensor that "
            "hangs, or values that were filled in"
        )
    seen: dict[bytes, str] = {}
    doubled = []
    for one in series:
        like = seen.setdefault(one.values.tobytes(), one.name)
        if like != one.name:
            doubled.append(f"{one.name} (as {like})")
    if doubled:
        warnings.append(f"{_many(doubled)} the same as another: {_listed(doubled)}")
    return warnings


def _compared(series: list[Series], plan: Plan) -> tuple[dict[str, Any], list[str]]:
    """Errors of the cheap methods on the validation part, and whether the last value will do."""
    scales = [scaled(one, plan) for one in series]
    linear: LinearMap = fit_linear(scales, plan)
    origins = origins_between([(p.train, p.validation) for p in plan.parts], plan.horizon)
    if not len(origins):
        return {}, []
    windows = Windows(scales, plan, origins)
    targets = windows.targets()
    errors = {
        name: np.abs(point - targets).mean((1, 2))
        for name, point in cheap_forecasts(windows, plan, linear).items()
    }
    facts = {"error of cheap methods, scaled": {n: float(e.mean()) for n, e in errors.items()}}
    size = max(1, plan.horizon)
    blocks = np.arange(len(origins)) // size
    sums = {
        name: np.stack([np.bincount(blocks, error), np.bincount(blocks).astype(float)], axis=-1)
        for name, error in errors.items()
    }
    found = statistics.paired(sums[LINEAR], sums[LAST], statistics.mean, higher=False)
    if found.by.low is not None and not (found.clear and found.by.value > 0):
        return facts, [
            "the last value is as good as a linear map of the past: like a price, the series may "
            "be a random walk, and a network will hardly do better"
        ]
    return facts, []


def _many(names: list[str]) -> str:
    return "1 series is" if len(names) == 1 else f"{len(names):,} series are"


def _listed(names: list[str]) -> str:
    more = f", … and {len(names) - FIRST:,} more" if len(names) > FIRST else ""
    return ", ".join(names[:FIRST]) + more
