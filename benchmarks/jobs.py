"""Which cell for which job: twelve cells of equal size on small versions of five jobs.

    python benchmarks/jobs.py DATA [--cells lstm gru] [--jobs adding vowels] [--out runs/jobs.json]

DATA is a folder with ``japanese_vowels``, ``tinyshakespeare``, ``JSB_Chorales.json`` and
``classic_univariate`` at any depth. Of each cell so many units are taken that the whole model has
as many parameters as one with a GRU, within 5 %. All cells have the same settings and the same
number of updates (for text, the same time) on one thread.

Each run is kept in the file as soon as it is finished; the same command goes on with those that
are missing. Printed is the table of all there are: means over the seeds, the best of a column bold.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from classify import CASES as CLASSIFIED
from forecast import CASES as FORECAST
from music import CASES as MUSIC
from seeds import found_in
from torch import nn

from unrolled.engine.threads import one_thread
from unrolled.files import write_file
from unrolled.tasks import TASKS, options_from
from unrolled.tasks.lag.model import LagModel
from unrolled.tasks.lag.options import LagOptions
from unrolled.tasks.lag.problems import problem
from unrolled.tasks.lag.training import Job as LagJob
from unrolled.tasks.lag.training import train
from unrolled.training import session
from unrolled.training.processes import ALONE
from unrolled.training.run_folder.folder import RunFolder
from unrolled.training.session import Summary

CELLS = (
    "rnn",
    "indrnn",
    "gru",
    "ligru",
    "mingru",
    "cfn",
    "lstm",
    "janet",
    "minlstm",
    "slstm",
    "multiplicativelstm",
    "lem",
)
NEAR = 0.05
"""Largest difference in the number of parameters, as a share."""


class Trainer(Protocol):
    """A job that is ready to be trained with any cell."""

    def parameters(self, cell: str, units: int) -> int:
        """Number of parameters of the whole model."""

    def train(self, cell: str, units: int, seed: int) -> float:
        """Train a model, and measure it."""


class Adding:
    """The adding problem over 200 steps; measured is the mean squared error."""

    def __init__(self, data: Path, place: Path) -> None:
        pass

    def parameters(self, cell: str, units: int) -> int:
        """See `Trainer`."""
        options = self._options(cell, units, 0)
        (variant,) = options.variants()
        return _size(LagModel(variant, problem("adding", options), units, 200))

    def train(self, cell: str, units: int, seed: int) -> float:
        """See `Trainer`."""
        with one_thread():
            return train(LagJob("adding", cell, 200, self._options(cell, units, seed))).loss

    def _options(self, cell: str, units: int, seed: int) -> LagOptions:
        return LagOptions(
            cells=(cell,),
            hidden=units,
            lr=5e-3,
            schedule="cosine",
            batch=32,
            updates=1000,
            stop_loss=0.0,
            seed=seed,
        )


class Taught:
    """A job that is trained as `unrolled train` does.

    Args:
        task: name of the task.
        settings: its options but cell, units and seed.
        score: the measure, given the run's folder and how the training ended.
        place: folder for the prepared data and the runs.
    """

    def __init__(
        self,
        task: str,
        settings: Mapping[str, Any],
        score: Callable[[Path, Summary], float],
        place: Path,
    ) -> None:
        self._task, self._score, self._place = TASKS[task], score, place
        self._settings = {**settings, "threads": 1, "lens_every": 0, "device": "cpu"}
        self._folder = RunFolder(place / "prepared")
        self._folder.path.mkdir(parents=True)
        self._options = self._task.prepare(options_from(self._task, self._settings), self._folder)

    def parameters(self, cell: str, units: int) -> int:
        """See `Trainer`."""
        model = replace(self._options.model, cell=cell, hidden_size=units)
        opened = self._task.open(replace(self._options, model=model), self._folder, ALONE)
        return _size(opened.model)

    def train(self, cell: str, units: int, seed: int) -> float:
        """See `Trainer`."""
        settings = {**self._settings, "cell": cell, "hidden_size": units, "seed": seed}
        with tempfile.TemporaryDirectory(dir=self._place) as folder:
            run = Path(folder) / "run"
            options = options_from(self._task, settings)
            summary = session.train(self._task, options, run, quiet=True)
            assert summary is not None
            return self._score(run, summary)


def _size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def vowels(data: Path, place: Path) -> Taught:
    """Who says the Japanese vowels; accuracy on the test part."""
    source = found_in(data, "JapaneseVowels_TRAIN.ts")

    def score(run: Path, summary: Summary) -> float:
        evaluation = session.load(TASKS["classify"], run).evaluate(
            [source.with_name("JapaneseVowels_TEST.ts")]
        )
        return 100 * float(evaluation.metrics["accuracy"].value)

    (case,) = (case for case in CLASSIFIED if case.name == "japanese_vowels")
    settings = {**case.settings, "data": source, "combine": False, "baseline": False}
    return Taught("classify", settings, score, place)


def text(data: Path, place: Path) -> Taught:
    """Characters of Shakespeare for a minute; bits per character of the last tenth."""
    source = found_in(data, "tinyshakespeare") / "input.txt"

    def score(run: Path, summary: Summary) -> float:
        return float(summary.metrics["nats"]["value"] or 0) / math.log(2)

    return Taught("text", {"data": source, "max_time": "60s", "sample_length": 0}, score, place)


def chorales(data: Path, place: Path) -> Taught:
    """Chorales of Bach, each key by itself, for ten epochs; nats per frame of the test part."""
    source = found_in(data, "JSB_Chorales.json")

    def score(run: Path, summary: Summary) -> float:
        evaluation = session.load(TASKS["music"], run).evaluate(source)
        return float(evaluation.metrics["nats"].value)

    (case,) = (case for case in MUSIC if case.name == "keys")
    settings = {**case.settings, "data": source, "max_epochs": 10, "baseline": False}
    return Taught("music", {**settings, "weight_drop": 0.0}, score, place)


def temperatures(data: Path, place: Path) -> Taught:
    """Minimum temperature of the next day, without a linear map beside; RMSE of the last year."""
    (case,) = (case for case in FORECAST if case.name == "temperatures")
    place.mkdir()
    source = case.reader(found_in(data, case.folder), place)

    def score(run: Path, summary: Summary) -> float:
        return float(summary.metrics[case.metric]["value"] or 0)

    return Taught("forecast", {**case.settings, "data": source, "skip": False}, score, place)


class Job(NamedTuple):
    """A column of the table.

    Attributes:
        heading: what is measured.
        better: which of two values is the better one.
        digits: how many are shown after the point; None for two significant ones.
        gru: units of the GRU whose number of parameters all models have.
        seeds: how many models of a cell are trained.
        prepare: reads the data into a folder.
    """

    heading: str
    better: Literal["lower", "higher"]
    digits: int | None
    gru: int
    seeds: int
    prepare: Callable[[Path, Path], Trainer]


JOBS: Mapping[str, Job] = {
    "vowels": Job("vowels, accuracy %", "higher", 1, 64, 3, vowels),
    "adding": Job("adding 200, squared error", "lower", None, 40, 3, Adding),
    "temperatures": Job("temperatures, RMSE °C", "lower", 3, 32, 3, temperatures),
    "chorales": Job("chorales, nats per frame", "lower", 2, 128, 3, chorales),
    "text": Job("text, bits per character", "lower", 3, 256, 1, text),
}


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        job: name of the job.
        cell: name of the cell.
        seed: the seed.
        units: units of the layer.
        parameters: number of parameters of the whole model.
        value: what was measured.
        seconds: time on the clock.
    """

    job: str
    cell: str
    seed: int
    units: int
    parameters: int
    value: float
    seconds: float


