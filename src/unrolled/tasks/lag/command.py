"""The experiment as a command: a line for each model, and where the picture is."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from unrolled.training.duration import format_duration

from . import run as experiment
from .options import LagOptions
from .training import Outcome
from .words import share


def run(
    options: LagOptions,
    out: Path,
    *,
    overwrite: bool = False,
    processes: int | None = None,
    quiet: bool = False,
) -> int:
    """Train, draw, tell; the exit code is 128 + N after signal N.

    Raises:
        UserError: as `unrolled.tasks.lag.run.run`.
    """
    results, signal = experiment.run(
        options,
        out,
        overwrite=overwrite,
        processes=processes,
        progress=_silent if quiet else _tell,
    )
    if missing := len(results.missing()):
        sys.stdout.write(
            f"{missing} models are not finished; the same command goes on with them.\n"
        )
    if results.outcomes:
        sys.stdout.write(
            f"{format_duration(results.seconds)}. Picture: {out / 'lag.png'}\n"
            f"  open {shlex.quote(str(out / 'report.html'))}\n"
        )
    return 0 if signal is None else 128 + signal


def _tell(outcome: Outcome, done: int, total: int) -> None:
    sys.stderr.write(
        f"[{done}/{total}] {outcome.task} {outcome.cell} lag {outcome.lag}: "
        f"{outcome.success:.1%} right, loss {outcome.loss:.2g}, after {outcome.updates} updates "
        f"({format_duration(outcome.seconds)}), influence left {share(outcome.left_before)} → "
        f"{share(outcome.left_after)}{'' if outcome.ended in ('solved', 'updates') else ', '}"
        f"{'' if outcome.ended in ('solved', 'updates') else outcome.ended}\n"
    )
    sys.stderr.flush()


def _silent(outcome: Outcome, done: int, total: int) -> None:
    pass
