"""Scores of predicted tags: spans, types, tokens, and spans that training never showed.

A span is right where start, end and type are, as the CoNLL evaluation and seqeval count. A span is
unseen where its tokens, as they are written, are no span of the training data, whatever the type:
those show whether a model reads the sentence or remembers names. Predicted spans are divided in the
same way, so that precision is of unseen predictions, recall of unseen truth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from unrolled.training.task import Estimate

from .data import Tagged
from .schemes import Scheme, Span, read_spans

Tags = Sequence[Sequence[str]]
Array = npt.NDArray[np.float64]

_BLOCK = 1 << 22
"""Numbers drawn at a time."""


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
        return self.right / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """Share of the true spans that were predicted; 0 where there are none."""
        return self.right / self.true if self.true else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 where nothing is right."""
        both = self.predicted + self.true
        return 2 * self.right / both if both else 0.0


@dataclass(frozen=True)
class Scores:
    """Scores of predicted tags.

    Attributes:
        metrics: By name, each with its interval: ``f1``, ``precision``, ``recall``, ``f1_unseen``
            (only where the training data is known) and ``accuracy`` of tokens; of plain tags
            ``accuracy``, ``accuracy_unseen`` (tokens that training never showed) and ``f1_macro``,
            which has no interval.
        types: Counts of each type, or of each plain tag.
        unseen: Counts of unseen spans; of plain tags, of unseen tokens.
        confusion: Tokens by true and predicted tag, ``(true, predicted)``.
    """

    metrics: dict[str, Estimate]
    types: dict[str, Counts]
    unseen: Counts
    confusion: dict[tuple[str, str], int]


def form(tokens: Sequence[str], start: int, end: int) -> str:
    """Surface form of some tokens of a sentence, joined by spaces."""
    return " ".join(tokens[start:end])


def forms(sentences: Iterable[Tagged], tags: Sequence[str], scheme: Scheme) -> set[str]:
    """Surface forms of all spans, their tokens joined by spaces; of plain tags, all tokens."""
    found: set[str] = set()
    for sentence in sentences:
        if scheme == "plain":
            found.update(sentence.tokens)
        else:
            for span in read_spans([tags[number] for number in sentence.tags], scheme):
                found.add(form(sentence.tokens, span.start, span.end))
    return found


def _check(*systems: Sequence[Sequence[Any]]) -> None:
    lengths = [[len(sentence) for sentence in system] for system in systems]
    if any(other != lengths[0] for other in lengths):
        raise ValueError("expected as many tags as tokens in every sentence")


def score(
    sentences: Tags,
    true: Tags,
    predicted: Tags,
    scheme: Scheme,
    *,
    known: Collection[str] | None = None,
    samples: int = 1000,
    seed: int = 0,
) -> Scores:
    """Scores of predicted tags with intervals of a bootstrap over sentences.

    Args:
        sentences: Tokens of each sentence.
        true: Their tags.
        predicted: Predicted tags, as many.
        scheme: Scheme of both.
        known: Forms of the training data, of `forms`; None where they are not known.
        samples: Samples of the bootstrap; 0 for no intervals.
        seed: Its seed.

    Raises:
        ValueError: There are not as many tags as tokens.
    """
    _check(sentences, true, predicted)
    known = known if known is None or isinstance(known, set | frozenset) else set(known)
    types = [Counter[str](), Counter[str](), Counter[str]()]
    confusion: Counter[tuple[str, str]] = Counter()
    # Of each sentence: right, predicted, true spans; the same of unseen ones; tokens right, all.
    rows = np.zeros((len(sentences), 8))
    for row, tokens, gold, guess in zip(rows, sentences, true, predicted, strict=True):
        confusion.update(zip(gold, guess, strict=True))
        row[6:] = sum(map(str.__eq__, gold, guess)), len(gold)
        found = _spans(guess, scheme), _spans(gold, scheme)
        groups = (found[0] & found[1], *found)
        for place, spans in enumerate(groups):
            row[place] = len(spans)
            types[place].update(span.label for span in spans)
            if known is not None:
                row[3 + place] = sum(form(tokens, s.start, s.end) not in known for s in spans)
    measures = _PLAIN if scheme == "plain" else _SPANS
    metrics = {
        name: _interval(rows, measure, samples, seed)
        for name, measure in measures.items()
        if known is not None or "unseen" not in name
    }
    labels = sorted(types[1].keys() | types[2].keys())
    counts = {label: Counts(*(kind[label] for kind in types)) for label in labels}
    if scheme == "plain":
        values = [one.f1 for one in counts.values()]
        metrics["f1_macro"] = Estimate(sum(values) / len(values) if values else 0.0)
    unseen = Counts(*(int(total) for total in rows[:, 3:6].sum(0)))
    return Scores(metrics, counts, unseen, dict(confusion))


