"""A conditional random field on hand-made features, the cheap method beside a trained model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unrolled.errors import RUNTIME, UserError, reason
from unrolled.files import open_regular

from .crfsuite_file import check_model
from .data import SentenceStore, TagData
from .evaluation import score
from .handmade import features

PENALTIES = ((0.0, 0.1), (0.1, 0.01))
"""Penalties on absolute and on squared weights from which the validation part chooses; the first
without one."""

ITERATIONS = 100
"""Passes of the optimizer (L-BFGS) over the training data."""

LARGEST = 1 << 32
"""Bytes of a model file; its offsets reach no further."""

MANY = 2_000_000
"""Tokens of training data above which the penalties are not chosen but fixed."""


class Baseline:
    """A trained conditional random field.

    Args:
        path: Its model file; checked whole before the library reads it.
        tags: Tags that it may predict.
        character_level: Whether tokens are characters.

    Attributes:
        penalties: Penalties that it was trained with; None where it was read from a file.

    Raises:
        UserError: python-crfsuite is not installed, or the file is no model of it.
    """

    def __init__(self, path: Path, tags: Sequence[str], *, character_level: bool) -> None:
        self._tagger = _library().Tagger()
        self._character_level = character_level
        self.penalties: tuple[float, float] | None = None
        try:
            with open_regular(path, LARGEST) as file:
                self._content = file.read()  # the library keeps no copy
            check_model(self._content, tags)
            self._tagger.open_inmemory(self._content)
        except OSError as error:
            raise UserError(f"{path}: {reason(error)}") from error
        except ValueError as error:
            raise UserError(f"{path}: not a model of python-crfsuite: {error}") from error

    def predict(self, tokens: Sequence[str]) -> list[str]:
        """Tags of a sentence."""
        tags: list[str] = self._tagger.tag(features(tokens, self._character_level))
        return tags


def train_baseline(data: TagData, path: Path) -> Baseline:
    """Train on the training part, with penalties that do best on the validation part.

    Args:
        data: The data.
        path: Model file to write, in a folder of this process's own.

    Raises:
        UserError: python-crfsuite is not installed, or the model cannot be written.
    """
    library = _library()
    character_level = data.tags.unit == "character"
    trainer = library.Trainer(algorithm="lbfgs", verbose=False)
    for sentence in data.train:
        given = features(sentence.tokens, character_level)
        trainer.append(given, [data.tags.tags[number] for number in sentence.tags])
    choose = len(data.val) > 0 and int(data.train.lengths.sum()) <= MANY
    best: tuple[float, tuple[float, float]] | None = None
    trial = path.with_name(f".{path.name}.tmp")
    try:
        for penalties in PENALTIES if choose else PENALTIES[:1]:
            trainer.set_params(
                {
                    "c1": penalties[0],
                    "c2": penalties[1],
                    "max_iterations": ITERATIONS,
                    # runs of characters that occur once are the most, and would each take weights
                    "feature.minfreq": 2 if character_level else 0,
                    "feature.possible_transitions": True,
                }
            )
            trainer.train(str(trial))
            if not trial.is_file():
                raise UserError(f"{path}: the model cannot be written", code=RUNTIME)
            value = 0.0
            if choose:
                trained = Baseline(trial, data.tags.tags, character_level=character_level)
                value = _value(trained, data)
            if best is None or value > best[0]:
                best = value, penalties
                trial.replace(path)
    finally:
        trial.unlink(missing_ok=True)
    found = Baseline(path, data.tags.tags, character_level=character_level)
    found.penalties = best[1] if best else None
    return found


def _value(baseline: Baseline, data: TagData) -> float:
    """F1 of spans, or accuracy of plain tags, on the validation part."""
    return (
        score(*evaluated(baseline, data.val, data.tags.tags), data.tags.scheme, samples=0)
        .metrics["accuracy" if data.tags.scheme == "plain" else "f1"]
        .value
    )


def evaluated(
    baseline: Baseline, sentences: SentenceStore, tags: Sequence[str]
) -> tuple[list[Sequence[str]], list[list[str]], list[list[str]]]:
    """Tokens, true tags and the baseline's tags of some sentences."""
    tokens: list[Sequence[str]] = []
    true, predicted = [], []
    for sentence in sentences:
        tokens.append(sentence.tokens)
        true.append([tags[number] for number in sentence.tags])
        predicted.append(baseline.predict(sentence.tokens))
    return tokens, true, predicted


def _library() -> Any:
    """Python-crfsuite, imported when first used."""
    try:
        import pycrfsuite
    except ImportError as error:
        raise UserError(
            "the baseline of tagging needs python-crfsuite: pip install 'unrolled[baseline]'"
        ) from error
    return pycrfsuite
