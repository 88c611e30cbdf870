"""Statistics of predictions: scores, bootstrap intervals, calibration, abstention.

A score of many items is a function of sums over the items: accuracy of the sum of hits, F1 of the
sums of true and false positives and of false negatives. So an interval needs the items' counts
``[n, k]`` and the function alone: the sums are drawn again and again from the same items.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from unrolled.training.task import Estimate

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Score = Callable[[Array], Array]
"""Sums of counts ``[..., k]`` to a score ``[...]``."""

RESAMPLES = 2000
"""Draws of a bootstrap: the ends of a 95 % interval vary by a few hundredths of its width."""
_BLOCK = 1 << 22
"""Numbers drawn at a time."""
_FEW = 4096
"""Kinds of items up to which only their numbers are drawn."""


# Scores -----------------------------------------------------------------------------------------


def confusion(truth: npt.ArrayLike, predicted: npt.ArrayLike, classes: int) -> Integers:
    """Confusion matrix ``[K, K]``: items of each true class (row) by predicted class (column)."""
    pairs = np.asarray(truth, np.int64) * classes + np.asarray(predicted, np.int64)
    counts: Integers = np.bincount(pairs, minlength=classes * classes).astype(np.int64)
    return counts.reshape(classes, classes)


def confusion_counts(truth: npt.ArrayLike, predicted: npt.ArrayLike, classes: int) -> Array:
    """Counts ``[n, 3 K + 1]`` of items with one label each, for `accuracy`, `f1` and `macro_f1`.

    For each class whether the item is a true positive, a false positive, a false negative; at the
    end 1, so that their sum is the number of items.
    """
    truth, predicted = np.asarray(truth, np.int64), np.asarray(predicted, np.int64)
    return label_counts(np.eye(classes)[truth], np.eye(classes)[predicted])


def label_counts(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Array:
    """The same for items with any number of labels, as two matrices ``[n, K]`` of 0 and 1."""
    t, p = np.asarray(truth, bool), np.asarray(predicted, bool)
    parts = [t & p, p & ~t, t & ~p, np.ones((len(t), 1), bool)]
    return np.concatenate(parts, axis=1).astype(np.float64)


def accuracy(sums: Array) -> Array:
    """Share of items whose one label is right, of sums of `confusion_counts`."""
    return _ratio(sums[..., : sums.shape[-1] // 3].sum(-1), sums[..., -1])


def precision(sums: Array, label: int) -> Array:
    """Share of right ones among the items said to be of a class."""
    tp, fp, _ = _of_class(sums, label)
    return _ratio(tp, tp + fp)


def recall(sums: Array, label: int) -> Array:
    """Share of a class's items that were found."""
    tp, _, fn = _of_class(sums, label)
    return _ratio(tp, tp + fn)


def f1(sums: Array, label: int) -> Array:
    """Harmonic mean of a class's precision and recall; 0 where nothing is right."""
    tp, fp, fn = _of_class(sums, label)
    return _ratio(2 * tp, 2 * tp + fp + fn)


def macro_f1(sums: Array) -> Array:
    """Mean of the classes' F1; a class that neither occurs nor is predicted is left out."""
    k = sums.shape[-1] // 3
    tp, fp, fn = (sums[..., i * k : (i + 1) * k] for i in range(3))
    both = 2 * tp + fp + fn
    return _ratio(_ratio(2 * tp, both).sum(-1), (both > 0).sum(-1))


def micro_f1(sums: Array) -> Array:
    """F1 of all classes' true positives, false positives and false negatives together."""
    k = sums.shape[-1] // 3
    tp, fp, fn = (sums[..., i * k : (i + 1) * k].sum(-1) for i in range(3))
    return _ratio(2 * tp, 2 * tp + fp + fn)


def mean(sums: Array) -> Array:
    """Mean of a number, of sums of ``[n, 2]``: the number and 1."""
    return _ratio(sums[..., 0], sums[..., 1])


def mean_counts(values: npt.ArrayLike) -> Array:
    """Counts for `mean`."""
    values = np.asarray(values, np.float64)
    return np.stack([values, np.ones_like(values)], axis=-1)


def _of_class(sums: Array, label: int) -> tuple[Array, Array, Array]:
    k = sums.shape[-1] // 3
    return sums[..., label], sums[..., k + label], sums[..., 2 * k + label]


