"""Training of one model on one problem at one lag, and its outcome."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from unrolled.lens import Decay
from unrolled.training.batches import Drawn
from unrolled.training.optimizer import learning_rate
from unrolled.training.task import Loss
from unrolled.training.updates import NotFiniteError, Updates

from .decay import decay
from .model import LagModel
from .options import LagOptions
from .problems import Problem, problem

SOLVED = 0.98
"""The share of right answers at which a problem counts as solved, and training stops."""
WINDOW = 20
"""Updates that are looked at together to see that."""
FIRST_LAG = 10
"""The lag from which a ramp begins."""
TEST_ROWS = 1000

Ended = Literal["solved", "updates", "stopped", "diverged"]


@dataclass(frozen=True)
class Job:
    """One model to train.

    Attributes:
        task: the problem.
        cell: the cell with its own options.
        lag: the lag.
        options: everything else.
    """

    task: str
    cell: str
    lag: int
    options: LagOptions


@dataclass(frozen=True)
class Outcome:
    """The outcome of one model.

    Attributes:
        task: the problem.
        cell: the cell with its own options.
        lag: the lag.
        success: share of right answers in sequences drawn for the test.
        loss: mean loss of the steps asked: nats, or squared error.
        updates: how many there were.
        ended: solved, out of updates, stopped by the user or the clock, or numbers no more finite.
        seconds: of training, of a processor.
        left_before: share of the influence that is left at the largest lag, from the answers back
            to the first steps, before training; NaN where there is no influence.
        left_after: the same after training.
        half_before: the first lag at which a half of it is left, before training; ∞ where more is
            left at every lag, NaN where there is no influence.
        half_after: the same after training.
        clipped: share of updates whose gradient was clipped.
    """

    task: str
    cell: str
    lag: int
    success: float
    loss: float
    updates: int
    ended: Ended
    seconds: float
    left_before: float
    left_after: float
    half_before: float
    half_after: float
    clipped: float


def train(job: Job, stop: Callable[[], bool] = lambda: False) -> Outcome:
    """Train until the problem is solved, the updates are used up, or ``stop`` says so.

    Every batch is new, so the answers before an update are a test of what was learned so far; what
    is reported is measured on 1000 sequences more. The same job gives the same numbers again.
    """
    options = job.options
    task = problem(job.task, options)
    torch.manual_seed(options.seed)
    model = LagModel(options.variant(job.cell), task, options.hidden, job.lag)
    generator, probe = (Generator().manual_seed(options.seed + k) for k in (1, 2))
    before = decay(model, task, job.lag, probe)
    recent: deque[tuple[float, float]] = deque(maxlen=WINDOW)  # share of hits, loss

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor], carry: None) -> Loss:
        x, target = batch
        given = model(x)
        mean = task.losses(given, target).mean()
        recent.append((float(task.hits(given, target).float().mean()), float(mean.detach())))
        return Loss(mean, x.shape[1])

    def progress() -> float:
        return loop.position.step / options.updates

    def lag() -> int:
        return ramped(job.lag, progress(), options.ramp)

    peak, course = options.learning_rate(job.cell), options.schedule
    loop = Updates(
        model,
        loss,
        Drawn(lambda: task.draw(lag(), options.batch, generator)),
        torch.optim.Adam(model.parameters(), lr=peak, fused=True),
        clip=options.clip,
        skip=options.clip > 0,  # to clip what is infinite is to leave it out
    )
    started = time.process_time()
    ended: Ended = "updates"
    clipped = 0
    while loop.position.step < options.updates:
        if stop():
            ended = "stopped"
            break
        loop.set_rate(learning_rate(progress(), peak=peak, course=course, warmup=0, final=0))
        try:
            clipped += loop.next().clipped
        except NotFiniteError:
            ended = "diverged"
            break
        if progress() >= options.ramp and _solved(recent, options.stop_loss):
            ended = "solved"
            break
    updates = loop.position.step
    seconds = time.process_time() - started
    success, test_loss = _test(model, task, job.lag, probe)
    after = decay(model, task, job.lag, probe)
    return Outcome(
        job.task,
        job.cell,
        job.lag,
        success,
        test_loss,
        updates,
        ended,
        seconds,
        before.left,
        after.left,
        _half(before),
        _half(after),
        clipped / max(1, updates),
    )


def ramped(lag: int, progress: float, ramp: float) -> int:
    """The lag of training after a share of the updates: from 10, in equal ratios, to the lag."""
    if progress >= ramp or lag <= FIRST_LAG:
        return lag
    return round(FIRST_LAG * math.pow(lag / FIRST_LAG, progress / ramp))


def _solved(recent: Collection[tuple[float, float]], stop_loss: float | None) -> bool:
    hits, losses = map(sum, zip(*recent, strict=True))
    reached = hits >= SOLVED * WINDOW if stop_loss is None else losses <= stop_loss * WINDOW
    return len(recent) == WINDOW and reached


def _half(found: Decay) -> float:
    if not found.lags:
        return math.nan
    return math.inf if found.half is None else float(found.half)


@torch.no_grad()
def _test(model: LagModel, task: Problem, lag: int, generator: Generator) -> tuple[float, float]:
    hits, losses = [], []
    for _ in range(TEST_ROWS // 100):
        x, target = task.draw(lag, 100, generator)
        given = model(x)
        hits.append(task.hits(given, target).float())
        losses.append(task.losses(given, target))
    return float(torch.cat(hits, 1).mean()), float(torch.cat(losses, 1).mean())
