"""The life of a run, the same for every task: create, train, resume, load."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from unrolled.engine.threads import threads_kept
from unrolled.errors import RUNTIME, UserError, reason
from unrolled.training.display import Display, Silent, choose_display
from unrolled.training.loop import Training, total_steps
from unrolled.training.optimizer import build_optimizer
from unrolled.training.options import LIMITS, TrainingOptions, read_options, write_options
from unrolled.training.processes import (
    ALONE,
    Processes,
    choose_device,
    launched,
    reported_once,
)
from unrolled.training.report.report import write_report
from unrolled.training.run_folder.best_effort import BestEffort
from unrolled.training.run_folder.checkpoint import best_weights, load_weights, read_tensors
from unrolled.training.run_folder.folder import RunFolder
from unrolled.training.run_folder.logs import Logs
from unrolled.training.task import Evaluation, Opened, Task
from unrolled.training.updates import Updates

if TYPE_CHECKING:
    from lightning_fabric import Fabric


_TRIED = 20
"""Updates from which the time of a training is told."""


@dataclass(frozen=True)
class Summary:
    """How a training ended.

    Attributes:
        run: The run's folder.
        task: Name of its task.
        steps: Updates made.
        epochs: Epochs finished.
        training_seconds: Training time, validation not counted.
        validation_seconds: Time spent validating.
        metrics: The best weights' metrics: value, low and high by name.
        baseline: The same of a cheap method, where there is one.
        notes: What the numbers mean, one sentence each.
        part: Part of the data that was measured, ``validation`` or ``test``.
        best_step: The update after which the best weights were reached.
        parameters: Number of parameters.
        stopped_by: Number of the signal that stopped it, or None.
    """

    run: str
    task: str
    steps: int
    epochs: int
    training_seconds: float
    validation_seconds: float
    best_step: int
    parameters: int
    stopped_by: int | None
    metrics: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    baseline: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    part: str = "validation"


def create(task: Task, options: Any, out: Path, *, overwrite: bool = False) -> RunFolder:
    """Set up a run's folder without training: options, and what the task prepares.

    Raises:
        UserError: The data or the folder cannot be used; nothing is left behind.
    """
    with _created(task, options, out, overwrite=overwrite) as folder:
        return folder


def train(
    task: Task, options: Any, out: Path, *, overwrite: bool = False, quiet: bool = False
) -> Summary | None:
    """Set up a run and train it.

    A first SIGINT, SIGTERM or SIGHUP in the main thread finishes the current update, saves and
    returns.

    Args:
        task: The task.
        options: Its options.
        out: The run's folder.
        overwrite: Replace an older run there, unless another process holds it.
        quiet: Show no progress.

    Returns:
        How the training ended; None in all processes but the first.

    Raises:
        UserError: An option, the data or the folder cannot be used; or, with code 1, something
            could not be written, or a number stopped being finite.
    """
    if not options.data.data:
        raise UserError("no data given: name at least one file, as FILE or --data FILE")
    held = _created(task, options, out, overwrite=overwrite)
    with (
        reported_once(),
        _launched(options.training) as (fabric, processes),
        _shared(held, out, processes) as folder,
    ):
        if folder is not None:
            kept: Any = read_options(task.options, folder.options)  # as the task has kept them
            return _train(task, folder, kept, fabric, processes, quiet=quiet)
    return None


def resume(
    task: Task, path: Path | str, limits: Mapping[str, Any] | None = None, *, quiet: bool = False
) -> Summary | None:
    """Go on with a run from its last checkpoint.

    Args:
        task: The run's task.
        path: The run's folder.
        limits: New values of some of `options.LIMITS`, over the whole run; None keeps the old.
        quiet: Show no progress.

    Returns:
        As `train`.

    Raises:
        UserError: The folder is not a run, is being trained already, or something in it is corrupt;
            or as `train`.
    """
    with reported_once():
        folder = RunFolder.existing(path)
        options: Any = read_options(task.options, folder.options)
        given = {name: value for name, value in (limits or {}).items() if value is not None}
        if unknown := given.keys() - set(LIMITS):
            raise UserError(
                f"{min(unknown)}: cannot be changed; a run goes on with new {LIMITS} only"
            )
        training = replace(options.training, **given)
        with (
            _launched(training) as (fabric, processes),
            _shared(_held(folder), folder.path, processes) as held,
        ):
            if held is not None:
                if training != options.training:
                    options = replace(options, training=training)
                    if processes.first:
                        write_options(options, folder.options)
                return _train(task, held, options, fabric, processes, quiet=quiet)
    return None


def load(task: Task, path: Path | str, device: str = "cpu") -> Any:
    """The best model of a run.

    Args:
        task: The run's task.
        path: The run's folder.
        device: Where to put the model: ``cpu``, ``cuda``, ``mps``, ``auto``.

    Raises:
        UserError: The folder is not a run, something in it is corrupt, or it has no weights yet.
    """
    folder = RunFolder.existing(path)
    place = torch.device(choose_device(device))
    options: Any = read_options(task.options, folder.options)
    with torch.random.fork_rng(devices=[]):  # the fresh weights are drawn for nothing
        return task.load(options, folder, place)


def expected_seconds(task: Task, options: Any, *, patience: float = 5.0) -> float:
    """Training time to be expected of some options, from a few updates; validations not counted.

    The data is prepared in a temporary folder. Early stopping may end a training sooner.

    Args:
        task: The task.
        options: Its options.
        patience: Seconds after which no further update is made.

    Raises:
        UserError: The data or an option cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="unrolled-") as name:
        folder = RunFolder(name)
        alone = replace(options.training, processes=1)
        kept: Any = task.prepare(replace(options, training=alone), folder)
        with _launched(alone) as (fabric, processes):
            opened = task.open(kept, folder, processes)
            optimizer = build_optimizer(opened.model, alone)
            model, optimizer = fabric.setup(opened.model.train(), optimizer)
            updates = Updates(
                model,
                opened.loss,
                opened.batches,
                optimizer,
                clip=alone.clip,
                usual_count=opened.usual_count,
                backward=fabric.backward,
                moved=fabric.to_device,
            )
            updates.set_rate(0.0)
            updates.next()  # the first one compiles and allocates
            count, started = 0, time.perf_counter()
            while count < _TRIED and time.perf_counter() - started < patience:
                updates.next()
                count += 1
            each = (time.perf_counter() - started) / count
    total, limit = total_steps(kept.training, opened.batches), kept.training.max_seconds
    return min(each * total if total else math.inf, limit or math.inf)


