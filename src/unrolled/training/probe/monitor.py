"""The lens in training: a look through time every so many updates, at a bounded cost."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor, nn

from unrolled.engine.threads import one_thread
from unrolled.training.display import Display
from unrolled.training.probe.advice import Advisor
from unrolled.training.probe.look import Look, look
from unrolled.training.probe.look_log import LookLog
from unrolled.training.run_folder.best_effort import BestEffort

BUDGET = 0.03
"""Share of the training time that looks may take."""
ROWS = 8
"""Rows of a batch that are looked at."""
GUESS = 2e-3
"""Seconds per step that the first look is taken to cost."""
STEPS = 100
"""Steps of a whole sequence, as long as none was looked at."""


class Monitor:
    """Looks through time at a model in training, when it is due and there is time for it.

    It changes nothing of the training: weights and random numbers are the same, bit for bit, with
    and without it.

    Args:
        every: Updates between looks; 0 for none.
        window: Steps after which the gradient is cut; None where it never is.
        path: Where to keep the looks.
        last_step: The update from which the run goes on; looks after it are dropped.
        advisor: Who is told of them.
        display: Where to say what matters.
        log: Takes numbers by their names and the step, for TensorBoard.
        best_effort: Writes the file.
    """

    def __init__(
        self,
        every: int,
        window: int | None,
        path: Path,
        last_step: int,
        advisor: Advisor,
        display: Display,
        log: Callable[[Mapping[str, float], int], None],
        best_effort: BestEffort,
    ) -> None:
        self.advisor = advisor
        self._display, self._log, self._best_effort = display, log, best_effort
        self._file = LookLog(path, last_step)
        self._every, self._off = every, every == 0
        self._guess = GUESS * (window or STEPS)
        self._said = bool(self._file.looks)
        self._spent = sum(found.seconds for found in self._file.looks)
        for found in self._file.looks:  # what was said before the run went on is not said again
            advisor.look(found)

    def due(self, step: int, seconds: float) -> bool:
        """Whether to look now, after so many updates in so much training time."""
        looks, every = self._file.looks, self._every
        if self._off:
            return False
        last = looks[-1].step if looks else 0
        if step // every == last // every:
            return False
        cost = looks[-1].seconds if looks else self._guess
        return self._spent + cost <= BUDGET * seconds

    def look(
        self, step: int, seconds: float, model: nn.Module, losses: Callable[[], Tensor | None]
    ) -> None:
        """Look, keep what is found and warn of what is wrong.

        A model whose layers cannot be watched is never looked at again.

        Args:
            step: Updates made so far.
            seconds: Training time so far.
            model: The model.
            losses: Runs it on a few rows and gives the loss of each prediction, time first; None
                where this batch is not to be looked at.
        """
        start = time.perf_counter()
        try:
            with one_thread():
                layers = look(model, losses)
        except ValueError as error:
            self._off = True
            self._display.note(f"lens: nothing to look at: {error}")
            return
        if not layers:
            return
        found = Look(step, time.perf_counter() - start, layers)
        self._spent += found.seconds
        self._best_effort(self._file.path, lambda: self._file.append(found))
        self._log(scalars(found), step)
        if not self._said:
            self._said = True
            self._say_interval(found, step, seconds)
        for words in self.advisor.look(found):
            self._display.note(f"warning: {words}")

    def _say_interval(self, found: Look, step: int, seconds: float) -> None:
        """Once: that looks are fewer than was asked for, where they cost too much."""
        updates = found.seconds / BUDGET / (seconds / max(step, 1))
        if updates > 1.2 * self._every:
            self._display.note(
                f"lens: a look takes {found.seconds * 1000:.0f} ms, so there will be one about "
                f"every {updates:.0f} updates, not every {self._every}: "
                f"{BUDGET:.0%} of the training time at most"
            )


def some_rows(count: int) -> slice:
    """The rows of a batch to look at, spread over it, always the same."""
    return slice(0, ROWS * max(1, count // ROWS), max(1, count // ROWS))


def scalars(found: Look) -> dict[str, float]:
    """A look as single numbers, by names that TensorBoard groups in sections."""
    numbers: dict[str, float] = {}
    for name, layer in found.layers.items():
        section = f"lens_{name}"
        decay = layer.decay
        for share in ("half", "tenth", "hundredth"):
            if (lag := getattr(decay, share)) is not None:
                numbers[f"{section}/lag_of_a_{share}"] = lag
        numbers[f"{section}/left"] = decay.left
        numbers[f"{section}/half_life"] = decay.half_life
        numbers[f"{section}/reach"] = layer.reach
        for gate, (low, high) in layer.saturation.items():
            numbers[f"{section}/saturated_{gate}"] = low + high
        lags = [0, *(2**k for k in range(20) if 2**k < len(layer.influence))]
        for lag in lags:
            numbers[f"{section}/influence_lag_{lag:04d}"] = layer.influence[lag]
    return {name: value for name, value in numbers.items() if math.isfinite(value)}
