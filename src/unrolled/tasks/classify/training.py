"""A classifier in training: its data, its loss, its validation and the final evaluation."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from unrolled import lens
from unrolled.errors import UserError
from unrolled.tasks import statistics
from unrolled.tasks.limits import limited
from unrolled.tasks.recurrent import keep_cell
from unrolled.training.batches import Buckets
from unrolled.training.processes import Processes
from unrolled.training.run_folder.folder import RunFolder
from unrolled.training.task import Evaluation, Loss, Section

from . import baseline as cheap
from . import report
from .baseline import Baseline, Value
from .calibration import Calibration, fit_calibration
from .data import Batch, Part, open_part
from .evaluation import evaluate
from .network import logits_of, network_of
from .options import ClassifyOptions
from .preparation import prepare_data
from .report import Shown
from .scoring import NATS, Scoring
from .text_encoder import TextEncoder

Array = npt.NDArray[np.float64]

EPOCHS = (6, 60)
"""Fewest and most epochs where no limit is given."""
ROWS = 8
"""Rows of a batch that the lens looks at."""
SAMPLES = 5
"""Items whose labels the model says at each validation."""
EXPLAINED = 3
"""Items whose steps the report explains."""
LONGEST_EXPLAINED = 150
"""Steps of such an item at most: each runs on the reference, step by step."""
_RAREST = 100.0
"""Weight of a rare label against its absence, at most."""


def prepare(options: ClassifyOptions, draft: RunFolder) -> ClassifyOptions:
    """Read the data; write encoding and cache to a run's folder.

    Returns:
        The options to keep: they name the run's own copy of the user's own cell, and how many
        epochs to train if no limit was given.

    Raises:
        UserError: The data cannot be used, or an option does not fit it.
    """
    kept = replace(options, model=keep_cell(options.model, draft.path))
    found = prepare_data(options.data, draft.path, seed=options.training.seed)
    labels = open_part(draft.path, "train").encoding.labels
    Scoring(labels, options.training)
    obstacle = cheap.obstacle(len(labels))
    if options.training.combine and obstacle is not None:
        raise UserError(f"--combine: {obstacle}")
    return replace(kept, training=limited(kept.training, found.items, *EPOCHS))


class OpenedClassifier:
    """A run of the classification task, open for training; see `unrolled.training.task.Opened`."""

    objective = NATS
    item = "item"

    def __init__(self, options: ClassifyOptions, folder: RunFolder, processes: Processes) -> None:
        training = options.training
        self.options, self._processes = options, processes
        self._train, self._validation = (
            open_part(folder.path, "train"),
            open_part(folder.path, "validation"),
        )
        self.encoding = self._train.encoding
        self.scoring = Scoring(self.encoding.labels, training)
        self.metrics = self.scoring.metrics
        self.model = network_of(options, self.encoding, folder)
        self.batches = Buckets(
            self._train.lengths,
            lambda indices, draw: self._train.batch(indices),
            batch_size=training.batch_size,
            seed=training.seed,
            processes=processes,
        )
        self.usual_count = float(min(training.batch_size, len(self._train)))
        self._weights = self._class_weights()
        kind = "texts" if self.encoding.kind == "text" else "series"
        self.description = (
            f"{len(self._train):,} {kind} to train on, {len(self._validation):,} to validate, "
            f"{self.scoring.classes} labels"
        )

    def loss(self, model: nn.Module, batch: Batch, carry: Any) -> Loss:
        """Mean loss of the items in nats; with several labels the mean over the labels."""
        inputs, lengths, targets = batch
        smoothing = self.options.training.label_smoothing
        losses = self._losses(model(inputs, lengths), targets, smoothing, weighted=True)
        return Loss(losses.mean(), len(lengths))

    def step_losses(self, model: nn.Module, batch: Batch, carry: Any) -> Tensor:
        """Losses of a few rows in nats, ``[1, rows]``, all cut to the shortest of them."""
        lengths = batch.lengths[:ROWS]
        shortest = int(lengths.min())
        logits = model(batch.inputs[:shortest, :ROWS], lengths.clamp(max=shortest))
        return self._losses(logits, batch.targets[:ROWS]).unsqueeze(0)

    def validate(self) -> dict[str, float]:
        """Metrics on the validation items."""
        count = len(self._validation)
        if not count:
            return {}
        order = np.argsort(-self._validation.lengths, kind="stable")
        mine = order[self._processes.rank :: self._processes.count]
        sums = np.zeros(3 * self.scoring.classes + 3)
        if len(mine):
            logits = self._logits(self._validation, mine)
            sums = self.scoring.counts(logits, self._validation.targets()[mine]).sum(0)
        return self.scoring.values(np.array(self._processes.sum(sums.tolist())))

    def sample(self) -> str | None:
        """A few validation items and what the model says about them."""
        count = min(SAMPLES, len(self._validation))
        if not count:
            return None
        draw = np.random.default_rng(self.options.training.seed)
        some = np.sort(draw.choice(len(self._validation), count, replace=False))
        logits = self._logits(self._validation, some)
        confidence, predicted = self.scoring.confidence(logits), self.scoring.predicted(logits)
        targets = self._validation.targets()[some]
        lines = []
        for row, number in enumerate(some):
            said, label = (report.names(self.scoring, one[row]) for one in (predicted, targets))
            mark = "right" if said == label else f"wrong, it is {label}"
            content = report.short(self._show(self._validation, int(number)).content)
            lines.append(f"{said} ({confidence[row]:.2f}, {mark}): {content}")
        return "\n".join(lines)

    def conclude(self, folder: RunFolder) -> Evaluation:
        """Temperature, intervals, cheap method, and the parts of the report."""
        training, validation = self.options.training, self._validation
        targets = validation.targets()
        method, obstacle = self._baseline()
        everything = np.arange(len(validation))
        logits = self._logits(validation, everything)
        base = None
        if method is not None:
            method.save(folder)
            base = method.logits(self._values(validation, everything))
        notes = [] if obstacle is None else [obstacle]
        if not len(validation):
            Calibration().save(folder)
            return Evaluation({}, notes=["There are no validation items.", *notes])
        calibration = fit_calibration(self.scoring, targets, logits, base, combine=training.combine)
        calibration.save(folder)
        notes.append(
            "Weights, temperature and cheap method were chosen on these items, so the numbers are "
            "a little too good; evaluate on items of their own tells."
        )
        return evaluate(
            self.scoring,
            calibration,
            targets,
            logits,
            base,
            lambda number: self._show(validation, number),
            combine=training.combine,
            method=method.description if method is not None else "",
            notes=notes,
            more=self._explained(logits, targets),
        )

    # Parts ----------------------------------------------------------------------------------

    def _class_weights(self) -> Tensor | None:
        """Weights of the labels, of mean 1 over the items; of each label's presence if several."""
        if self.options.training.class_weights == "none":
            return None
        counts = np.maximum(np.array(self.encoding.labels.counts, np.float64), 1)
        total = len(self._train)
        if self.scoring.several:
            weights = np.clip((total - counts) / counts, 1 / _RAREST, _RAREST)
        else:
            weights = total / (len(counts) * counts)
        return torch.as_tensor(weights, dtype=torch.float32, device="cpu")

    def _losses(
        self, logits: Tensor, targets: Tensor, smoothing: float = 0.0, *, weighted: bool = False
    ) -> Tensor:
        """Loss of each item in nats, ``[N]``."""
        weights = self._weights if weighted else None
        if weights is not None:
            weights = weights.to(logits)
        if not self.scoring.several:
            return functional.cross_entropy(
                logits, targets, weights, reduction="none", label_smoothing=smoothing
            )
        smooth = targets * (1 - smoothing) + smoothing / 2
        losses = functional.binary_cross_entropy_with_logits(
            logits, smooth, pos_weight=weights, reduction="none"
        )
        return losses.mean(-1)

    def _loss_of(self, target: Tensor, logits: Tensor) -> Tensor:
        return self._losses(logits, target).sum()

    def _logits(self, part: Part, numbers: npt.NDArray[np.int64]) -> Array:
        def fetch(some: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
            batch = part.batch(numbers[some])
            return batch.inputs, batch.lengths

        batch_size = max(64, self.options.training.batch_size)
        was = self.model.training
        self.model.eval()
        try:
            return logits_of(self.model, part.lengths[numbers], fetch, batch_size=batch_size)
        finally:
            self.model.train(was)

    def _baseline(self) -> tuple[Baseline | None, str | None]:
        """The cheap method, fitted; or why there is none."""
        training, classes = self.options.training, self.scoring.classes
        if not training.baseline:
            return None, None
        obstacle = cheap.obstacle(classes)
        if obstacle is not None:
            return None, obstacle
        some = np.array(cheap.some_of(self._train.lengths, training.seed), np.int64)
        validation = np.arange(len(self._validation))
        unseen = self._validation.targets()

        def score(logits: Array) -> float:
            values = self.scoring.values(self.scoring.counts(logits, unseen).sum(0))
            value = values[self.scoring.first.name]
            return value if self.scoring.first.better == "higher" else -value

        method = cheap.fit_baseline(
            self._values(self._train, some),
            self._train.targets()[some],
            classes,
            validation=self._values(self._validation, validation),
            score=score if len(validation) else None,
            balanced=training.class_weights == "balanced",
        )
        part = f"The cheap method was fitted on {len(some):,} of {len(self._train):,} items."
        return method, part if len(some) < len(self._train) else None

    def _values(self, part: Part, numbers: npt.NDArray[np.int64]) -> Sequence[Value]:
        """Texts, or values of series, by number."""
        if self.encoding.kind == "text":
            return [part.text(int(number)) or "" for number in numbers]
        found = [part.series(int(number)) for number in numbers]
        return [one for one in found if one is not None]

    def _show(self, part: Part, number: int) -> Shown:
        text = part.text(number)
        if text is None:
            text = f"{int(part.lengths[number]):,} steps"
        return Shown(part.place(number), text)

    def _explained(self, logits: Array, targets: npt.NDArray[Any]) -> list[Section]:
        """Influence of the steps of a few items: the most mistaken ones and some others.

        None where the lens was switched off.
        """
        if not self.options.training.lens_every:
            return []
        lengths = self._validation.lengths
        losses = statistics.nats(logits, targets)
        short = np.flatnonzero(lengths <= LONGEST_EXPLAINED)
        order = short[np.argsort(-losses[short], kind="stable")]
        half = EXPLAINED // 2
        picks = dict.fromkeys([*order[:half].tolist(), *short[:half].tolist()])
        device = next(self.model.parameters()).device
        items = []
        for number in picks:
            batch = self._validation.batch(np.array([number]))
            target = batch.targets.to(device)
            found = lens.influence(
                self.model,
                (batch.inputs.to(device), batch.lengths.to(device)),
                functools.partial(self._loss_of, target),
            )
            first = next(iter(found.strands)).removesuffix("_reverse")
            squares = [
                strand.inputs[0].square()
                for name, strand in found.strands.items()
                if name.removesuffix("_reverse") == first
            ]
            norms = torch.stack(squares).sum(0).sqrt().numpy()
            words: list[str] = []
            if isinstance(self.encoding.inputs, TextEncoder):
                words = self.encoding.inputs.words(self._validation.text(number) or "")
                words = [word.replace("\u2581", " ") for word in words]
            items.append((self._show(self._validation, number), words, norms))
        return [report.influences(items)] if items else []