def _ratio(above: Array, below: Any) -> Array:
    below = np.asarray(below, np.float64)
    found: Array = np.divide(above, below, out=np.zeros(np.shape(above)), where=below > 0)
    return found


# Bootstrap --------------------------------------------------------------------------------------


class Difference(NamedTuple):
    """How much better one method is than another on the same items.

    Attributes:
        by: Score of the first less that of the second, with its interval.
        p: Probability of a difference as large if there were none, two-sided.
    """

    by: Estimate
    p: float

    @property
    def clear(self) -> bool:
        """Whether the interval excludes zero."""
        low, high = self.by.low, self.by.high
        return low is not None and high is not None and (low > 0 or high < 0)


def interval(counts: Array, score: Score, *, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """A score with its 95 % percentile interval, items drawn with replacement.

    Args:
        counts: What each item adds to the sums, ``[n, k]``.
        score: Score of the sums.
        resamples: Number of draws.
        seed: Seed of the draws.
    """
    value = float(score(counts.sum(0)))
    if len(counts) < 2:
        return Estimate(value)
    drawn = score(resampled(counts, resamples, seed))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(value, float(low), float(high))


def share_interval(hits: int, items: int) -> Estimate:
    """A share with its 95 % interval by Wilson's formula, which is right for 0 and 1 as well."""
    share, z = hits / items, 1.96
    middle = (share + z * z / (2 * items)) / (1 + z * z / items)
    spread = share * (1 - share) / items + z * z / (4 * items * items)
    half = z * spread**0.5 / (1 + z * z / items)
    return Estimate(share, max(0.0, middle - half), min(1.0, middle + half))


def paired(
    first: Array,
    second: Array,
    score: Score,
    *,
    higher: bool = True,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Bootstrap test of two methods on the same items.

    Args:
        first: Counts of one method, ``[n, k]``.
        second: Counts of the other.
        score: Score of either.
        higher: Whether a higher score is the better one; the difference is positive where the
            first method is better.
        resamples: Number of draws.
        seed: Seed of the draws.
    """
    k, sign = first.shape[1], 1.0 if higher else -1.0
    both = np.concatenate([first, second], axis=1)

    def difference(sums: Array) -> Array:
        return sign * (score(sums[..., :k]) - score(sums[..., k:]))

    value = float(difference(both.sum(0)))
    if len(both) < 2:
        return Difference(Estimate(value), 1.0)
    drawn = difference(resampled(both, resamples, seed))
    low, high = np.quantile(drawn, [0.025, 0.975])
    tail = min(float((drawn <= 0).mean()), float((drawn >= 0).mean()))
    return Difference(Estimate(value, float(low), float(high)), min(1.0, 2 * tail))


def resampled(counts: Array, resamples: int, seed: int) -> Array:
    """Sums ``[resamples, k]`` over as many items as there are, drawn with replacement."""
    draw = np.random.default_rng(seed)
    n = len(counts)
    kinds, sizes = np.unique(counts, axis=0, return_counts=True)
    if len(kinds) <= _FEW:
        # Only how many items of each kind are drawn matters.
        sums: Array = draw.multinomial(n, sizes / n, size=resamples) @ kinds
        return sums
    block = max(1, _BLOCK // n)
    parts = []
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = draw.integers(0, n, (rows, n)) + np.arange(rows)[:, None] * n
        times = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        parts.append(times @ counts)
    return np.concatenate(parts)


# Probabilities ----------------------------------------------------------------------------------


class Bin(NamedTuple):
    """Predictions of similar confidence.

    Attributes:
        confidence: Their mean confidence.
        accuracy: Share of them that is right.
        number: How many they are.
    """

    confidence: float
    accuracy: float
    number: int


def calibration(confidence: npt.ArrayLike, right: npt.ArrayLike, bins: int = 10) -> list[Bin]:
    """Predictions by confidence, in bins of equal width; empty bins are left out."""
    confidence, right = np.asarray(confidence, np.float64), np.asarray(right, np.float64)
    place = np.clip((confidence * bins).astype(np.int64), 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    sums = (np.bincount(place, values, minlength=bins) for values in (confidence, right))
    return [
        Bin(float(c / n), float(r / n), int(n)) for c, r, n in zip(*sums, counts, strict=True) if n
    ]


def calibration_error(confidence: npt.ArrayLike, right: npt.ArrayLike, bins: int = 10) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over the bins."""
    found = calibration(confidence, right, bins)
    total = sum(one.number for one in found)
    return sum(abs(one.confidence - one.accuracy) * one.number for one in found) / max(1, total)


def risk_coverage(confidence: npt.ArrayLike, right: npt.ArrayLike) -> tuple[Array, Array, Array]:
    """Share of wrong answers if only the surest items are answered.

    Returns:
        Thresholds on the confidence from high to low, each with the share of items that reach it
        (coverage) and the share of wrong ones among these (risk). Items of the same confidence are
        answered together.
    """
    confidence, right = np.asarray(confidence, np.float64), np.asarray(right, np.float64)
    order = np.argsort(-confidence, kind="stable")
    sure, wrong = confidence[order], np.cumsum(1 - right[order])
    last = np.append(sure[1:] != sure[:-1], True) if len(sure) else np.zeros(0, bool)
    answered = np.arange(1, len(sure) + 1)
    return sure[last], (answered / max(1, len(sure)))[last], (wrong / answered)[last]


def risk_area(confidence: npt.ArrayLike, right: npt.ArrayLike) -> float:
    """Area under the risk–coverage curve: mean risk over all coverages; lower is better."""
    _, coverage, risk = risk_coverage(confidence, right)
    return float((np.diff(coverage, prepend=0.0) * risk).sum())


def threshold_for_risk(
    confidence: npt.ArrayLike, right: npt.ArrayLike, risk: float
) -> float | None:
    """Lowest confidence above which at most this share of the answers is wrong.

    Returns:
        The threshold; an item is answered if its confidence is at least so large. None where no
        threshold keeps the risk.
    """
    thresholds, _, risks = risk_coverage(confidence, right)
    kept = np.flatnonzero(risks <= risk)
    return float(thresholds[kept[-1]]) if len(kept) else None


def fit_temperature(logits: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Number by which logits are divided so that their probabilities fit the truth best.

    The likelihood is concave in its inverse, whose best value is found by bisection. One more item
    of every class is counted (Platt, 1999): of a few items that are all right nobody knows that the
    next will be.

    Args:
        logits: ``[n, K]``.
        truth: Class of each item ``[n]``; or ``[n, K]`` of 0 and 1, each with its own sigmoid.

    Returns:
        The temperature, from 0.05 to 20.
    """
    logits, truth = np.asarray(logits, np.float64), np.asarray(truth)
    several = truth.ndim == 2
    if not len(logits):
        return 1.0
    target = truth.astype(np.float64) if several else np.eye(logits.shape[1])[truth]
    n, others = len(logits), 2 if several else logits.shape[1]
    target = (n * target + 1) / (n + others)
    low, high = np.log(1 / 20), np.log(20)
    for _ in range(50):
        middle = (low + high) / 2
        expected = probabilities(logits * np.exp(middle), several=several)
        if float(((expected - target) * logits).sum()) > 0:
            high = middle  # the probabilities are too sharp
        else:
            low = middle
    return float(np.exp(-(low + high) / 2))


def probabilities(logits: Array, *, several: bool = False) -> Array:
    """Softmax over the last dimension, or the sigmoid of each logit."""
    if several:
        found: Array = 0.5 * (1 + np.tanh(0.5 * logits))
        return found
    found = np.exp(logits - logits.max(-1, keepdims=True))
    found /= found.sum(-1, keepdims=True)
    return found


def nats(logits: Array, truth: npt.ArrayLike) -> Array:
    """Negative log-likelihood of each item ``[n]``, in nats.

    Args:
        logits: ``[n, K]``.
        truth: Class of each item ``[n]``; or ``[n, K]`` of 0 and 1: the mean over the labels.
    """
    truth = np.asarray(truth)
    logits = np.asarray(logits, np.float64)
    if truth.ndim == 2:
        losses = np.logaddexp(0.0, logits) - truth * logits
        means: Array = losses.mean(-1)
        return means
    top = logits.max(-1)
    log_sum = top + np.log(np.exp(logits - top[:, None]).sum(-1))
    found: Array = log_sum - logits[np.arange(len(logits)), truth.astype(np.int64)]
    return found
