"""Train all models, side by side, and keep what is there at any time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch

from unrolled.engine.threads import one_thread
from unrolled.errors import RUNTIME, UserError, reason
from unrolled.files import remove_strays
from unrolled.training.interruption import Interruption, ending_signals
from unrolled.training.options import check_value
from unrolled.training.run_folder.lock import FolderLock

from .model import LagModel
from .options import PROCESSES, LagOptions
from .picture import check_matplotlib, write_pictures
from .problems import problem
from .results import Results, load, save
from .training import Job, Outcome, train

Progress = Callable[[Outcome, int, int], None]


def run(
    options: LagOptions,
    out: Path | str,
    *,
    overwrite: bool = False,
    processes: int | None = None,
    progress: Progress = lambda outcome, done, total: None,
) -> tuple[Results, int | None]:
    """Train every cell on every problem at every lag, and draw what comes of it.

    Models are so small that threads within one would wait for each other; each has a process to
    itself. What is done is saved at once: a run that was stopped goes on where it was, and one with
    more cells or lags adds them.

    Args:
        options: what to train.
        out: folder of the results.
        overwrite: forget what is in the folder.
        processes: models to train at a time; 1 for none beside this process. Default: as many as
            there are processors.
        progress: called with each outcome, how many there are and how many there will be.

    Returns:
        The results, and the number of the signal that stopped the run, if one did.

    Raises:
        UserError: a cell does not take an option, matplotlib is missing, the folder holds other
            results, or another process writes to it.
    """
    started = time.monotonic()
    check_value("processes", processes, Annotated[int | None, PROCESSES])
    check_matplotlib()
    check_models(options)
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot create the folder: {reason(error)}") from error
    with FolderLock(folder) as lock:
        remove_strays(folder)
        results = Results(options) if overwrite else load(folder, options)
        return _run(results, folder, lock, processes, progress, started)


def _run(
    results: Results,
    folder: Path,
    lock: FolderLock,
    processes: int | None,
    progress: Progress,
    started: float,
) -> tuple[Results, int | None]:
    """Train what is missing, in a folder that this process holds."""
    options = results.options
    jobs = results.missing()
    total = len(options.tasks) * len(options.cells) * len(options.lags)
    count = min(processes or processors(), len(jobs))
    deadline = None if options.minutes is None else started + 60 * options.minutes
    with Interruption() as interruption:

        def stop() -> bool:
            return interruption.signal is not None or (
                deadline is not None and time.monotonic() >= deadline
            )

        for outcome in _outcomes(jobs, count, stop):
            results = results.with_outcome(outcome)
            lock.check()
            save(results, folder)
            progress(outcome, total - len(results.missing()), total)
        results = replace(results, seconds=time.monotonic() - started)
        lock.check()
        save(results, folder)
        if results.outcomes:
            # here: the processes that train, which import this file, need not wait for it
            from .report import write_report

            write_pictures(results, folder)
            write_report(results, folder)
    return results, interruption.signal


def check_models(options: LagOptions) -> None:
    """Build every model once.

    Raises:
        UserError: a layer refuses its options.
    """
    for one in options.variants():
        try:
            LagModel(one, problem(options.tasks[0], options), options.hidden, int(options.lags[0]))
        except (ValueError, TypeError) as error:
            raise UserError(f"--cells: {one.name}: {error}") from error


def processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _outcomes(jobs: list[Job], count: int, stop: Callable[[], bool]) -> Iterator[Outcome]:
    if count <= 1:
        with one_thread():
            for job in jobs:
                if stop():
                    return
                yield train(job, stop)
        return
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    event = context.Event()
    with ProcessPoolExecutor(count, context, _begin, (event,)) as pool:
        futures: list[Future[Outcome | None]] = [pool.submit(_train, job) for job in jobs]
        try:
            pending = set(futures)
            while pending:
                if stop():
                    event.set()
                for future in _ready(pending):
                    pending.discard(future)
                    outcome = future.result()
                    if outcome is not None:
                        yield outcome
        except BrokenProcessPool as error:
            raise UserError(
                "a process that trained a model was killed (out of memory?); what was finished is "
                "saved, the same command goes on with the rest",
                code=RUNTIME,
            ) from error
        finally:
            event.set()


def _ready(pending: set[Future[Any]]) -> list[Future[Any]]:
    """Those that are done, after a moment at most."""
    try:
        return [next(iter(as_completed(pending, timeout=0.2)))]
    except TimeoutError:
        return []


_event: Any = None


def _begin(event: Any) -> None:
    """In a new process: signals are for the one that started it, which then sets the event."""
    global _event
    _event = event
    for number in ending_signals():
        if number != signal.SIGTERM:  # with which a pool ends its processes
            signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)


def _stopped() -> bool:
    parent = multiprocessing.parent_process()
    return bool(_event.is_set()) or parent is None or not parent.is_alive()


def _train(job: Job) -> Outcome | None:
    return None if _stopped() else train(job, _stopped)
