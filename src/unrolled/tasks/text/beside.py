"""What a run keeps beside its network: the n-gram model, their weights, the training text's lines.

They are made of the run's tokens before the training, but for the weights, which need the trained
network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from unrolled.errors import UserError
from unrolled.tasks.text import baseline as cheap
from unrolled.tasks.text.comparison import Comparison, Methods, Recorded, compare, fit_mixture
from unrolled.tasks.text.corpus import TRAIN, VALIDATION, Part
from unrolled.tasks.text.kneser_ney.model import KneserNey
from unrolled.tasks.text.lines import NAME, KnownLines
from unrolled.tasks.text.mixture import Mixture
from unrolled.tasks.text.options import TextTraining
from unrolled.tasks.text.score import Reader, Score, predictions, score_of
from unrolled.tasks.text.tokens import Vocabulary
from unrolled.training.run_folder.folder import RunFolder

Tokens = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Beside:
    """What stands beside the network.

    Attributes:
        baseline: The n-gram model, if the run has one.
        mixture: Weights of network and n-gram model, if they were found.
        lines: Lines of the training text, if the run knows them.
        combine: Whether network and n-gram model are used together.
    """

    baseline: KneserNey | None = None
    mixture: Mixture | None = None
    lines: KnownLines | None = None
    combine: bool = False

    @classmethod
    def load(
        cls,
        training: TextTraining,
        folder: RunFolder,
        vocabulary: Vocabulary,
        *,
        baseline: bool = True,
    ) -> Beside:
        """Read it from a run.

        Args:
            training: Options of the run's training.
            folder: The run.
            vocabulary: Its tokens.
            baseline: Whether the n-gram model is asked for, if it is not needed.

        Raises:
            UserError: A file is corrupt, or the n-gram model is missing and both are to be used.
        """
        lines = KnownLines.load(folder, _line_ends(vocabulary))
        if not (baseline or training.combine):
            return cls(lines=lines)
        model = cheap.load_baseline(folder, len(vocabulary))
        if model is None and training.combine:
            raise UserError(f"{folder.path / cheap.NAME}: no such file; --combine needs it")
        mixture = Mixture.load(folder, model.order) if model is not None else None
        return cls(model, mixture, lines, training.combine)

    def limits(self, trained: int, training: TextTraining, *, chosen: bool) -> list[str]:
        """Sentences on what the n-gram model leaves out of a long text, and on what was chosen.

        Args:
            trained: Tokens of the training text.
            training: Options of the training.
            chosen: Whether the evaluation is of the text on which everything was chosen.
        """
        if self.baseline is None:
            return []
        order, counted = training.order, min(trained, cheap.MOST_TOKENS)
        notes = []
        if chosen:
            notes.append(
                "The network's weights, the cheap method's order and the weights of both together "
                "were chosen on this text, so the numbers are a little too good; evaluate on a "
                "text of its own tells."
            )
        if trained > counted:
            notes.append(
                f"The cheap method counts the last {counted:,} of {trained:,} tokens to train on."
            )
        if order is not None and self.baseline.order < order:
            notes.append(
                f"The cheap method has n-grams of up to {self.baseline.order} tokens: --order "
                f"{order} is too much for a text of {counted:,}."
            )
        return notes

    def fitted(self, recorded: Recorded, tokens: Tokens, folder: RunFolder) -> Beside:
        """The same with the weights that are best for a text, which are kept with the run.

        Raises:
            OSError: They cannot be written.
        """
        if self.baseline is None:
            return self
        mixture = fit_mixture(recorded, tokens, self.baseline)
        mixture.save(folder)
        return replace(self, mixture=mixture)

    def methods(self, recorded: Recorded, tokens: Tokens) -> Methods:
        """Nats of the tokens of a text by each method."""
        return Methods(recorded, tokens, self.baseline, self.mixture)

    def compare(self, network: Score, recorded: Recorded, tokens: Tokens) -> Comparison:
        """Scores of all methods on a text, and of known and new lines."""
        methods = self.methods(recorded, tokens)
        return compare(network, methods, tokens, self.lines, combine=self.combine)


def keep_beside(
    training: TextTraining, draft: RunFolder, vocabulary: Vocabulary, parts: Mapping[str, Part]
) -> None:
    """Write n-gram model and lines to a run that is being set up.

    Args:
        training: Options of the training.
        draft: The run.
        vocabulary: Its tokens.
        parts: Its text.

    Raises:
        UserError: Both models are to be used together, and nothing tells their weights.
        OSError: They cannot be written.
    """
    train, validation = parts[TRAIN].tokens, parts.get(VALIDATION)
    if training.combine and validation is None:
        raise UserError(
            "--combine: the weights of both are found on a validation text, but there is none"
        )
    if training.baseline:
        held = validation.tokens if validation is not None else None
        model = cheap.fit_baseline(train, held, len(vocabulary), training.order)
        cheap.save_baseline(model, draft)
    lines = KnownLines.of(train, _line_ends(vocabulary))
    if lines is not None:
        lines.save(draft.path / NAME)


@contextmanager
def recorded_score(
    model: Reader,
    part: Part,
    vocabulary: Vocabulary,
    *,
    streams: int,
    device: torch.device | str,
    chunk: int | None = None,
) -> Iterator[tuple[Score, Recorded]]:
    """A network's score of a part of a text and its nats of every token; see `score.score`."""
    tokens = part.tokens
    with Recorded() as recorded:
        blocks = predictions(model, tokens, streams=streams, device=device, chunk=chunk)
        score = score_of(
            recorded.through(blocks),
            tokens,
            streams=streams,
            characters=part.characters,
            unknown=vocabulary.unknown,
        )
        yield score, recorded


def _line_ends(vocabulary: Vocabulary) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether each token of a vocabulary ends a line."""
    return np.array([vocabulary.decode(one).endswith("\n") for one in range(len(vocabulary))])
