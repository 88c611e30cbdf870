"""Scores of predicted tags: spans, types, tokens, and spans that training never showed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from unrolled.training.task import Estimate

from .data import Tagged
from .schemes import Scheme


class Counts(NamedTuple):
    """Spans counted; one is right where start, end and type are.

    Attributes:
        right: Predicted spans that are right.
        predicted: Predicted spans.
        true: Spans of the data.
    """

    right: int
    predicted: int
    true: int

    @property
    def precision(self) -> float:
        """Share of the predicted spans that are right; 0 where there are none."""
        raise NotImplementedError

    @property
    def recall(self) -> float:
        """Share of the true spans that were predicted; 0 where there are none."""
        raise NotImplementedError

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        raise NotImplementedError


@dataclass(frozen=True)
class Scores:
    """Scores of predicted tags.

    Attributes:
        metrics: By name, each with its interval: ``f1``, ``precision``, ``recall``, ``f1_unseen``
            (spans whose tokens are no span of the training data), ``accuracy`` of tokens; of
            plain tags ``accuracy``, ``accuracy_unseen`` (tokens that training never showed) and
            ``f1_macro``.
        types: Counts of each type, or of each plain tag.
        unseen: Counts of unseen spans; of plain tags, of unseen tokens.
        confusion: Tokens by true and predicted tag, ``(true, predicted)``.
    """

    metrics: dict[str, Estimate]
    types: dict[str, Counts]
    unseen: Counts
    confusion: dict[tuple[str, str], int]


def forms(sentences: Iterable[Tagged], tags: Sequence[str], scheme: Scheme) -> set[str]:
    """Surface forms of all spans, their tokens joined by spaces; of plain tags, all tokens."""
    raise NotImplementedError


def score(
    sentences: Sequence[Sequence[str]],
    true: Sequence[Sequence[str]],
    predicted: Sequence[Sequence[str]],
    scheme: Scheme,
    *,
    known: Collection[str] = (),
    samples: int = 1000,
    seed: int = 0,
) -> Scores:
    """Scores of predicted tags with intervals of a bootstrap over sentences.

    Args:
        sentences: Tokens of each sentence.
        true: Their tags.
        predicted: Predicted tags, as many.
        scheme: Scheme of both.
        known: Forms of the training data, of `forms`.
        samples: Samples of the bootstrap; 0 for no intervals.
        seed: Its seed.
    """
    raise NotImplementedError


def compare(
    true: Sequence[Sequence[str]],
    first: Sequence[Sequence[str]],
    second: Sequence[Sequence[str]],
    scheme: Scheme,
    *,
    samples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """How much better the second system is, by F1 of spans or accuracy of plain tags.

    The same sentences are drawn for both (paired bootstrap).
    """
    raise NotImplementedError
