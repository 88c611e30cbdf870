"""How good a classifier is on some items, beside the cheap method, in numbers and in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.tasks import statistics
from unrolled.training.task import Estimate, Evaluation, Section

from . import report
from .calibration import Calibration
from .report import Shown
from .scoring import Scoring

Array = npt.NDArray[np.float64]

FEW = 100
"""Items below which the numbers say little."""


def evaluate(
    scoring: Scoring,
    calibration: Calibration,
    targets: npt.NDArray[Any],
    network: Array,
    cheap: Array | None,
    show: Callable[[int], Shown],
    *,
    combine: bool,
    method: str = "",
    notes: Sequence[str] = (),
    more: Sequence[Section] = (),
) -> Evaluation:
    """Metrics with intervals, the cheap method's beside them, and parts of a report.

    Args:
        scoring: The metrics.
        calibration: Temperatures.
        targets: Labels of the items ``[n]``, or ``[n, K]`` of 0 and 1; one item or more.
        network: The network's logits ``[n, K]``, not calibrated.
        cheap: The cheap method's, if there is one.
        show: Place and content of an item.
        combine: Whether both are used together.
        method: The cheap method in words.
        notes: Sentences to add.
        more: Parts of a report to add.
    """
    alone = calibration.network(network)
    used, baseline = alone, {}
    found: dict[str, Mapping[str, Estimate]] = {}
    words: list[str] = []
    details: dict[str, Any] = {"items": len(targets)}
    if cheap is not None:
        base = calibration.cheap(cheap)
        baseline = dict(scoring.estimates(base, targets))
        both = calibration.both(network, cheap, several=scoring.several)
        used = both if combine else alone
        words = [
            _verdict(scoring, used, base, targets, combine=combine),
            f"Cheap method: {method}.",
        ]
    estimates = dict(scoring.estimates(used, targets))
    if cheap is None:
        found = {"network": estimates}
    elif combine:
        details["network"] = _numbers(scoring.estimates(alone, targets))
        found = {
            "network and cheap method": estimates,
            "network alone": scoring.estimates(alone, targets),
            "cheap method alone": baseline,
        }
    else:
        together = scoring.estimates(both, targets)
        details["combined"] = _numbers(together)
        found = {
            "network": estimates,
            "cheap method": baseline,
            "both together (--combine)": together,
        }
    confidence, right = scoring.confidence(used), scoring.right(used, targets)
    details |= {
        "wrong": int((~right).sum()),
        "calibration_error": statistics.calibration_error(confidence, right),
        "risk_area": statistics.risk_area(confidence, right),
        "labels": report.label_rows(scoring, used, targets),
    }
    sections = [report.methods(scoring, found, words), report.labels(scoring, details["labels"])]
    if not scoring.several:
        matrix = statistics.confusion(targets, scoring.predicted(used), scoring.classes)
        if scoring.classes <= report.LABELS:
            details["confusion"] = matrix.tolist()
        sections.append(report.mixed_up(scoring, matrix))
    sections += [
        report.reliability(scoring, used, targets),
        report.abstention(scoring, used, targets),
    ]
    if (wrong := report.mistakes(scoring, used, targets, show)) is not None:
        sections.append(wrong)
    sentences = [_first(scoring, estimates, len(targets)), *words[:1], *notes]
    if len(targets) < FEW:
        sentences.append(f"Only {_items(len(targets))}: the numbers may be far off.")
    return Evaluation(estimates, baseline, sentences, details, [*sections, *more])


def _first(scoring: Scoring, estimates: Mapping[str, Estimate], items: int) -> str:
    metric = scoring.first
    value = estimates[metric.name]
    text = f"{scoring.describe(metric)} {value.value:.3f} on {_items(items)}"
    if value.low is None or value.high is None:
        return text + "."
    return f"{text}, 95 % interval {value.low:.3f} to {value.high:.3f}."


def _verdict(
    scoring: Scoring,
    used: Array,
    base: Array,
    targets: npt.NDArray[Any],
    *,
    combine: bool,
) -> str:
    """Which of the two to use, in a sentence."""
    name = "both together" if combine else "the network"
    difference = scoring.better(used, base, targets)
    by = difference.by
    if by.low is None or by.high is None:
        return f"One item does not tell {name} from the cheap method."
    sign = -1 if difference.clear and by.value < 0 else 1
    low, high = sorted((sign * by.low, sign * by.high))
    what = scoring.describe(scoring.first)
    size = f"{what}: by {sign * by.value:.3f}, 95 % interval {low:.3f} to {high:.3f}"
    if not difference.clear:
        return (
            f"On these items {name} and the cheap method are not clearly different ({size}): use "
            "the cheap one if its speed and simplicity matter, and more items to decide."
        )
    if by.value > 0 and combine:
        return f"Both together beat the cheap method ({size}): use both."
    if by.value > 0:
        return f"The network beats the cheap method ({size}): use the network."
    return f"The cheap method beats {name} ({size}): use the cheap method, or train on more data."


def _numbers(estimates: Mapping[str, Estimate]) -> dict[str, dict[str, float | None]]:
    return {name: estimate._asdict() for name, estimate in estimates.items()}


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count:,} items"
