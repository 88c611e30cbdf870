"""A tagger in training: its data, its loss, its validation and the final evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unrolled.errors import UserError
from unrolled.training.batches import Buckets, Indices
from unrolled.training.processes import Processes
from unrolled.training.run_folder.folder import RunFolder
from unrolled.training.task import Evaluation, Loss, Metric

from .baseline import Baseline, train_baseline
from .data import TagData, open_data, prepare_data
from .decoding import Tagging
from .evaluation import score
from .model import Batch, Inputs, make_inputs, token_losses
from .network import make_decoder, read_forms, write_features
from .options import TagOptions
from .predictor import BASELINE
from .report import Predictions, evaluation
from .schemes import read_spans
from .swapping import SpanSwaps

NATS = Metric("nats", "nats per token", "lower")

SPAN_METRICS = (
    Metric("f1", "", "higher"),
    Metric("precision", "", "higher"),
    Metric("recall", "", "higher"),
)
PLAIN_METRICS = (Metric("accuracy", "", "higher"),)

ROWS = 8
"""Sentences of a batch that the lens looks at."""
SAMPLES = 2
"""Sentences that are shown tagged at each validation."""


def prepare(options: TagOptions, draft: RunFolder) -> TagOptions:
    """Read the data; write cache, features and vectors to a run's folder.

    Returns:
        The options to keep with the run.

    Raises:
        UserError: The data or the vectors cannot be used.
    """
    data = prepare_data(options.data, draft.cache, seed=options.training.seed)
    return write_features(options, data, draft)


class OpenedTagger:
    """A run of the tagging task, open for training; see `unrolled.training.task.Opened`."""

    objective = NATS
    item = "token"

    def __init__(self, options: TagOptions, folder: RunFolder, processes: Processes) -> None:
        training = options.training
        self.options, self._processes = options, processes
        self.data: TagData = open_data(folder.cache)
        self.decoder = make_decoder(options, folder)
        self.model, self.tags = self.decoder.model, self.decoder.tags
        if self.tags != self.data.tags:
            raise UserError(f"{folder.path}: corrupt: model and cache have different tags")
        self.metrics = PLAIN_METRICS if self.tags.scheme == "plain" else SPAN_METRICS
        self.batches = Buckets(
            self.data.train.lengths,
            self._fetch,
            batch_size=training.batch_size,
            seed=training.seed,
            processes=processes,
        )
        self._swaps: SpanSwaps | None = None
        if training.swap_spans and self.tags.scheme != "plain":
            tagged = ((one.tokens, self._names(one.tags)) for one in self.data.train)
            self._swaps = SpanSwaps(tagged, training.swap_spans)
        sentences = len(self.data.train)
        mean = float(self.data.train.lengths.mean())
        self.usual_count = mean * min(training.batch_size, sentences)
        kinds = len(self.tags.types)
        self.description = (
            f"{sentences:,} sentences to train on, {len(self.data.val):,} to validate, "
            f"{kinds} {'tags' if self.tags.scheme == 'plain' else 'types of spans'}"
        )

    def loss(self, model: nn.Module, batch: Batch, carry: Any) -> Loss:
        """Mean loss in nats per token: of whole sequences, or of each token by itself."""
        losses = model(batch.inputs, batch.tags)
        count = int(batch.inputs.lengths.sum())
        return Loss(losses.sum() / max(1, count), count)

    def step_losses(self, model: nn.Module, batch: Batch, carry: Any) -> Tensor:
        """Cross-entropy of each token in nats by its own scores, ``[T, rows]``.

        Rows are cut to the shortest of them.
        """
        inputs, lengths = batch.inputs, batch.inputs.lengths[:ROWS]
        shortest = int(lengths.min())
        rows = len(lengths)
        some = inputs._replace(
            places=inputs.places[:shortest, :rows],
            ngrams=inputs.ngrams[:shortest, :rows],
            sparse=inputs.sparse[:shortest, :rows],
            states=inputs.states[:shortest, :rows],
            lengths=lengths.clamp(max=shortest),
        )
        return token_losses(model(some), batch.tags[:shortest, :rows], some.lengths)

    def validate(self) -> dict[str, float]:
        """Metrics on the validation sentences."""
        val = self.data.val
        if not len(val):
            return {}
        mine = range(self._processes.rank, len(val), self._processes.count)
        rows: list[tuple[Sequence[str], list[str], list[str]]] = []
        for part in _blocks(mine):
            some = [val[number] for number in part]
            taggings = self.decoder.decode(one.tokens for one in some)
            rows += [
                (one.tokens, self._names(one.tags), tagging.tags)
                for one, tagging in zip(some, taggings, strict=True)
            ]
        every = [row for rows in self._processes.gather(rows) for row in rows]
        tokens, true, predicted = zip(*every, strict=True)
        found = score(tokens, true, predicted, self.tags.scheme, samples=0)
        return {metric.name: found.metrics[metric.name].value for metric in self.metrics}

    def sample(self) -> str | None:
        """Two validation sentences with what the model finds in them."""
        part = self.data.val if len(self.data.val) else self.data.train
        draw = np.random.default_rng(self.options.training.seed)
        numbers = draw.choice(len(part), min(SAMPLES, len(part)), replace=False)
        some = [part[int(number)] for number in numbers]
        taggings = self.decoder.decode(one.tokens for one in some)
        return "\n".join(
            _marked(one.tokens, tagging.tags, self.tags.scheme, self.tags.unit)
            for one, tagging in zip(some, taggings, strict=True)
        )

    def conclude(self, folder: RunFolder) -> Evaluation:
        """Scores with intervals, the cheap method, and the parts of the report."""
        notes: list[str] = []
        method: Baseline | None = None
        if self.options.training.baseline:
            try:
                method = train_baseline(self.data, folder.path / BASELINE)
            except UserError as error:
                notes.append(f"Without the cheap method: {error}.")
        if not len(self.data.val):
            return Evaluation({}, notes=["There are no validation sentences.", *notes])
        val = list(self.data.val)
        tokens = [one.tokens for one in val]
        taggings: list[Tagging] = list(self.decoder.decode(tokens, confidence=True))
        cheap = None if method is None else [method.predict(one) for one in tokens]
        notes.append(
            "The best weights and the cheap method's penalties were chosen on these sentences, so "
            "the numbers are a little too good; evaluate on files of their own tells."
        )
        true = [self._names(one.tags) for one in val]
        found = Predictions(tokens, true, taggings, [one.place for one in val])
        return evaluation(found, self.tags, read_forms(folder), cheap, notes)

    # Parts ----------------------------------------------------------------------------------

    def _fetch(self, numbers: Indices, draw: np.random.Generator) -> Batch:
        some: list[tuple[Sequence[str], Sequence[str]]] = []
        for number in numbers:
            one = self.data.train[int(number)]
            names = self._names(one.tags)
            if self._swaps is None:
                some.append((one.tokens, names))
            else:
                some.append(self._swaps.swapped(one.tokens, names, draw))
        inputs: Inputs = make_inputs(
            self.decoder.features, [tokens for tokens, _ in some], self.decoder.language_model
        )
        tags = np.zeros(inputs.places.shape, np.int64)
        for n, (_, given) in enumerate(some):
            tags[: len(given), n] = self.decoder.labels.encode(given)
        return Batch(inputs, torch.from_numpy(tags))

    def _names(self, numbers: Sequence[int]) -> list[str]:
        return [self.tags.tags[number] for number in numbers]


def _blocks(numbers: range, size: int = 1024) -> list[range]:
    """Numbers in parts of a bounded size."""
    cuts = [*range(0, len(numbers), size), len(numbers)]
    return [numbers[a:b] for a, b in pairwise(cuts)]


def _marked(tokens: Sequence[str], tags: Sequence[str], scheme: str, unit: str) -> str:
    """A sentence with its spans in brackets, or each word with its tag."""
    glue = "" if unit == "character" else " "
    if scheme == "plain":
        return glue.join(f"{token}/{tag}" for token, tag in zip(tokens, tags, strict=True))
    pieces: list[str] = []
    last = 0
    for span in read_spans(tags, "iob2"):
        pieces += tokens[last : span.start]
        pieces.append(f"[{span.label} {glue.join(tokens[span.start : span.end])}]")
        last = span.end
    return glue.join([*pieces, *tokens[last:]])
