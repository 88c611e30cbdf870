"""The series of a run: read once, kept in its cache, cut into parts in the order of time.

In ``cache/`` lie ``values``, ``known`` and ``past`` of all series, and ``series.json`` with their
names, beginnings, places and static columns.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unrolled.errors import UserError
from unrolled.files import read_json, write_file
from unrolled.tasks.ragged import Ragged, RaggedWriter

from .linear import fit_linear
from .options import ForecastOptions
from .origins import origins_between
from .plan import Plan, make_plan
from .reading import read_files
from .series import Series
from .windows import Scaled, Windows, scaled

CACHE = "cache"
_PARTS = ("values", "known", "past")


class Data(NamedTuple):
    """The series of a run, and the windows of its parts.

    Attributes:
        plan: What is fixed.
        series: The series as they were read.
        train: Windows to train on.
        validation: Windows of the validation part.
        test: Windows of the test part.
    """

    plan: Plan
    series: Sequence[Series]
    train: Windows
    validation: Windows
    test: Windows


def prepare_data(options: ForecastOptions, draft: Path) -> int:
    """Read the user's files; write plan, linear map and cache to a run's folder.

    Returns:
        Number of windows to train on.

    Raises:
        UserError: The data cannot be used, or an option does not fit it.
        OSError: A file cannot be written, or the disk is full.
    """
    data = options.data
    if not data.data:
        raise UserError("--data: expected one file or more")
    found = read_files(data.data, data)
    series = found.series(data.fill)
    plan = make_plan(options, found.columns, found.frequency, series)
    if not options.model.read_target and not (plan.columns.known or plan.columns.past):
        raise UserError("--no-read-target: needs other columns, as --known or --past names them")
    plan.save(draft)
    cache = draft / CACHE
    cache.mkdir(exist_ok=True)
    for name in _PARTS:
        channels = getattr(series[0], name).shape[1]
        with RaggedWriter(cache / name, np.float64, channels) as writer:
            for one in series:
                writer.append(getattr(one, name))
    record = [
        {"name": one.name, "start": one.start, "last": one.last, "place": one.place}
        | {"static": one.static.tolist(), "filled": one.filled}
        for one in series
    ]
    write_file(cache / "series.json", json.dumps(record, ensure_ascii=False).encode())
    parts = cut([scaled(one, plan) for one in series], plan, options)
    _check(parts, options, plan)
    fit_linear([scaled(one, plan) for one in series], plan).save(draft)
    return len(parts[0])


def open_data(folder: Path, options: ForecastOptions) -> Data:
    """The data of a run, from its folder alone.

    Raises:
        UserError: A file is missing or corrupt.
    """
    plan = Plan.load(folder)
    series = read_cache(folder / CACHE, plan)
    return Data(plan, series, *cut([scaled(one, plan) for one in series], plan, options))


def read_cache(cache: Path, plan: Plan) -> list[Series]:
    """The series of a run as they were read.

    Raises:
        UserError: A file is missing or corrupt.
    """
    path = cache / "series.json"
    record: Any = read_json(path)
    parts = [Ragged.open(cache / name) for name in _PARTS]
    try:
        if any(len(part) != len(record) for part in parts) or len(record) != len(plan.parts):
            raise ValueError("its files do not fit each other")
        found = []
        for number, one in enumerate(record):
            values, known, past = (np.asarray(part[number], np.float64) for part in parts)
            static = np.array(one["static"], np.float64)
            series = Series(
                str(one["name"]),
                int(one["start"]),
                int(one["last"]),
                values,
                known,
                past,
                static,
                str(one["place"]),
                int(one["filled"]),
            )
            sizes = (plan.parts[number].length, plan.channels)
            if values.shape != sizes or len(known) < sizes[0] or len(past) != sizes[0]:
                raise ValueError("its files do not fit the plan")
            found.append(series)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: corrupt: {error}") from error
    return found


def cut(
    series: Sequence[Scaled], plan: Plan, options: ForecastOptions
) -> tuple[Windows, Windows, Windows]:
    """Windows to train on, to validate on and to test on; targets stay within their part.

    A window to train on has a whole past, unless its series is too short for any.
    """
    firsts = [min(plan.history, max(1, one.train // 2)) for one in plan.parts]
    spans = [
        [(first, one.train) for first, one in zip(firsts, plan.parts, strict=True)],
        [(one.train, one.validation) for one in plan.parts],
        [(one.validation, one.length) for one in plan.parts],
    ]
    every = (options.training.window_every, 1, 1)
    origins = [
        origins_between(part, plan.horizon, every=step)
        for part, step in zip(spans, every, strict=True)
    ]
    train = Windows(series, plan, origins[0])
    return train, train.at(origins[1]), train.at(origins[2])


def _check(parts: tuple[Windows, Windows, Windows], options: ForecastOptions, plan: Plan) -> None:
    """Refuse parts without a window.

    Raises:
        UserError: There is none where there should be one.
    """
    data = options.data
    if not len(parts[0]):
        raise UserError(
            f"--history {plan.history} --horizon {plan.horizon}: no series is long enough for one "
            "window to train on; shorter ones, or smaller --val and --test, leave more"
        )
    for part, option in ((parts[1], "val"), (parts[2], "test")):
        stretch = getattr(data, option)
        if not len(part) and str(stretch) not in ("0", "0.0"):
            raise UserError(
                f"--{option} {stretch}: has fewer than {plan.horizon} steps, the horizon, in every "
                f"series; a longer one, or 0 to do without"
            )
