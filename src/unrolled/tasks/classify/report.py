"""Parts of a classifier's report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from unrolled.tasks import report_parts as parts
from unrolled.tasks import statistics
from unrolled.training.report.charts import Line, line_chart
from unrolled.training.task import Estimate, Section

from .scoring import Scoring

Array = npt.NDArray[np.float64]

LABELS = 25
"""Labels up to which a table or matrix shows all."""
MISTAKES = 10
"""Mistakes shown."""


class Shown(NamedTuple):
    """An item as the report shows it.

    Attributes:
        place: File and line.
        content: The text, or a series in a few words.
    """

    place: str
    content: str


def methods(
    scoring: Scoring, found: Mapping[str, Mapping[str, Estimate]], words: Sequence[str]
) -> Section:
    """All methods' metrics beside each other."""
    rows = [
        [name, *(parts.share(estimates[metric.name]) for metric in scoring.metrics)]
        for name, estimates in found.items()
    ]
    head = ["", *(scoring.describe(metric) for metric in scoring.metrics)]
    body = parts.table(head, rows) + "".join(map(parts.paragraph, words))
    return Section("How good it is", body, "In parentheses: 95 % bootstrap intervals over items.")


def labels(scoring: Scoring, rows: Sequence[Mapping[str, Any]]) -> Section:
    """Precision, recall and F1 of each label."""
    most = sorted(rows, key=lambda row: -row["items"])[:LABELS]
    shown = [row for row in rows if row in most]
    cells = [
        [
            row["label"],
            f"{row['items']:,}",
            f"{row['precision']:.3f}",
            f"{row['recall']:.3f}",
            parts.share(Estimate(*row["f1"])),
        ]
        for row in shown
    ]
    body = parts.table(["label", "items", "precision", "recall", "F1"], cells)
    left = len(rows) - len(shown)
    return Section(
        "Labels",
        body,
        "Precision: share of right ones among the items said to have the label. Recall: share of "
        "the items with the label that were found."
        + (f" The {left} rarest labels are left out." if left else ""),
    )


def label_rows(scoring: Scoring, logits: Array, targets: npt.NDArray[Any]) -> list[dict[str, Any]]:
    """Items, precision, recall and F1 of each label."""
    counts = scoring.counts(logits, targets)[:, 2:]
    sums = counts.sum(0)
    k = scoring.classes
    rows = []
    for number, name in enumerate(scoring.labels.names):
        own = counts[:, [number, k + number, 2 * k + number]]
        f1 = statistics.interval(own, lambda s: statistics.f1(s, 0))
        rows.append(
            {
                "label": name,
                "items": int(sums[number] + sums[2 * k + number]),
                "precision": float(statistics.precision(sums, number)),
                "recall": float(statistics.recall(sums, number)),
                "f1": tuple(f1),
            }
        )
    return rows


def mixed_up(scoring: Scoring, confusion: npt.NDArray[np.int64]) -> Section:
    """The confusion matrix, or the pairs that are mixed up most."""
    known = scoring.labels.names
    if len(known) <= LABELS:
        body = parts.matrix(known, confusion.tolist(), rows="label", columns="said")
        return Section("Confusion", body, "Items of each label by what the model said.")
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:LABELS]
    pairs = [divmod(int(place), len(known)) for place in order if wrong.flat[place]]
    rows = [[known[one], known[other], f"{wrong[one, other]:,}"] for one, other in pairs]
    body = parts.table(["label", "said", "items"], rows, words=[1])
    return Section("Confusion", body, "The labels that were mixed up most.")


def reliability(scoring: Scoring, logits: Array, targets: npt.NDArray[Any]) -> Section:
    """Accuracy against confidence."""
    confidence, right = scoring.confidence(logits), scoring.right(logits, targets)
    bins = statistics.calibration(confidence, right)
    error = statistics.calibration_error(confidence, right)
    chart = line_chart(
        [
            Line("accuracy", [(one.confidence, one.accuracy) for one in bins], "a", dots=True),
            Line("as it should be", [(bins[0].confidence, bins[0].confidence), (1.0, 1.0)], "n"),
        ],
        unit="share of right answers",
        x_unit="confidence",
    )
    return Section(
        "Calibration",
        chart,
        f"Expected calibration error {error:.3f}: so far the probabilities are from the shares of "
        "right answers, on average.",
    )


def abstention(scoring: Scoring, logits: Array, targets: npt.NDArray[Any]) -> Section:
    """Risk against coverage."""
    confidence, right = scoring.confidence(logits), scoring.right(logits, targets)
    _, coverage, risk = statistics.risk_coverage(confidence, right)
    chart = line_chart(
        [Line("wrong answers", list(zip(coverage.tolist(), risk.tolist(), strict=True)), "a")],
        unit="share of wrong answers",
        x_unit="share of items answered, the surest first",
        zero=True,
    )
    return Section(
        "Answering only what is sure",
        chart,
        f"Area under the curve {statistics.risk_area(confidence, right):.4f}. predict --risk 0.01 "
        "answers as many items as keep the share of wrong answers at 1 % in validation.",
    )


def mistakes(
    scoring: Scoring,
    logits: Array,
    targets: npt.NDArray[Any],
    show: Callable[[int], Shown],
) -> Section | None:
    """Items about which the model was sure and wrong; None if there are none."""
    wrong = np.flatnonzero(~scoring.right(logits, targets))
    if not len(wrong):
        return None
    losses = statistics.nats(logits, targets)[wrong]
    worst = wrong[np.argsort(-losses, kind="stable")[:MISTAKES]]
    confidence, predicted = scoring.confidence(logits), scoring.predicted(logits)
    rows = []
    for number in worst:
        item = show(int(number))
        rows.append(
            [
                item.place,
                names(scoring, targets[number]),
                names(scoring, predicted[number]),
                f"{confidence[number]:.3f}",
                short(item.content),
            ]
        )
    head = ["item", "label", "said", "probability", "content"]
    body = parts.table(head, rows, words=[1, 2, 4])
    total = f"{len(wrong):,} of {len(targets):,} items are wrong"
    return Section("Worst mistakes", body, f"{total}. Some labels may be wrong themselves.")


def influences(items: Sequence[tuple[Shown, Sequence[str], Array]]) -> Section:
    """How much each step of a few items matters.

    Args:
        items: Each with the words of its steps (none for a series) and the norms ``[T]``.
    """
    bodies = []
    for item, words, norms in items:
        largest = float(norms.max()) or 1.0
        title = f"<h3>{escape(item.place)}</h3>"
        if words:
            bodies.append(title + parts.coloured(words, (norms / largest).tolist()))
        else:
            points = [(float(step), float(norm)) for step, norm in enumerate(norms)]
            chart = line_chart(
                [Line("influence", points, "a")], unit="norm of the gradient", x_unit="step"
            )
            bodies.append(title + chart)
    return Section(
        "Which steps matter",
        "".join(f"<article>{body}</article>" for body in bodies),
        "How much of the answer's loss arrives at each step: the norm of its gradient with respect "
        "to what the recurrent layers read there, exactly.",
    )


def names(scoring: Scoring, target: Any) -> str:
    """The labels of an item in words."""
    known = scoring.labels.names
    if scoring.several:
        return ", ".join(known[k] for k in np.flatnonzero(target)) or "(none)"
    return known[int(target)]


def short(text: str, most: int = 160) -> str:
    """The beginning of a text on one line."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"
