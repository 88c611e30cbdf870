"""Results of the lag experiment, saved as JSON."""

from __future__ import annotations

import json
import math
import reprlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from unrolled.errors import UserError
from unrolled.files import read_json, write_file
from unrolled.training.options import check_table

from .options import LagOptions
from .training import Job, Outcome

FORMAT = 2
"""Since 2 there are shares and lags of influence as measured; in 1 there were fitted half-lives."""
NAME = "results.json"


@dataclass(frozen=True)
class Results:
    """Outcomes, of one set of options or of several runs that share their settings.

    Attributes:
        options: what was asked for last; outcomes beyond it may be there from before.
        outcomes: those there are, the newest last.
        seconds: time on the clock that the last run took.
    """

    options: LagOptions
    outcomes: tuple[Outcome, ...] = ()
    seconds: float = 0.0

    def get(self, task: str, cell: str, lag: int) -> Outcome | None:
        """One outcome, if it is there."""
        wanted = (task, cell, lag)
        return next((o for o in self.outcomes if (o.task, o.cell, o.lag) == wanted), None)

    def line(self, task: str, cell: str) -> list[Outcome]:
        """Outcomes of a cell on a problem, by lag."""
        found = (self.get(task, cell, int(lag)) for lag in self.options.lags)
        return [outcome for outcome in found if outcome is not None]

    def missing(self) -> list[Job]:
        """What is yet to be trained, the longest first, so that the last ones are short."""
        options = self.options
        jobs = [
            Job(task, cell, int(lag), options)
            for lag in sorted(options.lags, key=int, reverse=True)
            for cell in reversed(options.cells)
            for task in options.tasks
        ]
        return [job for job in jobs if self._open(job)]

    def _open(self, job: Job) -> bool:
        found = self.get(job.task, job.cell, job.lag)
        return found is None or found.ended == "stopped"

    def with_outcome(self, outcome: Outcome) -> Results:
        """These and one more, in the place of an older one."""
        key = (outcome.task, outcome.cell, outcome.lag)
        others = (o for o in self.outcomes if (o.task, o.cell, o.lag) != key)
        return Results(self.options, (*others, outcome), self.seconds)


def save(results: Results, folder: Path) -> None:
    """Write ``results.json``, in one step.

    What is infinite is ``"inf"``, what is no number is null.
    """
    document = {
        "format": FORMAT,
        "settings": results.options.settings(),
        "seconds": results.seconds,
        "outcomes": [
            {name: _plain(value) for name, value in asdict(outcome).items()}
            for outcome in results.outcomes
        ],
    }
    write_file(folder / NAME, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())


def load(folder: Path, options: LagOptions) -> Results:
    """The results in a folder, as far as they are there, for these options.

    Raises:
        UserError: the file is unreadable or of another version, or its models were trained with
            other settings.
    """
    path = folder / NAME
    if not path.exists():
        return Results(options)
    document = read_json(path)
    version = document.get("format", FORMAT) if isinstance(document, dict) else FORMAT
    if version != FORMAT:
        raise UserError(
            f"{path}: expected results of format {FORMAT}, got {reprlib.repr(version)}, of "
            "another version of this command; choose another --out, or --overwrite"
        )
    try:
        settings, rows = document["settings"], document["outcomes"]
        names = [field.name for field in fields(Outcome)]
        read = ({name: _number(row[name]) for name in names} for row in rows)
        outcomes = tuple(Outcome(**check_table(Outcome, row, NAME)) for row in read)
        seconds = float(document["seconds"])
        if not (isinstance(settings, dict) and math.isfinite(seconds)):
            raise ValueError("settings or seconds")
    except (UserError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not results of this command") from error
    trained = LagOptions().settings() | settings  # an option that came later was at its default
    for name, value in options.settings().items():
        if trained[name] != value:
            raise UserError(
                f"{path}: its models were trained with {name.replace('_', '-')} "
                f"{trained[name]}, now it is {value}; choose another --out, or --overwrite"
            )
    return Results(options, outcomes, seconds)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def _number(value: Any) -> Any:
    if value is None:
        return math.nan
    return float(value) if value in ("inf", "-inf") else value