def matched(size: Callable[[int], int], wanted: int) -> int:
    """Units with which a model has as many parameters as wanted, as nearly as can be.

    Args:
        size: number of parameters with so many units; it grows with them.
        wanted: number of parameters.

    Raises:
        ValueError: The nearest is more than 5 % away.
    """
    high = 1
    while size(high) < wanted:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) < wanted else (low, middle)
    best = min((units for units in (low, high) if units), key=lambda n: abs(size(n) - wanted))
    if abs(size(best) - wanted) > NEAR * wanted:
        raise ValueError(f"{best} units have {size(best)} parameters, wanted are {wanted}")
    return best


def table(runs: Sequence[Run]) -> str:
    """The table in Markdown: a row for each cell, a column for each job."""
    jobs = [name for name in JOBS if any(run.job == name for run in runs)]
    cells = [cell for cell in CELLS if any(run.cell == cell for run in runs)]
    means = {
        (cell, job): statistics.mean(values)
        for cell in cells
        for job in jobs
        if (values := [run.value for run in runs if (run.cell, run.job) == (cell, job)])
    }
    lines = [
        "| cell | " + " | ".join(JOBS[job].heading for job in jobs) + " |",
        "|---" * (1 + len(jobs)) + "|",
    ]
    for cell in cells:
        entries = (_entry(means, cell, job) for job in jobs)
        lines.append(f"| {cell} | " + " | ".join(entries) + " |")
    return "\n".join(lines) + "\n"


def _entry(means: Mapping[tuple[str, str], float], cell: str, job: str) -> str:
    if (cell, job) not in means:
        return "–"
    column = [_shown(value, job) for (_, other), value in means.items() if other == job]
    best = (max if JOBS[job].better == "higher" else min)(column, key=float)
    own = _shown(means[cell, job], job)
    return f"**{own}**" if own == best else own


def _shown(value: float, job: str) -> str:
    digits = JOBS[job].digits
    return f"{value:.2g}" if digits is None else f"{value:.{digits}f}"


def load(path: Path) -> list[Run]:
    """The runs of a file; none if there is no such file."""
    if not path.exists():
        return []
    return [Run(**row) for row in json.loads(path.read_text(encoding="utf-8"))]


def save(runs: Sequence[Run], path: Path) -> None:
    """Write the runs to a file, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = ",\n".join(json.dumps(vars(run)) for run in runs)
    write_file(path, f"[\n{rows}\n]\n".encode())


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=CELLS)
    parser.add_argument("--jobs", nargs="+", choices=list(JOBS), default=list(JOBS))
    parser.add_argument("--out", type=Path, default=Path("runs") / "jobs.json")
    given = parser.parse_args()
    runs = load(given.out)
    with tempfile.TemporaryDirectory() as folder:
        for name in given.jobs:
            trainer = JOBS[name].prepare(given.data, Path(folder) / name)
            wanted = trainer.parameters("gru", JOBS[name].gru)
            for seed in range(JOBS[name].seeds):
                for cell in given.cells:
                    if any((run.job, run.cell, run.seed) == (name, cell, seed) for run in runs):
                        continue
                    units = matched(partial(trainer.parameters, cell), wanted)
                    started = time.monotonic()
                    value = trainer.train(cell, units, seed)
                    seconds = round(time.monotonic() - started, 1)
                    size = trainer.parameters(cell, units)
                    runs.append(Run(name, cell, seed, units, size, value, seconds))
                    save(runs, given.out)
                    print(*(f"{key} {value}" for key, value in vars(runs[-1]).items()), flush=True)
    print(table(runs))


if __name__ == "__main__":
    main()
