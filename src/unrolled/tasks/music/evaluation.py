"""Evaluation of a model on pieces, beside cheap methods: numbers, a verdict, parts of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from unrolled.tasks import report_parts as parts
from unrolled.tasks import statistics
from unrolled.training.task import Estimate, Evaluation, Section

from .baseline import Baseline
from .model import MusicModel
from .pictures import piano_roll, pitch_range
from .pieces import Frame, Roll
from .score import Counts, accuracy, nats

REGRESSION, MARGINALS = "logistic regression on two frames", "share of each key"


def evaluation(
    model: MusicModel,
    found: Counts,
    rolls: Sequence[Roll],
    baseline: Baseline | None,
    *,
    notes: Sequence[str] = (),
    more: Sequence[Section] = (),
) -> Evaluation:
    """Metrics with intervals over pieces, the cheap methods beside them, and parts of a report.

    Args:
        model: The model.
        found: Its counts on the pieces.
        rolls: The pieces.
        baseline: The cheap methods, if there are any.
        notes: Sentences to add.
        more: Parts of a report to add.
    """
    methods = {"network": found}
    words = list(notes)
    if baseline is not None:
        methods[REGRESSION] = baseline.count(rolls, regression=True)
        methods[MARGINALS] = baseline.count(rolls, regression=False)
        words.insert(0, _verdict(found, methods[REGRESSION]))
    estimates = {name: _estimates(counts) for name, counts in methods.items()}
    frames = int(found.sums[:, 1].sum())
    by_part = dict(
        zip(model.head.parts, (found.parts.sum(0) / max(1, frames)).tolist(), strict=True)
    )
    return Evaluation(
        estimates["network"],
        baseline=estimates.get(REGRESSION, {}),
        notes=words,
        details={
            "pieces": len(rolls),
            "frames": frames,
            "nats of a first frame": float(found.first.mean()),
            "nats by part": by_part,
            **(
                {MARGINALS: {name: one.value for name, one in estimates[MARGINALS].items()}}
                if baseline is not None
                else {}
            ),
        },
        sections=[_methods(estimates), _parts(by_part), *more],
    )


def pictures(real: Sequence[Frame], written: Sequence[Frame], given: int) -> Section:
    """A piece, and what the model writes after its beginning.

    Args:
        real: The piece.
        written: The same beginning, and what the model wrote after it.
        given: Frames of the beginning.
    """
    both = pitch_range([real, written])
    body = "".join(
        f"<article><h3>{title}</h3>{piano_roll(piece, both, given=given)}</article>"
        for title, piece in (("A piece", real), ("Its beginning, continued by the model", written))
    )
    return Section(
        "Piano rolls",
        body,
        f"Both begin with the same {given} frames, in another colour. A note that stands in "
        "several frames is drawn as one.",
    )


def _estimates(counts: Counts) -> Mapping[str, Estimate]:
    return {
        "nats": statistics.interval(counts.sums, nats),
        "accuracy": statistics.interval(counts.sums, accuracy),
    }


def _verdict(network: Counts, cheap: Counts) -> str:
    """A sentence on which of the two is to be used."""
    difference = statistics.paired(network.sums, cheap.sums, nats, higher=False)
    by, low, high = difference.by
    if low is None or high is None:
        return f"The network has {by:.3f} nats per frame less than the {REGRESSION}."
    between = f"{low:.3f} to {high:.3f}"
    if not difference.clear:
        return f"The network is not clearly better than the {REGRESSION} ({between} nats)."
    better = "less" if by > 0 else "more"
    size = between if by > 0 else f"{-high:.3f} to {-low:.3f}"
    return (
        f"The network has {abs(by):.3f} nats per frame {better} than the {REGRESSION} "
        f"(95 % of draws of pieces: {size})."
    )


def _methods(found: Mapping[str, Mapping[str, Estimate]]) -> Section:
    rows = [
        [name, parts.share(estimates["nats"]), parts.share(estimates["accuracy"])]
        for name, estimates in found.items()
    ]
    return Section(
        "How good it is",
        parts.table(["", "nats per frame", "frame accuracy"], rows),
        "Every frame but a piece's first, from all frames before it; nats are summed over the "
        "keys. In parentheses: 95 % bootstrap intervals over pieces.",
    )


def _parts(by_part: Mapping[str, float]) -> Section:
    total = sum(by_part.values())
    rows = [
        [name, f"{value:.3f}", f"{value / total:.0%}" if total else ""]
        for name, value in by_part.items()
        if np.isfinite(value) and value > 0
    ]
    return Section(
        "Where the nats are",
        parts.table(["", "nats per frame", "share"], rows),
        "Parts of a frame that were never there cost nothing and are left out.",
    )
