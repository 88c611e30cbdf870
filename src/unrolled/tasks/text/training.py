"""A character model in training: its data, its loss and its validation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unrolled.errors import UserError
from unrolled.tasks.recurrent import cell_class, keep_cell
from unrolled.tasks.text import corpus
from unrolled.tasks.text.generate import generate
from unrolled.tasks.text.model import State, TextModel, build_model, check_model
from unrolled.tasks.text.options import TextOptions
from unrolled.tasks.text.predictor import evaluation
from unrolled.tasks.text.score import default_streams, score
from unrolled.tasks.text.vocabulary import Vocabulary
from unrolled.training.batches import Streams
from unrolled.training.probe.monitor import some_rows
from unrolled.training.processes import Processes
from unrolled.training.run_folder.folder import RunFolder
from unrolled.training.task import Evaluation, Loss, Metric

Tokens = np.ndarray[Any, np.dtype[Any]]

NATS = Metric("nats", "nats per character", "lower")


def prepare(options: TextOptions, draft: RunFolder) -> TextOptions:
    """Write vocabulary and tokens to a run's folder.

    Returns:
        The options to keep: they name the user's own cell as the run holds it.

    Raises:
        UserError: The text cannot be read, or is too short.
    """
    files = [Path(name) for name in options.data.data]
    found = corpus.count(files)
    val_files = [Path(name) for name in options.data.val_data]
    if val_files:
        train_length, val_length = found.length, corpus.count(val_files).length
    else:
        train_length = int(found.length * (1 - options.data.val_fraction))
        val_length = found.length - train_length
    _check_lengths(options, train_length, val_length)

    vocabulary = Vocabulary(found.characters)
    if options.model.adaptive_softmax and not vocabulary.by_frequency:
        raise UserError(
            "--adaptive-softmax: expected tokens in order of frequency, got characters, which are "
            "in order of code point"
        )
    model = keep_cell(options.model, draft.path)
    check_model(model, len(vocabulary), cell_class(model, draft.path))
    draft.cache.mkdir()
    train, validation = draft.cache / "train.npy", draft.cache / "validation.npy"
    if val_files:
        corpus.write_tokens(files, vocabulary, [(train, train_length)])
        corpus.write_tokens(val_files, vocabulary, [(validation, val_length)])
    elif val_length:
        parts = [(train, train_length), (validation, val_length)]
        corpus.write_tokens(files, vocabulary, parts)
    else:
        corpus.write_tokens(files, vocabulary, [(train, train_length)])
    vocabulary.save(draft.path / "vocabulary.json")
    return replace(options, model=model)


def _check_lengths(options: TextOptions, train: int, validation: int) -> None:
    training = options.training
    need = training.batch_size * training.seq_len + 1
    if train < need:
        name = next(iter(options.data.data), "data")
        raise UserError(
            f"{name}: text too short: --batch-size {training.batch_size} × "
            f"--seq-len {training.seq_len} needs {need} characters to train on, got {train}"
        )
    wanted = bool(options.data.val_data) or options.data.val_fraction > 0
    if wanted and validation < 2:
        raise UserError(
            f"text too short: validation needs 2 characters, got {validation}; "
            "--val-fraction 0 trains without"
        )


class OpenedText:
    """A run of the text task, open for training; see `unrolled.training.task.Opened`."""

    objective = NATS
    metrics = (NATS,)
    item = "character"

    def __init__(self, options: TextOptions, folder: RunFolder, processes: Processes) -> None:
        training = options.training
        self.vocabulary = Vocabulary.load(folder.path / "vocabulary.json")
        tokens = corpus.open_tokens(folder.cache / "train.npy", self.vocabulary)
        self._validation: Tokens | None = None
        if (folder.cache / "validation.npy").exists():
            self._validation = corpus.open_tokens(folder.cache / "validation.npy", self.vocabulary)
        unseen = 0 if self._validation is None else len(self._validation)
        _check_lengths(options, len(tokens), unseen)
        self.model = build_model(options.model, len(self.vocabulary), folder.path)
        self.batches = Streams(
            tokens,
            batch_size=training.batch_size,
            seq_len=training.seq_len,
            random_boundaries=training.random_boundaries,
            seed=training.seed,
            processes=processes,
        )
        self.usual_count = float(training.batch_size * training.seq_len)
        self.description = (
            f"{len(tokens):,} characters to train on, {unseen:,} to validate, "
            f"{len(self.vocabulary) - 1} different"
        )
        self._processes, self._sample_length = processes, training.sample_length

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
        """Nats per character, over as many streams as are trained: quick, and near the exact."""
        if self._validation is None:
            return {}
        found = score(
            self.model,
            self._validation,
            streams=self.batches.batch_size,
            warm_up=128,
            device=self._device,
            processes=self._processes,
        )
        return {"nats": found.nats}

    def sample(self) -> str | None:
        """Text that the model writes."""
        if self._sample_length == 0:
            return None
        known = self.vocabulary.characters
        characters = generate(
            self.model,
            self.vocabulary,
            "\n" if "\n" in known else known[0],
            length=self._sample_length,
            temperature=0.8,
            device=self._device,
        )
        return "".join(characters)

    def conclude(self, folder: RunFolder) -> Evaluation:
        """The score of all validation characters, each from all before it."""
        if self._validation is None:
            return Evaluation({})
        length = len(self._validation)
        return evaluation(
            score(
                self.model,
                self._validation,
                streams=default_streams(length),
                device=self._device,
            )
        )

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device
