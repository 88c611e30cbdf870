"""Metrics of a classifier: which there are, which decides, and their values."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from unrolled.errors import UserError
from unrolled.tasks import statistics
from unrolled.training.task import Estimate, Metric

from .labels import Labels
from .options import ClassifyTraining

Array = npt.NDArray[np.float64]

NATS = Metric("nats", "nats per item", "lower")
ACCURACY = Metric("accuracy", "", "higher")
F1 = Metric("f1", "", "higher")
MACRO_F1 = Metric("macro_f1", "", "higher")

RARE = 1 / 3
"""Share of the items up to which the rarer of two labels is the one that matters."""
_TIE = 1e-8
"""Weight of the loss in a metric, so that it decides between weights of the same score."""


class _Use(NamedTuple):
    metric: Metric
    score: Callable[[Array], Array]
    by_nats: bool = False


class Scoring:
    """Metrics of a task with some labels.

    Args:
        labels: The labels and how many training items have each.
        options: Which metric decides.

    Attributes:
        metrics: All metrics, the deciding one first.
        positive: Label whose F1 is meant; None where there is no such one.

    Raises:
        UserError: The metric that is to decide does not fit the labels.
    """

    def __init__(self, labels: Labels, options: ClassifyTraining) -> None:
        self.labels, self.several = labels, labels.several
        self.classes = len(labels)
        self.positive = self._positive(options)
        uses = self._uses()
        first = options.metric
        if first == "auto":
            first = "f1" if self.several or self._rare() else "accuracy"
        if first not in uses:
            raise UserError(
                f"--metric f1: there are {self.classes} labels; --positive says which is meant"
            )
        order = [first, *(name for name in uses if name != first)]
        self._used = {name: uses[name] for name in order}
        self.metrics = tuple(use.metric for use in self._used.values())

    @property
    def first(self) -> Metric:
        """The metric that decides."""
        return self.metrics[0]

    def describe(self, metric: Metric) -> str:
        """A metric in words."""
        if metric == F1:
            return "micro F1" if self.positive is None else f"F1 of {self.positive}"
        if metric == ACCURACY and self.several:
            return "all labels right"
        return {"nats": "nats per item", "macro_f1": "macro F1"}.get(metric.name, metric.name)

    def predicted(self, logits: Array) -> npt.NDArray[np.int64]:
        """Numbers of the likeliest labels ``[n]``; with several labels 0 and 1 ``[n, K]``."""
        if self.several:
            return (logits > 0).astype(np.int64)
        likeliest: npt.NDArray[np.int64] = logits.argmax(-1).astype(np.int64)
        return likeliest

    def confidence(self, logits: Array) -> Array:
        """Probability of what is predicted ``[n]``; with several labels that of the least sure."""
        chance = statistics.probabilities(logits, several=self.several)
        if self.several:
            least: Array = np.maximum(chance, 1 - chance).min(-1)
            return least
        most: Array = chance.max(-1)
        return most

    def right(self, logits: Array, targets: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Whether each item's prediction is right, with several labels all of them."""
        same: npt.NDArray[np.bool_] = self.predicted(logits) == targets
        return np.asarray(same.all(-1), bool) if self.several else same

    def counts(self, logits: Array, targets: npt.NDArray[Any]) -> Array:
        """What each item adds to the sums that all metrics are made of, ``[n, ·]``."""
        if self.several:
            hits = statistics.label_counts(targets, self.predicted(logits))
        else:
            hits = statistics.confusion_counts(targets, self.predicted(logits), self.classes)
        right = self.right(logits, targets).astype(np.float64)[:, None]
        return np.concatenate([statistics.nats(logits, targets)[:, None], right, hits], axis=1)

    def values(self, sums: Array) -> dict[str, float]:
        """Metrics by name, of the sums of `counts`.

        The deciding one has a term of the loss in it, too small to change a digit that is shown:
        of weights with the same score those with the lower loss are kept.
        """
        found = {name: float(use.score(sums)) for name, use in self._used.items()}
        if self.first != NATS:
            found[self.first.name] += _TIE * (100 - min(found["nats"], 100))
        return found

    def score(self, metric: Metric) -> Callable[[Array], Array]:
        """A metric as a function of the sums of `counts`."""
        return self._used[metric.name].score

    def kept(self, metric: Metric, counts: Array) -> tuple[Array, Callable[[Array], Array]]:
        """The part of `counts` that a metric needs, and the metric as a function of its sums."""
        use = self._used[metric.name]
        if use.by_nats:
            return counts[:, [0, -1]], statistics.mean
        flat = counts.copy()
        flat[:, 0] = 0  # so that items that count the same are alike
        return flat, use.score

    def estimates(self, logits: Array, targets: npt.NDArray[Any]) -> Mapping[str, Estimate]:
        """Metrics by name with their intervals."""
        counts = self.counts(logits, targets)
        found = {
            metric.name: statistics.interval(*self.kept(metric, counts)) for metric in self.metrics
        }
        hits = int(counts[:, 1].sum())
        if ACCURACY in self.metrics and hits in (0, len(counts)):
            # Drawn again, items that are all right are all right again.
            found[ACCURACY.name] = statistics.share_interval(hits, len(counts))
        return found

    def better(self, one: Array, other: Array, targets: npt.NDArray[Any]) -> statistics.Difference:
        """How much better one method's logits are than another's, by the deciding metric."""
        first, score = self.kept(self.first, self.counts(one, targets))
        second, _ = self.kept(self.first, self.counts(other, targets))
        return statistics.paired(first, second, score, higher=self.first.better == "higher")

    def _uses(self) -> dict[str, _Use]:
        uses = {
            "accuracy": _Use(ACCURACY, functools.partial(_mean, 1)),
            "macro_f1": _Use(MACRO_F1, functools.partial(_hits, statistics.macro_f1)),
            "nats": _Use(NATS, functools.partial(_mean, 0), by_nats=True),
        }
        if self.positive is not None:
            number = self.labels.names.index(self.positive)
            uses["f1"] = _Use(F1, functools.partial(_hits, statistics.f1, label=number))
        elif self.several:
            uses["f1"] = _Use(F1, functools.partial(_hits, statistics.micro_f1))
        return uses

    def _positive(self, options: ClassifyTraining) -> str | None:
        names, counts = self.labels.names, self.labels.counts
        if options.positive is not None:
            if options.positive not in names:
                listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
                raise UserError(
                    f"--positive: expected one of the labels {listed}, got {options.positive}"
                )
            return options.positive
        if self.several or self.classes != 2:
            return None
        return names[min(range(2), key=lambda k: (counts[k], -k))]

    def _rare(self) -> bool:
        if self.positive is None or self.classes != 2:
            return False
        counts = self.labels.counts
        return min(counts) <= RARE * sum(counts)


def _hits(score: Callable[..., Array], sums: Array, **more: Any) -> Array:
    """A score of the sums of true and false positives and false negatives."""
    return score(sums[..., 2:], **more)


def _mean(column: int, sums: Array) -> Array:
    """Mean over the items of a column of their counts."""
    return statistics.mean(sums[..., [column, -1]])
