"""Training of one model on one problem at one lag, and its outcome."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from unrolled.lens import Decay
from unrolled.training.batches import Drawn
from unrolled.training.task import Loss
from unrolled.training.updates import NotFiniteError, Updates

from .decay import decay
from .model import LagModel
from .options import LagOptions
from .problems import PROBLEMS, Problem

SOLVED = 0.98
"""The share of right answers at which a problem counts as solved, and training stops."""
WINDOW = 20
"""Updates whose answers are counted together to see that."""
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
        loss: their mean loss: nats, or squared error.
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
    problem, options = PROBLEMS[job.task], job.options
    torch.manual_seed(options.seed)
    model = LagModel(options.variant(job.cell), problem, options.hidden, job.lag)
    generator, probe = (Generator().manual_seed(options.seed + k) for k in (1, 2))
    before = decay(model, problem, job.lag, probe)
    recent: deque[float] = deque(maxlen=WINDOW)

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor], carry: None) -> Loss:
        x, target = batch
        given = model(x)
        recent.append(float(problem.hits(given, target).float().mean()))
        return Loss(problem.losses(given, target).mean(), x.shape[1])

    loop = Updates(
        model,
        loss,
        Drawn(lambda: problem.draw(job.lag, options.batch, generator)),
        torch.optim.Adam(model.parameters(), lr=options.learning_rate(job.cell), fused=True),
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
        try:
            clipped += loop.next().clipped
        except NotFiniteError:
            ended = "diverged"
            break
        if len(recent) == WINDOW and sum(recent) >= SOLVED * WINDOW:
            ended = "solved"
            break
    updates = loop.position.step
    seconds = time.process_time() - started
    success, test_loss = _test(model, problem, job.lag, probe)
    after = decay(model, problem, job.lag, probe)
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


def _half(found: Decay) -> float:
    if not found.lags:
        return math.nan
    return math.inf if found.half is None else float(found.half)


@torch.no_grad()
def _test(model: LagModel, problem: Problem, lag: int, generator: Generator) -> tuple[float, float]:
    hits, losses = [], []
    for _ in range(TEST_ROWS // 100):
        x, target = problem.draw(lag, 100, generator)
        given = model(x)
        hits.append(problem.hits(given, target).float())
        losses.append(problem.losses(given, target))
    return float(torch.cat(hits, 1).mean()), float(torch.cat(losses, 1).mean())
