"""A forecaster in training: its windows, its loss, its validation and the final evaluation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unrolled.tasks.limits import limited
from unrolled.tasks.recurrent import keep_cell
from unrolled.training.batches import Buckets, Indices
from unrolled.training.processes import Processes
from unrolled.training.run_folder.folder import RunFolder
from unrolled.training.task import Evaluation, Loss, Metric

from .conformal import Calibration
from .data import open_data, prepare_data
from .evaluation import Judge, evaluate
from .heads import OBJECTIVES, Head
from .linear import LinearMap
from .network import forecasts_of, network_of
from .options import ForecastOptions
from .windows import Batch, scaled

EPOCHS = (3, 60)
"""Fewest and most epochs where no limit is given."""
ROWS = 8
"""Rows of a batch that the lens looks at."""
SAMPLES = 3
"""Validation windows whose forecasts are kept as text along the way."""
LONGEST_SAMPLE = 12
"""Steps of these that are written."""


def prepare(options: ForecastOptions, draft: RunFolder) -> ForecastOptions:
    """Read the data; write plan, linear map and cache to a run's folder.

    Returns:
        The options to keep: they name the run's own copy of the user's own cell, and how many
        epochs to train if no limit was given.

    Raises:
        UserError: The data cannot be used, or an option does not fit it.
    """
    kept = replace(options, model=keep_cell(options.model, draft.path))
    windows = prepare_data(options, draft.path)
    return replace(kept, training=limited(kept.training, windows, *EPOCHS))


class OpenedForecaster:
    """A run of the forecasting task, open for training; see `unrolled.training.task.Opened`."""

    item = "window"

    def __init__(self, options: ForecastOptions, folder: RunFolder, processes: Processes) -> None:
        training = options.training
        self.options, self._processes = options, processes
        self._data = open_data(folder.path, options)
        self._plan = plan = self._data.plan
        self._linear = LinearMap.load(folder.path, plan)
        self.model = network_of(options, plan, self._linear, folder)
        self.objective = OBJECTIVES[training.loss]
        steps = " of the next step" if options.model.decode == "paths" else ""
        error = Metric("mae", f"absolute error{steps}, scaled", "lower")
        several = self.objective.name != error.name
        self.metrics = (self.objective, error) if several else (self.objective,)
        self.batches = Buckets(
            np.ones(len(self._data.train), np.int64),
            self._fetch,
            batch_size=training.batch_size,
            seed=training.seed,
            processes=processes,
        )
        self.usual_count = float(min(training.batch_size, len(self._data.train)))
        kind = "1 series" if len(plan.parts) == 1 else f"{len(plan.parts):,} series"
        self.description = (
            f"{kind}, a row every {plan.frequency}: {plan.horizon} steps from "
            f"{plan.history}; {len(self._data.train):,} windows to train on, "
            f"{len(self._data.validation):,} to validate, {len(self._data.test):,} to test"
        )

    def loss(self, model: nn.Module, batch: Batch, carry: Any) -> Loss:
        """Mean loss over the steps of the windows, in scaled units."""
        losses = self._head.loss(model(batch), batch.targets)
        return Loss(losses.mean(), batch.targets.shape[1])

    def step_losses(self, model: nn.Module, batch: Batch, carry: Any) -> Tensor:
        """Losses of a few windows, ``[1, rows]``: each the mean over its steps."""
        few = batch._replace(
            values=batch.values[:, :ROWS],
            features=batch.features[:, :ROWS],
            future=batch.future[:, :ROWS],
            static=batch.static[:ROWS],
            series=batch.series[:ROWS],
            targets=batch.targets[:, :ROWS],
        )
        losses = self._head.loss(model(few), few.targets)
        return losses.mean((0, 2)).unsqueeze(0)

    def validate(self) -> dict[str, float]:
        """Loss and mean absolute error on the validation windows."""
        count = len(self._data.validation)
        if not count:
            return {}
        mine = np.arange(count)[self._processes.rank :: self._processes.count]
        sums = np.zeros(3)
        for start in range(0, len(mine), 256):
            batch = self._data.validation.batch(mine[start : start + 256])
            losses, errors = self._errors(batch)
            sums += [float(losses.sum()), float(errors.sum()), float(losses.numel())]
        total = self._processes.sum(sums.tolist())
        found = {"mae": total[1] / total[2], self.objective.name: total[0] / total[2]}
        return {metric.name: found[metric.name] for metric in self.metrics}

    def sample(self) -> str | None:
        """Forecasts of a few validation windows beside what came, in scaled units."""
        validation = self._data.validation
        count = min(SAMPLES, len(validation))
        if not count:
            return None
        rows = np.linspace(0, len(validation) - 1, count).round().astype(np.int64)
        some = validation.at(validation.origins[rows])
        found, targets = forecasts_of(self.model, some), some.targets()
        lines = []
        for row, (which, origin) in enumerate(some.origins.tolist()):
            lines.append(f"{self._plan.parts[which].name}, row {origin + 1:,} (scaled)")
            for word, values in (("forecast", found.point[row]), ("value", targets[row])):
                steps = " ".join(f"{value:6.2f}" for value in values[:LONGEST_SAMPLE, 0])
                lines.append(f"  {word:8} {steps}")
        return "\n".join(lines)

    def conclude(self, folder: RunFolder) -> Evaluation:
        """Margins of the bands by the validation part, then the test part, which is read once."""
        data, plan = self._data, self._plan
        found = forecasts_of(self.model, data.validation)
        calibration = Calibration.fit(
            plan, found.quantiles, data.validation.targets(), data.validation.numbers()
        )
        calibration.save(folder)
        part, name = (data.test, "test") if len(data.test) else (data.validation, "validation")
        if not len(part):
            return Evaluation({}, notes=["There is no validation part and no test part."])
        if part is data.test:
            found = forecasts_of(self.model, part)
            note = "Measured on the test part, which nothing was chosen by."
        else:
            note = (
                "There is no test part: weights and bands were chosen on the windows that this was "
                "measured on, so the numbers are a little too good."
            )
        scales = [scaled(one, plan) for one in data.series]
        judge = Judge(
            self.options, plan, data.series, scales, part, found, calibration, self._linear
        )
        judged = evaluate(judge, prefix="test_" if name == "test" else "", notes=[note])
        return replace(judged, part=name)

    # Parts ----------------------------------------------------------------------------------

    @property
    def _head(self) -> Head:
        return self.model.head

    def _fetch(self, numbers: Indices, draw: np.random.Generator) -> Batch:
        return self._data.train.batch(numbers)

    @torch.no_grad()
    def _errors(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Losses and absolute errors of windows, ``[H, N, C]``."""
        was = self.model.training
        self.model.eval()
        try:
            moved = batch.like(next(self.model.parameters()))
            placed = self.model(moved)
            point = self._head.point(placed)
            return self._head.loss(placed, moved.targets), (point - moved.targets).abs()
        finally:
            self.model.train(was)