# One run in one process or several ----------------------------------------------------------


@contextlib.contextmanager
def _launched(training: TrainingOptions) -> Iterator[tuple[Fabric, Processes]]:
    """Fabric and the processes, random numbers seeded; the caller's are put back at the end."""
    with threads_kept(), torch.random.fork_rng(devices=[]):
        if training.threads:
            torch.set_num_threads(training.threads)
        with launched(training) as (fabric, processes):
            yield fabric, processes


@contextlib.contextmanager
def _created(
    task: Task, options: Any, out: Path, *, overwrite: bool = False
) -> Iterator[RunFolder]:
    """A new run, held by this process until the block ends."""

    def fill(draft: RunFolder) -> None:
        write_options(task.prepare(options, draft), draft.options)

    with RunFolder.created(out, fill, overwrite=overwrite) as folder:
        yield folder


@contextlib.contextmanager
def _held(folder: RunFolder) -> Iterator[RunFolder]:
    with folder.writing():
        yield folder


@contextlib.contextmanager
def _shared(
    held: contextlib.AbstractContextManager[RunFolder], path: Path, processes: Processes
) -> Iterator[RunFolder | None]:
    """The run's folder, held by the first process; None in the others if that failed."""
    if not processes.first:
        (ready, *_) = processes.gather(None)
        yield RunFolder(path) if ready else None
        return
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(held)
        except BaseException:
            processes.gather(False)
            raise
        processes.gather(True)
        yield folder


def _train(
    task: Task,
    folder: RunFolder,
    options: Any,
    fabric: Fabric,
    processes: Processes,
    *,
    quiet: bool,
) -> Summary | None:
    """Train a run that this process holds, or the first one does."""
    display = choose_display(quiet=quiet) if processes.first else Silent()
    best_effort = BestEffort(display.note, folder.check)
    try:
        summary = _go_on(task, folder, options, fabric, processes, display, best_effort)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise UserError(f"{where}{reason(error)}", code=RUNTIME) from error
    finally:
        display.close()
    # TensorBoard's file is a copy of the log; the others are part of the run.
    missing = {k: v for k, v in best_effort.failed.items() if k != folder.tensorboard}
    if missing and summary is not None and summary.stopped_by is None:
        listed = "; ".join(f"{path}: {words}" for path, words in missing.items())
        raise UserError(f"trained and saved to {folder.path}, but {listed}", code=RUNTIME)
    return summary


