"""A model of text in training: its data, its loss, its validation and the final evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from unrolled.errors import UserError
from unrolled.tasks.recurrent import cell_class, keep_cell
from unrolled.tasks.text.beside import Beside, keep_beside, recorded_score
from unrolled.tasks.text.comparison import Comparison
from unrolled.tasks.text.corpus import TEST, TRAIN, VALIDATION, Corpus, Part, open_parts
from unrolled.tasks.text.generate import generate
from unrolled.tasks.text.model import State, TextModel, build_model, check_model
from unrolled.tasks.text.options import TextOptions
from unrolled.tasks.text.predictor import evaluation, score_part
from unrolled.tasks.text.score import default_streams
from unrolled.tasks.text.tokens import Vocabulary, open_vocabulary
from unrolled.tasks.text.verdict import compared
from unrolled.training.batches import Streams
from unrolled.training.probe.monitor import some_rows
from unrolled.training.processes import Processes
from unrolled.training.run_folder.folder import RunFolder
from unrolled.training.task import Evaluation, Loss, Metric

NATS = Metric("nats", "nats per character", "lower")
"""What can be compared whatever the tokens are."""


def objective_of(vocabulary: Vocabulary) -> Metric:
    """What the loss is: nats per token."""
    unit = vocabulary.unit
    return NATS if unit == "character" else Metric(f"nats_per_{unit}", f"nats per {unit}", "lower")


def prepare(options: TextOptions, draft: RunFolder) -> TextOptions:
    """Write vocabulary and tokens to a run's folder.

    Returns:
        The options to keep: they name the user's own cell as the run holds it.

    Raises:
        UserError: The text cannot be read, or is too short; a tokenizer cannot be used.
    """
    text = Corpus(options.data)
    if options.data.tokens == "characters":
        _check_lengths(options, text.lengths, "character")
    vocabulary = text.vocabulary()
    if options.model.adaptive_softmax and not vocabulary.by_frequency:
        raise UserError(
            "--adaptive-softmax: expected tokens in order of frequency, got characters, which are "
            "in order of code point"
        )
    model = keep_cell(options.model, draft.path)
    check_model(model, len(vocabulary), cell_class(model, draft.path))
    draft.cache.mkdir()
    text.write(vocabulary, draft.cache)
    vocabulary.save(draft.path / vocabulary.file)
    parts = open_parts(draft.cache, vocabulary)
    _check_lengths(options, _lengths(parts), vocabulary.unit)
    keep_beside(options.training, draft, vocabulary, parts)
    return replace(options, model=model)


def _lengths(parts: Mapping[str, Part]) -> dict[str, int]:
    return {name: len(part.tokens) for name, part in parts.items()}


def _check_lengths(options: TextOptions, lengths: Mapping[str, int], unit: str) -> None:
    """Refuse parts that are too short.

    Args:
        options: Options of the run.
        lengths: Tokens of each part that there is.
        unit: One token in a word.
    """
    data, training = options.data, options.training
    need, train = training.batch_size * training.seq_len + 1, lengths.get(TRAIN, 0)
    if train < need:
        name = next(iter(data.data), "data")
        raise UserError(
            f"{name}: text too short: --batch-size {training.batch_size} × "
            f"--seq-len {training.seq_len} needs {need} {unit}s to train on, got {train}"
        )
    wanted = {
        VALIDATION: (data.val_data or data.val_fraction > 0, "validation", "--val-fraction 0"),
        TEST: (data.test_data or data.test_fraction > 0, "a test", "--test-fraction 0"),
    }
    for part, (asked, words, without) in wanted.items():
        if asked and lengths.get(part, 0) < 2:
            raise UserError(
                f"text too short: {words} needs 2 {unit}s, got {lengths.get(part, 0)}; "
                f"{without} trains without"
            )


class OpenedText:
    """A run of the text task, open for training; see `unrolled.training.task.Opened`."""

    def __init__(self, options: TextOptions, folder: RunFolder, processes: Processes) -> None:
        training = options.training
        self.vocabulary = vocabulary = open_vocabulary(options.data.tokens, folder.path)
        self._parts = parts = open_parts(folder.cache, vocabulary)
        _check_lengths(options, lengths := _lengths(parts), vocabulary.unit)
        self.objective, self.item = objective_of(vocabulary), vocabulary.unit
        self.metrics = tuple(dict.fromkeys([NATS, self.objective]))
        self.model = build_model(options.model, len(vocabulary), folder.path)
        self.batches = Streams(
            parts[TRAIN].tokens,
            batch_size=training.batch_size,
            seq_len=training.seq_len,
            random_boundaries=training.random_boundaries,
            seed=training.seed,
            processes=processes,
        )
        self.usual_count = float(training.batch_size * training.seq_len)
        tested = f"{lengths[TEST]:,} to test, " if TEST in parts else ""
        self.description = (
            f"{lengths[TRAIN]:,} {self.item}s to train on, "
            f"{lengths.get(VALIDATION, 0):,} to validate, {tested}"
            f"{len(vocabulary) - (vocabulary.unknown is not None)} different"
        )
        self._processes, self._training = processes, training

    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor], carry: State | None) -> Loss:
        """Mean nats of the tokens, and the state after the chunk."""
        inputs, targets = batch
        mean, after = model(inputs, carry, targets)
        return Loss(mean, targets.numel(), after)

    def step_losses(
        self, model: TextModel, batch: tuple[Tensor, Tensor], carry: State | None
    ) -> Tensor | None:
        """Nats of each token of a few rows of a whole chunk, ``[T, rows]``."""
        inputs, targets = batch
        if len(inputs) < self.batches.seq_len:
            return None
        rows = some_rows(inputs.shape[1])
        state = carry and tuple(part[:, rows] for part in carry)
        return model.nats(inputs[:, rows], targets[:, rows], state)[0]

    def validate(self) -> dict[str, float]:
        """Nats per character and token, over as many streams as are trained: near the exact."""
        if VALIDATION not in self._parts:
            return {}
        found = score_part(
            self.model,
            self._parts[VALIDATION],
            self.vocabulary,
            streams=self.batches.batch_size,
            warm_up=128,
            device=self._device,
            processes=self._processes,
        )
        return {NATS.name: found.nats, self.objective.name: found.nats_per_token}

    def sample(self) -> str | None:
        """Text that the model writes."""
        if self._training.sample_length == 0:
            return None
        characters = generate(
            self.model,
            self.vocabulary,
            "",
            length=self._training.sample_length,
            temperature=0.8,
            device=self._device,
        )
        return "".join(characters)

    def conclude(self, folder: RunFolder) -> Evaluation:
        """The score of the validation part, each token from all before it; of the test part, too.

        Beside the network stand the n-gram model and both together, whose weights are found on the
        validation part. Where there is a test part the metrics are its own, and the network's nats
        on all parts stand side by side in a sentence, those of the training part on a beginning of
        the same length.
        """
        beside = Beside.load(self._training, folder, self.vocabulary)
        found: dict[str, Comparison] = {}
        for name in (VALIDATION, TEST):
            if (part := self._parts.get(name)) is None:
                continue
            streams = default_streams(len(part.tokens))
            with recorded_score(
                self.model, part, self.vocabulary, streams=streams, device=self._device
            ) as (network, recorded):
                if name == VALIDATION:
                    beside = beside.fitted(recorded, part.tokens, folder)
                found[name] = beside.compare(network, recorded, part.tokens)
        if not found:
            return Evaluation({})
        told_of, prefix = (TEST, "test_") if TEST in found else (VALIDATION, "")
        last = found[told_of]
        told = evaluation(last.scores[last.used], self.vocabulary, prefix=prefix)
        told = compared(told, last, self.vocabulary.unit)
        limits = beside.limits(len(self._parts[TRAIN].tokens), self._training, chosen=not prefix)
        sides = [self._sides(found)] if prefix else []
        return replace(told, part=told_of, notes=[*sides, *told.notes, *limits])

    def _sides(self, found: Mapping[str, Comparison]) -> str:
        """The network's nats on all parts in a sentence."""
        nats = {name: one.scores["network"].nats for name, one in found.items()}
        longest = max(len(self._parts[name].tokens) for name in found)
        beginning = self._parts[TRAIN].beginning(longest)
        streams = default_streams(len(beginning.tokens))
        nats[TRAIN] = score_part(
            self.model, beginning, self.vocabulary, streams=streams, device=self._device
        ).nats
        listed = ", ".join(
            f"{words} {nats[name]:.4f}"
            for name, words in ((TRAIN, "training"), (VALIDATION, "validation"), (TEST, "test"))
            if name in nats
        )
        whose = " of the network alone" if self._training.combine else ""
        return f"nats per character{whose}: {listed} (of the training part a beginning as long)"

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device
