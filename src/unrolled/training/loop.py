"""The training loop: updates, and around them validation, log, checkpoints and guards.

`Updates` makes one update after another. `Training` is a run: it trains until a limit, early
stopping or a signal, and keeps everything in its folder.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from unrolled.errors import RUNTIME, UserError, reason
from unrolled.training import carry as carried
from unrolled.training.batches import Batches
from unrolled.training.duration import format_duration, parse_duration
from unrolled.training.guards import diagnose, first_nonfinite_parameter
from unrolled.training.interruption import Interruption
from unrolled.training.optimizer import (
    WeightAverage,
    build_optimizer,
    learning_rate,
)
from unrolled.training.position import Position, Window
from unrolled.training.probe.advice import Advisor
from unrolled.training.probe.monitor import Monitor
from unrolled.training.processes import Processes
from unrolled.training.run_folder import checkpoint as ckpt
from unrolled.training.run_folder.logs import Logs, read_log
from unrolled.training.state import Start, TrainingState
from unrolled.training.task import Opened
from unrolled.training.updates import NotFiniteError, Updates

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from unrolled.training.display import Display
    from unrolled.training.options import TrainingOptions
    from unrolled.training.run_folder.best_effort import BestEffort
    from unrolled.training.run_folder.folder import RunFolder


def total_steps(options: TrainingOptions, batches: Batches) -> int | None:
    """Updates until the limit on epochs or updates, whichever comes first; None without limit."""
    limits = []
    if options.max_steps is not None:
        limits.append(options.max_steps)
    if options.epochs is not None:
        limits.append(sum(batches.count(epoch) for epoch in range(options.epochs)))
    return min(limits) if limits else None


class Training:
    """One run of training, from its last checkpoint or from the start.

    Args:
        opened: Model, batches, loss and validation.
        options: How to train.
        folder: Where to keep everything.
        fabric: Device and precision, already launched.
        processes: Those that train together.
        logs: The run's logs.
        display: Where to say how far it is.
        best_effort: Writes what training can do without.
        start: A checkpoint's content to go on from.
        on_validation: Called after each validation and at the end.

    Attributes:
        position: Where the run is.
        stopped_by: Number of the signal that stopped it, or None.
    """

    def __init__(
        self,
        opened: Opened,
        options: TrainingOptions,
        folder: RunFolder,
        fabric: Fabric,
        processes: Processes,
        logs: Logs,
        display: Display,
        best_effort: BestEffort,
        start: Start | None = None,
        on_validation: Callable[[], None] = lambda: None,
    ) -> None:
        self.opened, self.options, self.folder = opened, options, folder
        self.fabric, self.processes, self.logs = fabric, processes, logs
        self.display, self.best_effort = display, best_effort
        self.on_validation = on_validation
        self.stopped_by: int | None = None

        optimizer = build_optimizer(opened.model, options)
        if start is not None:
            ckpt.load_weights(opened.model, ckpt.under(start[0], "model"), folder.checkpoint)
        model, optimizer = fabric.setup(opened.model, optimizer)
        self.updates = Updates(
            model,
            opened.loss,
            opened.batches,
            optimizer,
            clip=options.clip,
            usual_count=opened.usual_count,
            processes=processes,
            backward=fabric.backward,
            moved=fabric.to_device,
        )
        self.average = WeightAverage(opened.model, options.ema) if options.ema else None
        self.state = TrainingState(opened, self.updates, self.average, fabric, processes)
        if start is not None:
            try:
                self.state.restore(*start)
            except (
                UserError,
                LookupError,
                TypeError,
                ValueError,
                AttributeError,
                RuntimeError,
            ) as e:
                raise UserError(f"{folder.checkpoint}: does not fit the run's options: {e}") from e
        self.total = total_steps(options, opened.batches)
        self.advisor = Advisor(options.clip, opened.batches.window)
        for row in read_log(folder.log):  # what was said before the run went on
            self.advisor.row(row)
        self.monitor = Monitor(
            options.lens_every if processes.first else 0,
            opened.batches.window,
            folder.lens,
            self.position.step,
            self.advisor,
            display,
            logs.scalars,
            best_effort,
        )

    @property
    def position(self) -> Position:
        """Where the run is."""
        return self.updates.position

    # The loop -------------------------------------------------------------------------------

    def run(self) -> Position:
        """Train until a limit, early stopping or a signal; ``stopped_by`` is then its number."""
        options, position = self.options, self.position
        self.opened.model.train()
        saved_at = clock = time.monotonic()
        every = parse_duration(options.checkpoint_every, "--checkpoint-every")
        with Interruption() as interruption:
            while not self._finished():
                self._step()
                self._look()
                now = time.monotonic()
                position.seconds += now - clock
                position.window.seconds += now - clock
                clock = now
                due, stop = now - saved_at >= every, interruption.signal
                if self.processes.count > 1:
                    due, stop = self._agreed(due, stop)

                if position.step % options.log_every == 0:
                    self._log()
                if self._validation_due():
                    self._validate()
                    now = time.monotonic()
                    position.validation_seconds += now - clock
                    clock = now
                by_count = options.checkpoint_steps and (
                    position.step % options.checkpoint_steps == 0
                )
                if due or by_count or position.validated == position.step or stop:
                    self._save()
                    saved_at = time.monotonic()
                if stop:
                    self.stopped_by = stop
                    break
        return position

    def _agreed(self, due: bool, stop: int | None) -> tuple[bool, int | None]:
        """Several processes: the first one's clock is everyone's, a signal to one is to all."""
        position, first = self.position, self.processes.first
        seconds, late, signal = self.processes.largest(
            [position.seconds if first else 0.0, float(due and first), float(stop or 0)]
        )
        position.window.seconds += seconds - position.seconds
        position.seconds = seconds
        return bool(late), int(signal) or None

    def _step(self) -> None:
        """One update."""
        options, position = self.options, self.position
        self.updates.set_rate(
            learning_rate(
                self.progress(1),
                peak=options.lr,
                course=options.schedule,
                warmup=options.warmup,
                final=options.final_lr,
            )
        )
        try:
            update = self.updates.next()
        except NotFiniteError as error:
            self._stop_nonfinite(error)
        if self.average is not None:
            self.average.update(position.step)
        window = position.window
        window.updates += 1
        window.items += update.count
        window.loss += update.loss * update.count
        window.norm += update.norm
        window.norm_max = max(window.norm_max, update.norm)
        window.clipped += update.clipped
        self.display.progress(self.progress(), self._words(update.loss))

    def _look(self) -> None:
        """Look through time at the batch that comes next, if a look is due."""
        position, updates = self.position, self.updates
        if not self.monitor.due(position.step, position.seconds):
            return
        batch = self.opened.batches.batch(position.epoch, position.index)
        if batch is None:
            return
        model = self.opened.model
        # Not wrapped by Fabric, the model needs numbers of its own precision.
        own = next(p.dtype for p in model.parameters() if p.is_floating_point())
        given, carry = apply_to_collection(
            (self.fabric.to_device(batch), updates.carry),
            Tensor,
            lambda tensor: tensor.to(own) if tensor.is_floating_point() else tensor,
        )
        self.monitor.look(
            position.step,
            position.seconds,
            model,
            lambda: self.opened.step_losses(model, given, carry),
        )

    def progress(self, ahead: int = 0) -> float:
        """Share of the training done, ``ahead`` more updates counted in."""
        position, limit = self.position, self.options.max_seconds
        by_steps = (position.step + ahead) / self.total if self.total else 0.0
        by_time = position.seconds / limit if limit else 0.0
        return min(1.0, max(by_steps, by_time))

    def _finished(self) -> bool:
        patience = self.options.patience
        early = patience is not None and self.position.strikes >= patience
        return early or self.progress() >= 1.0

    # Validation, log, checkpoint ------------------------------------------------------------

    def _validation_due(self) -> bool:
        position, every = self.position, self.options.val_every
        regular = position.step % every == 0 if every else position.index == 0
        return regular or self._finished()

    def averaged(self) -> AbstractContextManager[None]:
        """Within the block the model has the weights that are validated and kept as the best."""
        return nullcontext() if self.average is None else self.average.applied()

    def _validate(self) -> None:
        position, opened = self.position, self.opened
        self._check_weights()
        opened.model.eval()
        with self.averaged():
            measured = dict(opened.validate())
            position.validated = position.step
            better = not measured or self._is_best(measured)
            if better:
                position.best_step, position.strikes = position.step, 0
                record = {"step": position.step, "metrics": measured}
                self._keep(self.folder.weights, opened.model.state_dict(), record)
            else:
                position.strikes += 1
            sample = opened.sample() if self.processes.first else None
        opened.model.train()
        if sample is not None:
            self.best_effort(self.folder.samples, lambda: self._write_sample(sample))
        if measured:
            values = {f"val_{name}": value for name, value in measured.items()}
            seconds = {"epoch": position.epoch, "seconds": position.seconds}
            self.logs.row(position.step, seconds | values)
            units = {metric.name: metric.unit for metric in opened.metrics}
            shown = ", ".join(
                f"{value:.4f} {units.get(name) or name}" for name, value in measured.items()
            )
            self.display.note(
                f"step {position.step}  epoch {position.epoch}  "
                f"{format_duration(position.seconds)}  validation {shown}"
                + (" (best)" if better else "")
            )
        self.on_validation()

    def _is_best(self, measured: Mapping[str, float]) -> bool:
        """Whether the first metric is better than ever before; kept if it is."""
        metric, position = self.opened.metrics[0], self.position
        value = measured[metric.name]
        if not math.isfinite(value):
            value = metric.worst
        if not metric.improves(value, position.best):
            return False
        position.best = value
        return True

    def _write_sample(self, sample: str) -> None:
        self.folder.samples.mkdir(exist_ok=True)
        path = self.folder.samples / f"{self.position.step:08d}.txt"
        self.folder.write(path, sample.encode())

    def _log(self) -> None:
        position, window = self.position, self.position.window
        row = {
            "epoch": position.epoch,
            "seconds": position.seconds,
            f"train_{self.opened.objective.name}": window.loss / max(window.items, 1),
            "lr": self.updates.optimizer.param_groups[0]["lr"],
            "grad_norm": window.norm / window.updates,
            "grad_norm_max": window.norm_max,
            "clipped": window.clipped / window.updates,
            "per_second": window.items / max(window.seconds, 1e-9),
        }
        self.logs.row(position.step, row)
        for words in self.advisor.row({"step": position.step, **row}):
            self.display.note(f"warning: {words}")
        position.window = Window()

    def _words(self, loss: float) -> str:
        position, window = self.position, self.position.window
        speed = window.items / window.seconds if window.seconds else 0.0
        of = f"/{self.total}" if self.total else ""
        best = "" if position.best is None else f"  best {position.best:.4f}"
        rate = f"  {speed:,.0f}/s" if speed else ""
        return f"step {position.step}{of}  loss {loss:.4f}{best}{rate}"

    def _save(self) -> None:
        """Write the checkpoint.

        Raises:
            UserError: A weight is not finite, the checkpoint cannot be written, or the run is not
                this process's own any more; the checkpoint before stays.
        """
        self._check_weights()
        tensors, record = self.state.collect()
        self._keep(self.folder.checkpoint, tensors, record)

    def _keep(self, path: Path, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Write what the run cannot do without; the first process does."""
        if not self.processes.first:
            return
        try:
            ckpt.write_tensors(path, tensors, record, self.folder.write)
        except OSError as error:
            raise self._stopped(f"{path}: {reason(error)}") from error

    def _check_weights(self) -> None:
        # A finite gradient can still make an update overflow; what is kept must be finite.
        name = first_nonfinite_parameter(self.opened.model)
        if name is not None:
            self._stop(f"the weight '{name}' is no longer finite")

    # Guards ---------------------------------------------------------------------------------

    def _stop_nonfinite(self, error: NotFiniteError) -> NoReturn:
        where = diagnose(
            self.opened.model,
            carried.leaves(error.carry),
            lambda: self.opened.loss(self.updates.model, error.batch, error.carry),
        )
        self._stop(f"{error}; the first value that is not finite: {where}")

    def _stop(self, why: str) -> NoReturn:
        raise self._stopped(f"{why}; a lower --lr or --clip may help")

    def _stopped(self, why: str) -> UserError:
        kept = self.folder.checkpoint
        rest = f"the last good checkpoint is {kept}" if kept.exists() else "no checkpoint yet"
        step = self.position.step + 1
        return UserError(f"stopped at step {step}: {why}; {rest}", code=RUNTIME)
