"""The network beside the n-gram model, and known lines beside new ones, in words and tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from unrolled.tasks import report_parts as parts
from unrolled.tasks import statistics
from unrolled.training.task import Estimate, Evaluation, Section

from .comparison import Comparison, Group
from .score import Score

_NAMES = {
    False: {
        "network": "network",
        "baseline": "cheap method",
        "combined": "both together (--combine)",
    },
    True: {
        "combined": "network and cheap method",
        "network": "network alone",
        "baseline": "cheap method alone",
    },
}
"""Names of the methods in the report, in their order there, without and with ``--combine``."""


def estimates(score: Score) -> dict[str, Estimate]:
    """The metrics of a score."""
    return {
        "nats": Estimate(score.nats),
        "bits": Estimate(score.bits),
        "perplexity": Estimate(score.perplexity),
    }


def compared(evaluation: Evaluation, comparison: Comparison, unit: str = "character") -> Evaluation:
    """The evaluation of what is used, with the other methods and the kinds of lines beside it.

    Args:
        evaluation: The evaluation of what is used.
        comparison: All methods.
        unit: One token in a word.
    """
    scores, combine = comparison.scores, comparison.used == "combined"
    notes, details = list(evaluation.notes), dict(evaluation.details)
    sections = list(evaluation.sections)
    baseline: Mapping[str, Estimate] = {}
    if "baseline" in scores:
        baseline = dict(
            zip(evaluation.metrics, estimates(scores["baseline"]).values(), strict=True)
        )
        if combine:
            details["network"] = _numbers(scores["network"])
        elif "combined" in scores:
            details["combined"] = _numbers(scores["combined"])
        notes += [
            _verdict(comparison),
            f"Cheap method: Kneser–Ney n-grams of up to {comparison.order} {unit}s.",
        ]
        if comparison.combine and not combine:
            notes.append(
                "This is the network alone: the weights of both together are found at the end of "
                "the training."
            )
        sections.append(_methods(comparison))
    lines = comparison.lines
    if lines:
        details["lines"] = {kind: _means(group, comparison, unit) for kind, group in lines.items()}
        if lines["known"].tokens:
            notes.append(_told_apart(comparison, unit))
            sections.append(_kinds(comparison, unit))
    return replace(evaluation, baseline=baseline, notes=notes, details=details, sections=sections)


def _verdict(comparison: Comparison) -> str:
    """Which method to use, in a sentence."""
    used, scores = comparison.used, comparison.scores
    name = "both together" if used == "combined" else "the network"
    sums, order = comparison.stretches, list(scores)
    # a mean per character, not per token
    weights = sums[:, -1] * (scores[used].characters / scores[used].tokens)
    first, second = (
        statistics.mean_counts(sums[:, order.index(one)]) for one in (used, "baseline")
    )
    first[:, 1] = second[:, 1] = weights
    difference = statistics.paired(first, second, statistics.mean, higher=False)
    by = difference.by
    if by.low is None or by.high is None:
        return f"This text is too short to tell {name} from the cheap method."
    sign = -1 if difference.clear and by.value < 0 else 1
    low, high = sorted((sign * by.low, sign * by.high))
    size = f"nats per character: by {sign * by.value:.4f}, 95 % interval {low:.4f} to {high:.4f}"
    if not difference.clear:
        return (
            f"On this text {name} and the cheap method are not clearly different ({size}): use "
            "the cheap one if its speed and simplicity matter, and more text to decide."
        )
    if by.value > 0 and used == "combined":
        return f"Both together beat the cheap method ({size}): use both."
    if by.value > 0:
        return f"The network beats the cheap method ({size}): use the network."
    return f"The cheap method beats {name} ({size}): use the cheap method, or train for longer."


def _methods(comparison: Comparison) -> Section:
    """All methods' metrics beside each other."""
    rows = [
        [name, f"{score.nats:.4f}", f"{score.bits:.4f}", f"{score.perplexity:.3f}"]
        for key, name in _NAMES[comparison.used == "combined"].items()
        if (score := comparison.scores.get(key)) is not None
    ]
    head = ["", "nats per character", "bits per character", "perplexity per token"]
    text = "Every token but the first, from all before it."
    return Section("How good it is", parts.table(head, rows), text)


def _kinds(comparison: Comparison, unit: str) -> Section:
    """Lines that stand in the training text, and others, by method."""
    total = sum(group.tokens for group in comparison.lines.values())
    titles = {"known": "lines of the training text", "new": "other lines"}
    used = [
        (key, name)
        for key, name in _NAMES[comparison.used == "combined"].items()
        if key in comparison.scores
    ]
    rows = []
    for kind, title in titles.items():
        group = comparison.lines[kind]
        if group.tokens:
            means = [f"{group.nats[key] / group.tokens:.4f}" for key, _ in used]
            rows.append([title, f"{group.tokens:,} ({group.tokens / total:.0%})", *means])
    return Section(
        "Known and new lines",
        parts.table(["", f"{unit}s", *(f"nats: {name}" for _, name in used)], rows),
        f"Nats per {unit}. The lines of the training text are those that stand there word for "
        "word; on such lines a model can recite.",
    )


def _told_apart(comparison: Comparison, unit: str) -> str:
    known, new = (comparison.lines[kind] for kind in ("known", "new"))
    share = known.tokens / (known.tokens + new.tokens)
    text = (
        f"{share:.0%} of the {unit}s are in lines that stand in the training text word for word: "
        f"{known.nats[comparison.used] / known.tokens:.4f} nats per {unit} there"
    )
    if not new.tokens:
        return f"{text}."
    return f"{text}, {new.nats[comparison.used] / new.tokens:.4f} in the other lines."


def _means(group: Group, comparison: Comparison, unit: str) -> dict[str, Any]:
    """Nats and bits per token of one kind of lines, of what is used and of all methods."""
    found: dict[str, Any] = {f"{unit}s": group.tokens}
    if group.tokens:
        nats = group.nats[comparison.used] / group.tokens
        found |= {"nats": nats, "bits": nats / math.log(2)}
        if len(comparison.scores) > 1:
            found["nats by method"] = {
                name: total / group.tokens for name, total in group.nats.items()
            }
    return found


def _numbers(score: Score) -> dict[str, dict[str, float | None]]:
    return {name: estimate._asdict() for name, estimate in estimates(score).items()}
