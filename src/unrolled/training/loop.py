"""The training loop: truncated backpropagation through time over aligned streams.

Each update trains on the next chunk of every stream. The state that a chunk ends with is carried
into the next one; its gradient is cut there. An epoch begins with the zero state.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from unrolled.errors import RUNTIME, UserError, reason
from unrolled.training.average import WeightAverage
from unrolled.training.batches import Streams
from unrolled.training.display import Display
from unrolled.training.duration import format_duration, parse_duration
from unrolled.training.guards import diagnose, first_nonfinite_parameter
from unrolled.training.interruption import Interruption
from unrolled.training.optimizer import build_optimizer, clip_gradients
from unrolled.training.options import TrainingOptions
from unrolled.training.position import Position, Window
from unrolled.training.probe.advice import Advisor
from unrolled.training.probe.monitor import Monitor, some_rows
from unrolled.training.run_folder import checkpoint as ckpt
from unrolled.training.run_folder.best_effort import BestEffort
from unrolled.training.run_folder.folder import RunFolder
from unrolled.training.run_folder.log import read_log
from unrolled.training.schedule import learning_rate

State = tuple[Tensor, ...]


class Job(Protocol):
    """What a task brings to the loop."""

    @property
    def model(self) -> nn.Module:
        """The model to train."""

    def loss(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, state: State | None
    ) -> tuple[Tensor, State]:
        """Mean loss of a chunk in nats per prediction, and the state after it."""

    def losses(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, state: State | None
    ) -> Tensor:
        """Loss of each prediction of a chunk in nats, ``[T, N]``."""

    def validate(self) -> float | None:
        """Loss of ``self.model`` on the validation data; None if there is none."""

    def sample(self, length: int) -> str | None:
        """Something the model can show for itself, in text."""


class Training:
    """One run of training, from its last checkpoint or from the start.

    Args:
        job: Model, loss and metric.
        streams: The training data.
        options: How to train.
        folder: Where to keep everything.
        fabric: Device, precision and loggers, already launched.
        display: Where to say how far it is.
        best_effort: Writes what training can do without.
        start: A checkpoint's content to go on from.
        on_validation: Called after each validation and at the end.
    """

    def __init__(
        self,
        job: Job,
        streams: Streams,
        options: TrainingOptions,
        folder: RunFolder,
        fabric: Fabric,
        display: Display,
        best_effort: BestEffort,
        start: tuple[dict[str, Tensor], dict[str, Any]] | None = None,
        on_validation: Callable[[], None] | None = None,
    ) -> None:
        self.job, self.streams, self.options = job, streams, options
        self.folder, self.fabric, self.display = folder, fabric, display
        self.best_effort = best_effort
        self.on_validation = on_validation
        self.position = Position()
        self.state: State | None = None
        self.stopped_by: int | None = None

        optimizer = build_optimizer(job.model, options)
        self.parameters = list(job.model.parameters())
        if start is not None:
            ckpt.load_weights(job.model, ckpt.under(start[0], "model"), folder.checkpoint)
        self.model, self.optimizer = fabric.setup(job.model, optimizer)
        self.average = WeightAverage(job.model, options.ema) if options.ema else None
        if start is not None:
            try:
                self._restore(*start)
            except (
                UserError,
                LookupError,
                TypeError,
                ValueError,
                AttributeError,
                RuntimeError,
            ) as e:
                raise UserError(f"{folder.checkpoint}: does not fit the run's options: {e}") from e
        self.total = self._total_steps()
        self.advisor = Advisor(options.clip, options.seq_len)
        for row in read_log(folder.log):  # what was said before the run went on
            self.advisor.row(row)
        self.monitor = Monitor(
            options,
            folder.lens,
            self.position.step,
            self.advisor,
            display,
            fabric.log_dict,
            best_effort,
        )

    # The loop -------------------------------------------------------------------------------

    def run(self) -> Position:
        """Train until a limit, early stopping or a signal; ``stopped_by`` is then its number."""
        options, position = self.options, self.position
        self.job.model.train()
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
                due = by_count or now - saved_at >= every
                if due or position.validated == position.step or interruption.signal:
                    self._save()
                    saved_at = time.monotonic()
                if interruption.signal:
                    self.stopped_by = interruption.signal
                    break
        return position

    def _step(self) -> None:
        """One update, on the next chunk of every stream."""
        options, position = self.options, self.position
        inputs, targets = self.streams.batch(position.epoch, position.chunk)
        inputs, targets = self.fabric.to_device((inputs, targets))
        rate = learning_rate(
            self.progress(1),
            peak=options.lr,
            course=options.schedule,
            warmup=options.warmup,
            final=options.final_lr,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate

        before = self.state
        loss, after = self.job.loss(self.model, inputs, targets, before)
        # A chunk shorter than the others counts for less: every prediction has the same weight.
        share = len(inputs) / options.seq_len
        self.fabric.backward(loss if share == 1 else loss * share)
        nats = float(loss.detach())
        norm = clip_gradients(self.parameters, options.clip)
        if not (math.isfinite(nats) and math.isfinite(norm)):
            self._stop_nonfinite(nats, norm, inputs, targets, before)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.state = tuple(s.detach() for s in after)

        position.step += 1
        position.chunk += 1
        if self.average is not None:
            self.average.update(position.step)
        if position.chunk == self.streams.count(position.epoch):
            position.epoch, position.chunk, self.state = position.epoch + 1, 0, None
        window = position.window
        window.updates += 1
        window.predictions += targets.numel()
        window.nats += nats * targets.numel()
        window.norm += norm
        window.norm_max = max(window.norm_max, norm)
        window.clipped += 0 < options.clip < norm
        self.display.progress(self.progress(), self._words(nats))

    def _look(self) -> None:
        """Look through time at the chunk that comes next, if a look is due and the chunk whole."""
        position, monitor = self.position, self.monitor
        if not monitor.due(position.step, position.seconds):
            return
        inputs, targets = self.streams.batch(position.epoch, position.chunk)
        if len(inputs) < self.options.seq_len:
            return
        rows = some_rows(inputs.shape[1])
        inputs, targets = self.fabric.to_device((inputs[:, rows], targets[:, rows]))
        state = self.state and tuple(s[:, rows] for s in self.state)
        monitor.look(
            position.step,
            position.seconds,
            self.job.model,
            lambda: self.job.losses(self.job.model, inputs, targets, state),
        )

    def progress(self, ahead: int = 0) -> float:
        """Share of the training done, ``ahead`` more updates counted in."""
        position, limit = self.position, self.options.max_seconds
        by_steps = (position.step + ahead) / self.total if self.total else 0.0
        by_time = position.seconds / limit if limit else 0.0
        return min(1.0, max(by_steps, by_time))

    def _total_steps(self) -> int | None:
        """Updates until the limit on epochs or updates, whichever comes first."""
        limits = []
        if self.options.max_steps is not None:
            limits.append(self.options.max_steps)
        if self.options.epochs is not None:
            limits.append(sum(self.streams.count(e) for e in range(self.options.epochs)))
        return min(limits) if limits else None

    def _finished(self) -> bool:
        patience = self.options.patience
        early = patience is not None and self.position.strikes >= patience
        return early or self.progress() >= 1.0

    # Validation, log, checkpoint ------------------------------------------------------------

    def _validation_due(self) -> bool:
        position, every = self.position, self.options.val_every
        regular = position.step % every == 0 if every else position.chunk == 0
        return regular or self._finished()

    def averaged(self) -> AbstractContextManager[None]:
        """Within the block the model has the weights that are validated and kept as the best."""
        return nullcontext() if self.average is None else self.average.applied()

    def _validate(self) -> None:
        position = self.position
        self._check_weights()
        self.job.model.eval()
        with self.averaged():
            nats = self.job.validate()
            position.validated, position.val_nats = position.step, nats
            if nats is not None and not math.isfinite(nats):
                nats = math.inf  # worse than any
            if nats is None or position.best is None or nats < position.best:
                position.best, position.best_step, position.strikes = nats, position.step, 0
                record = {"step": position.step, "val_nats": nats}
                self._keep(self.folder.weights, self.job.model.state_dict(), record)
            else:
                position.strikes += 1
            sample = self.job.sample(self.options.sample_length)
        self.job.model.train()
        if sample is not None:
            self.best_effort(self.folder.samples, lambda: self._write_sample(sample))
        if nats is not None:
            self.fabric.log_dict(
                {"epoch": position.epoch, "seconds": position.seconds, "val_nats": nats},
                step=position.step,
            )
            self.display.note(
                f"step {position.step}  epoch {position.epoch}  "
                f"{format_duration(position.seconds)}  validation {nats:.4f} nats"
                + (" (best)" if position.best_step == position.step else "")
            )
        if self.on_validation is not None:
            self.on_validation()

    def _write_sample(self, sample: str) -> None:
        self.folder.samples.mkdir(exist_ok=True)
        path = self.folder.samples / f"{self.position.step:08d}.txt"
        self.folder.write(path, sample.encode())

    def _log(self) -> None:
        position, window = self.position, self.position.window
        row = {
            "epoch": position.epoch,
            "seconds": position.seconds,
            "train_nats": window.nats / window.predictions,
            "lr": self.optimizer.param_groups[0]["lr"],
            "grad_norm": window.norm / window.updates,
            "grad_norm_max": window.norm_max,
            "clipped": window.clipped / window.updates,
            "per_second": window.predictions / max(window.seconds, 1e-9),
        }
        self.fabric.log_dict(row, step=position.step)
        for words in self.advisor.row({"step": position.step, **row}):
            self.display.note(f"warning: {words}")
        position.window = Window()

    def _words(self, nats: float) -> str:
        position, window = self.position, self.position.window
        speed = window.predictions / window.seconds if window.seconds else 0.0
        of = f"/{self.total}" if self.total else ""
        best = "" if position.best is None else f"  best {position.best:.4f}"
        rate = f"  {speed:,.0f}/s" if speed else ""
        return f"step {position.step}{of}  loss {nats:.4f}{best}{rate}"

    def _save(self) -> None:
        """Write the checkpoint.

        Raises:
            UserError: A weight is not finite, the checkpoint cannot be written, or the run is not
                this process's own any more; the checkpoint before stays.
        """
        self._check_weights()
        moments, values = ckpt.optimizer_state(self.optimizer.optimizer)
        tensors = (
            ckpt.over("model", self.job.model.state_dict())
            | ckpt.over("optimizer", moments)
            | ckpt.over("random", ckpt.random_state())
            | ckpt.over("state", self.state or ())
            | (ckpt.over("average", self.average.state()) if self.average else {})
        )
        record = {"position": asdict(self.position), "optimizer": values}
        self._keep(self.folder.checkpoint, tensors, record)

    def _keep(self, path: Path, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Write what the run cannot do without."""
        try:
            ckpt.write_tensors(path, tensors, record, self.folder.write)
        except OSError as error:
            raise self._stopped(f"{path}: {reason(error)}") from error

    def _restore(self, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        """Go on from a checkpoint; the weights are loaded already."""
        device = self.fabric.device
        ckpt.load_optimizer(
            self.optimizer.optimizer, ckpt.under(tensors, "optimizer"), record["optimizer"]
        )
        state = ckpt.under(tensors, "state")
        self.state = tuple(state[str(i)].to(device) for i in range(len(state))) or None
        self.position = Position.from_record(record["position"])
        if self.position.chunk >= self.streams.count(self.position.epoch):
            raise ValueError(f"position: there is no chunk {self.position.chunk}")
        self._try_state()
        if self.average is not None:
            average = ckpt.under(tensors, "average")
            # A run extended with --ema switched on begins to average here.
            self.average.load(average or dict(self.job.model.named_parameters()))
        ckpt.load_random_state(ckpt.under(tensors, "random"))

    def _try_state(self) -> None:
        """Run the model on one step from the state; it raises if it does not fit."""
        inputs, targets = self.streams.batch(0, 0)
        inputs, targets = self.fabric.to_device((inputs[:1], targets[:1]))
        with torch.no_grad():
            self.job.loss(self.model, inputs, targets, self.state)

    def _check_weights(self) -> None:
        # A finite gradient can still make an update overflow; what is kept must be finite.
        name = first_nonfinite_parameter(self.job.model)
        if name is not None:
            self._stop(f"the weight '{name}' is no longer finite")

    # Guards ---------------------------------------------------------------------------------

    def _stop_nonfinite(
        self, nats: float, norm: float, inputs: Tensor, targets: Tensor, state: State | None
    ) -> NoReturn:
        what = f"the loss is {nats}" if not math.isfinite(nats) else f"the gradient norm is {norm}"
        where = diagnose(
            self.job.model, state, lambda: self.job.loss(self.model, inputs, targets, state)
        )
        self._stop(f"{what}; the first value that is not finite: {where}")

    def _stop(self, why: str) -> NoReturn:
        raise self._stopped(f"{why}; a lower --lr or --clip may help")

    def _stopped(self, why: str) -> UserError:
        kept = self.folder.checkpoint
        rest = f"the last good checkpoint is {kept}" if kept.exists() else "no checkpoint yet"
        step = self.position.step + 1
        return UserError(f"stopped at step {step}: {why}; {rest}", code=RUNTIME)