def compare(
    true: Tags,
    first: Tags,
    second: Tags,
    scheme: Scheme,
    *,
    samples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """How much better the first system is, by F1 of spans or accuracy of plain tags.

    The same sentences are drawn for both (paired bootstrap).

    Raises:
        ValueError: There are not as many tags as tokens.
    """
    _check(true, first, second)
    rows = np.zeros((len(true), 6))
    for row, gold, *systems in zip(rows, true, first, second, strict=True):
        spans = _spans(gold, scheme)
        for place, guess in enumerate(systems):
            found = _spans(guess, scheme)
            row[3 * place : 3 * place + 3] = len(found & spans), len(found), len(spans)
    return _interval(rows, lambda sums: _f1(sums[..., :3]) - _f1(sums[..., 3:]), samples, seed)


def _spans(tags: Sequence[str], scheme: Scheme) -> set[Span]:
    """Spans of a sentence; of plain tags, each token."""
    if scheme == "plain":
        return {Span(place, place + 1, tag) for place, tag in enumerate(tags)}
    return set(read_spans(tags, scheme))


def _ratio(above: Array, below: Array) -> Array:
    found: Array = np.divide(above, below, out=np.zeros(np.shape(above)), where=below > 0)
    return found


def _f1(sums: Array) -> Array:
    """F1 of right, predicted and true spans ``[..., 3]``; of plain tags, their accuracy."""
    return _ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2])


Measure = Callable[[Array], Array]
"""Sums of counts ``[..., 8]`` to a number ``[...]``."""

_SPANS: dict[str, Measure] = {
    "f1": lambda sums: _f1(sums[..., :3]),
    "precision": lambda sums: _ratio(sums[..., 0], sums[..., 1]),
    "recall": lambda sums: _ratio(sums[..., 0], sums[..., 2]),
    "f1_unseen": lambda sums: _f1(sums[..., 3:6]),
    "accuracy": lambda sums: _ratio(sums[..., 6], sums[..., 7]),
}
_PLAIN: dict[str, Measure] = {
    "accuracy": lambda sums: _ratio(sums[..., 6], sums[..., 7]),
    "accuracy_unseen": lambda sums: _ratio(sums[..., 3], sums[..., 5]),
}


def _interval(rows: Array, measure: Measure, samples: int, seed: int) -> Estimate:
    """A number with its 95 % percentile interval, sentences drawn with replacement."""
    value = float(measure(rows.sum(0)))
    if len(rows) < 2 or not samples:
        return Estimate(value)
    # Sentences with the same counts are drawn together.
    kinds, sizes = np.unique(rows, axis=0, return_counts=True)
    draw = np.random.default_rng(seed)
    block = max(1, _BLOCK // len(kinds))
    sums = [
        draw.multinomial(len(rows), sizes / len(rows), size=min(block, samples - start)) @ kinds
        for start in range(0, samples, block)
    ]
    low, high = np.quantile(measure(np.concatenate(sums)), [0.025, 0.975])
    return Estimate(value, float(low), float(high))
