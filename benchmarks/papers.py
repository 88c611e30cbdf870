"""Rows of a published table, trained again: Bai, Kolter & Koltun (2018), table 1.

    python benchmarks/papers.py DATA [--only adding_lstm] [--seeds 3] [--first 0]

DATA is a folder with ``mnist`` and ``JSB_Chorales.json`` at any depth; the adding problem and copy
memory draw their own sequences. Those two are trained by `unrolled lens lag`'s own code on one
thread, and kept in ``runs/papers/ROW/seed-N``: a row that was stopped goes on with the seeds that
are missing. The rows of MNIST are those of classify.py and take 40 minutes a seed, those of the
chorales are those of music.py. Printed are the measure by seed, its mean, minutes and parameters.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import classify
import music
from seeds import measure_all

from unrolled.tasks.lag.model import LagModel
from unrolled.tasks.lag.options import LagOptions
from unrolled.tasks.lag.problems import problem
from unrolled.tasks.lag.run import run

RUNS = Path("runs") / "papers"


class Memory(NamedTuple):
    """A row about memory.

    Attributes:
        name: Name of the row.
        goal: Mean loss that it should reach.
        published: What stands in the table.
        settings: Options of the lag experiment, with one task, cell and lag.
    """

    name: str
    goal: float
    published: float
    settings: dict[str, Any]


class Row(NamedTuple):
    """A row of the table.

    Attributes:
        name: Name of the row.
        measure: Trains it with several seeds, and prints.
    """

    name: str
    measure: Callable[[argparse.Namespace], None]


ADDING: dict[str, Any] = {
    "tasks": ("adding",),
    "lags": (600,),
    "batch": 16,
    "lr": 5e-3,
    "schedule": "cosine",
    "ramp": 0.8,
    "updates": 8000,
    "stop_loss": 0.0,
}

COPY: dict[str, Any] = {
    "tasks": ("copy",),
    "lags": (1000,),
    "word": 10,
    "every_step": True,
    "batch": 16,
    "lr": 1e-2,
    "schedule": "cosine",
    "ramp": 0.6,
    "updates": 8000,
    "stop_loss": 0.0,
}

MEMORIES = (
    Memory("adding_gru", 5e-5, 5.3e-5, {**ADDING, "cells": ("gru",), "hidden": 150}),
    Memory("adding_lstm", 5e-5, 0.164, {**ADDING, "cells": ("lstm+chrono",), "hidden": 130}),
    Memory("copy_gru", 0.0100, 0.0197, {**COPY, "cells": ("gru+chrono",), "hidden": 66}),
)


def main() -> None:
    """Train and measure."""
    pixels = [case for case in classify.CASES if case.folder == "mnist"]
    rows = (
        *(Row(one.name, partial(remember, one)) for one in MEMORIES),
        *(Row(case.name, partial(classify.measure, case)) for case in pixels),
        *(Row(f"jsb_{case.name}", partial(music.measure, case)) for case in music.CASES),
    )
    measure_all(rows, lambda row, given: row.measure(given), description=__doc__, validation=True)


def remember(row: Memory, given: argparse.Namespace) -> None:
    """Train one row about memory with several seeds."""
    losses, minutes = [], []
    for seed in range(given.first, given.first + given.seeds):
        options = LagOptions(**row.settings, seed=seed)
        results, signal = run(options, RUNS / row.name / f"seed-{seed}", processes=1)
        if signal is not None:
            sys.exit(128 + signal)
        (outcome,) = results.outcomes
        losses.append(outcome.loss)
        minutes.append(outcome.seconds / 60)
        print(
            f"  {row.name} seed {seed}: {outcome.loss:.3g}, {outcome.success:.1%} right, "
            f"{outcome.updates} updates ({outcome.ended}), {minutes[-1]:.1f} min",
            flush=True,
        )
    print(
        f"{row.name}: mean loss {statistics.mean(losses):.3g}, {min(losses):.3g} to "
        f"{max(losses):.3g} (goal {row.goal:g}, published {row.published:g}), "
        f"{statistics.mean(minutes):.1f} minutes, {parameters(row):,} parameters",
        flush=True,
    )


def parameters(row: Memory) -> int:
    """Parameters of a row's model."""
    options = LagOptions(**row.settings)
    (variant,), (task,), (lag,) = options.variants(), options.tasks, options.lags
    model = LagModel(variant, problem(task, options), options.hidden, int(lag))
    return sum(parameter.numel() for parameter in model.parameters())


if __name__ == "__main__":
    main()