def _go_on(
    task: Task,
    folder: RunFolder,
    options: Any,
    fabric: Fabric,
    processes: Processes,
    display: Display,
    best_effort: BestEffort,
) -> Summary | None:
    """Train from the last checkpoint or the start; write summary and report."""
    training = options.training
    torch.manual_seed(training.seed)
    with processes.together():
        start = read_tensors(folder.checkpoint) if folder.checkpoint.exists() else None
        opened = task.open(options, folder, processes)
    _check_share(opened, processes)
    parameters = sum(p.numel() for p in opened.model.parameters())
    last_step = _step_of(start, folder)
    if start is None and folder.samples.exists() and processes.first:
        shutil.rmtree(folder.samples)
    if processes.rank:  # weights are drawn alike, noise is not
        torch.manual_seed((training.seed + processes.rank * 0x9E3779B97F4A7C15) % 2**63)

    def report(evaluation: Evaluation | None = None) -> None:
        if processes.first:
            write = functools.partial(
                write_report,
                folder,
                asdict(options),
                opened,
                evaluation=evaluation,
                parameters=parameters,
            )
            best_effort(folder.report, write)

    measured = [f"train_{opened.objective.name}", *(f"val_{m.name}" for m in opened.metrics)]
    logs = Logs(folder, measured, last_step, best_effort if processes.first else None)
    try:
        loop = Training(
            opened, training, folder, fabric, processes, logs, display, best_effort, start, report
        )
        display.note(
            f"{folder.path}: {opened.description}; {parameters:,} parameters"
            + (f"; {processes.count} processes" if processes.count > 1 else "")
            + (f"; going on from step {loop.position.step}" if start else "")
        )
        position = loop.run()
    finally:
        logs.close()
    if not processes.first:
        return None

    evaluation = None
    if loop.stopped_by is None:
        load_weights(opened.model, *best_weights(folder))
        opened.model.eval()
        display.note("evaluating the best weights")
        torch.manual_seed(training.seed)
        evaluation = opened.conclude(folder)
    summary = Summary(
        run=str(folder.path),
        task=task.name,
        steps=position.step,
        epochs=position.epoch,
        training_seconds=position.seconds,
        validation_seconds=position.validation_seconds,
        best_step=position.best_step,
        parameters=parameters,
        stopped_by=loop.stopped_by,
        **_results(opened, evaluation, position.best),
    )
    folder.write(folder.summary, (json.dumps(asdict(summary), indent=1) + "\n").encode())
    report(evaluation)
    return summary


def _results(opened: Opened, evaluation: Evaluation | None, best: float | None) -> dict[str, Any]:
    """What a summary says of the best weights."""
    if evaluation is not None:
        return {
            "metrics": {name: e._asdict() for name, e in evaluation.metrics.items()},
            "baseline": {name: e._asdict() for name, e in evaluation.baseline.items()},
            "notes": tuple(evaluation.notes),
            "part": evaluation.part,
        }
    if best is None:
        return {}
    return {"metrics": {opened.metrics[0].name: {"value": best, "low": None, "high": None}}}


def _step_of(start: tuple[Any, dict[str, Any]] | None, folder: RunFolder) -> int:
    """The update from which a run goes on.

    Raises:
        UserError: The checkpoint names none.
    """
    try:
        return int(start[1]["position"]["step"]) if start is not None else 0
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{folder.checkpoint}: corrupt: it names no step") from error


def _check_share(opened: Opened, processes: Processes) -> None:
    """See that every process has something to train on.

    Raises:
        UserError: There are fewer sequences than processes.
    """
    if processes == ALONE:
        return
    batches = opened.batches
    idle = all(batches.batch(0, index) is None for index in range(batches.count(0)))
    if any(processes.gather(idle)):
        raise UserError(f"--processes {processes.count}: more than there are sequences in a batch")
