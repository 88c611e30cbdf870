"""The evaluation of a tagger: scores beside a cheap method, tables, calibration, mistakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from unrolled.tasks import report_parts as parts
from unrolled.tasks import statistics
from unrolled.training.task import Estimate, Evaluation, Section

from .data import TagSet
from .decoding import Tagging
from .evaluation import Counts, Scores, compare, form, score
from .schemes import OUTSIDE, Span, read_spans

MISTAKES = 20
"""Mistakes that are shown."""

AROUND = 60
"""Characters of a sentence shown on each side of a mistake."""

LARGEST_MATRIX = 20
"""Types of a confusion matrix: the most frequent ones."""


class Predictions(NamedTuple):
    """True and predicted tags of some sentences.

    Attributes:
        tokens: Tokens of each sentence.
        true: Their tags, in the model's scheme.
        taggings: Predicted tags, with confidence.
        places: File and line of each.
    """

    tokens: Sequence[Sequence[str]]
    true: Sequence[Sequence[str]]
    taggings: Sequence[Tagging]
    places: Sequence[str]


class Mistake(NamedTuple):
    """A span that is predicted and not there, or there and not predicted; plain tags, a token.

    Attributes:
        sentence: Number of the sentence.
        span: Where.
        true: What is there.
        predicted: What was predicted.
        confidence: Probability that the model gave to its prediction.
    """

    sentence: int
    span: Span
    true: str
    predicted: str
    confidence: float


def evaluation(
    found: Predictions,
    tags: TagSet,
    known: Collection[str] | None,
    cheap: Sequence[Sequence[str]] | None = None,
    notes: Sequence[str] = (),
) -> Evaluation:
    """How good predicted tags are, with intervals, tables and the worst mistakes.

    Args:
        found: True and predicted tags.
        tags: The tags that the model knows.
        known: Surface forms of the training data; None where they are not known.
        cheap: Tags of the cheap method.
        notes: What else to know.
    """
    scheme = tags.scheme
    predicted = [tagging.tags for tagging in found.taggings]
    if known is not None and not _unseen(found, known, scheme):
        known = None  # a score of nothing
    scores = score(found.tokens, found.true, predicted, scheme, known=known)
    base = None
    difference = None
    said = list(notes)
    if cheap is not None:
        base = score(found.tokens, found.true, cheap, scheme, known=known)
        difference = compare(found.true, predicted, cheap, scheme)
        said.insert(0, advice(difference, "accuracy" if scheme == "plain" else "F1"))
    if known is not None and scheme != "plain":
        said.append(
            f"f1_unseen counts only spans whose words are no span of the training data: "
            f"{scores.unseen.true:,} of {sum(one.true for one in scores.types.values()):,}."
        )
    confidence, right, mistakes = _judged(found, scheme)
    sections = [
        _comparison(scores, base, difference),
        _types(scores, base, scheme),
        *_confusion(found, predicted, scheme),
    ]
    if confidence:
        sections.append(_calibration(confidence, right, scheme))
    if mistakes:
        sections.append(_mistakes(mistakes, found))
    details: dict[str, Any] = {
        "types": _numbers(scores.types),
        "unseen": scores.unseen._asdict(),
        "sentences": len(found.tokens),
        "tokens": sum(map(len, found.tokens)),
    }
    if confidence:
        details["calibration_error"] = statistics.calibration_error(confidence, right)
    if base is not None:
        details["baseline_types"] = _numbers(base.types)
    if difference is not None:
        details["difference"] = difference._asdict()
    return Evaluation(scores.metrics, base.metrics if base else {}, said, details, sections)


def _unseen(found: Predictions, known: Collection[str], scheme: str) -> bool:
    """Whether the sentences have a span, or a token with a plain tag, that training did not."""
    for tokens, tags in zip(found.tokens, found.true, strict=True):
        if scheme == "plain":
            if any(token not in known for token in tokens):
                return True
        elif any(form(tokens, s.start, s.end) not in known for s in read_spans(tags, "iob2")):
            return True
    return False


def advice(difference: Estimate, name: str) -> str:
    """Which of model and cheap method to use, in a sentence."""
    value, low, high = difference
    if low is None or high is None:
        return "There are too few sentences to compare the model with the cheap method."
    interval = f"{name} differs by {value:+.3f} (95 % interval {low:+.3f} to {high:+.3f})"
    if low > 0:
        return f"The model is better than the conditional random field on features: {interval}."
    if high < 0:
        return (
            f"The conditional random field on hand-made features is better than the model, and "
            f"cheaper; use it, or train longer: {interval}."
        )
    return (
        f"Model and conditional random field on hand-made features cannot be told apart on these "
        f"sentences, so the cheaper one will do: {interval}."
    )


def _comparison(scores: Scores, base: Scores | None, difference: Estimate | None) -> Section:
    rows = []
    for name, estimate in scores.metrics.items():
        row = [name, parts.share(estimate)]
        if base is not None:
            row.append(parts.share(base.metrics[name]) if name in base.metrics else "")
        rows.append(row)
    head = ["", "model"] + (["random field on features"] if base is not None else [])
    if difference is not None:
        value, low, high = difference
        ends = "" if low is None or high is None else f" ({low:+.3f} to {high:+.3f})"
        rows.append(["difference", f"{value:+.3f}{ends}", ""])
    caption = "In parentheses 95 % intervals, sentences drawn with replacement."
    return Section("Scores", parts.table(head, rows), caption)


def _types(scores: Scores, base: Scores | None, scheme: str) -> Section:
    head = ["type" if scheme != "plain" else "tag", "F1", "precision", "recall", "true"]
    head += ["random field: F1"] if base is not None else []
    rows = []
    ranked = sorted(scores.types.items(), key=lambda one: -one[1].true)
    for name, counts in ranked:
        numbers = (counts.f1, counts.precision, counts.recall)
        row = [name, *(f"{number:.3f}" for number in numbers), f"{counts.true:,}"]
        if base is not None:
            other = base.types.get(name)
            row.append(f"{other.f1:.3f}" if other else "")
        rows.append(row)
    return Section("By type" if scheme != "plain" else "By tag", parts.table(head, rows))


def _confusion(
    found: Predictions, predicted: Sequence[Sequence[str]], scheme: str
) -> list[Section]:
    counts: Counter[tuple[str, str]] = Counter()
    for true, guess in zip(found.true, predicted, strict=True):
        counts.update(
            (_label(a, scheme), _label(b, scheme)) for a, b in zip(true, guess, strict=True)
        )
    totals: Counter[str] = Counter()
    for (true, guess), number in counts.items():
        totals[true] += number
        if true != guess:
            totals[guess] += number
    names = [name for name, _ in totals.most_common(LARGEST_MATRIX)]
    if len(names) < 2:
        return []
    matrix = [[counts[true, guess] for guess in names] for true in names]
    body = parts.matrix(names, matrix, rows="true", columns="predicted")
    caption = "Tokens; B- and I- of a type together." if scheme != "plain" else "Tokens."
    if len(totals) > len(names):
        caption += f" The {len(names)} most frequent of {len(totals)}."
    return [Section("Confusion", body, caption)]


def _label(tag: str, scheme: str) -> str:
    return tag if scheme == "plain" or tag == OUTSIDE else tag[2:]


def _judged(found: Predictions, scheme: str) -> tuple[list[float], list[bool], list[Mistake]]:
    """Confidence of each predicted span or plain tag, whether it is right, and the mistakes."""
    confidence: list[float] = []
    right: list[bool] = []
    mistakes: list[Mistake] = []
    for number, (true, tagging) in enumerate(zip(found.true, found.taggings, strict=True)):
        if not tagging.confidence:
            continue
        if scheme == "plain":
            for place, (a, b) in enumerate(zip(true, tagging.tags, strict=True)):
                sure = tagging.confidence[place]
                confidence.append(sure)
                right.append(a == b)
                if a != b:
                    mistakes.append(Mistake(number, Span(place, place + 1, b), a, b, sure))
            continue
        gold, guess = (set(read_spans(tags, "iob2")) for tags in (true, tagging.tags))
        for span in sorted(guess):
            sure = tagging.confidence[span.start]
            confidence.append(sure)
            right.append(span in gold)
            if span not in gold:
                there = _overlapping(span, gold, found.tokens[number])
                mistakes.append(Mistake(number, span, there, span.label, sure))
        for span in sorted(gold - guess):
            if not any(span.start < one.end and one.start < span.end for one in guess):
                sure = min(tagging.confidence[span.start : span.end])
                mistakes.append(Mistake(number, span, span.label, "nothing", sure))
    mistakes.sort(key=lambda one: -one.confidence)
    return confidence, right, mistakes


def _overlapping(span: Span, gold: Collection[Span], tokens: Sequence[str]) -> str:
    """What is really where a span was predicted."""
    there = [one for one in sorted(gold) if one.start < span.end and span.start < one.end]
    return (
        "; ".join(f"{one.label}: {form(tokens, one.start, one.end)}" for one in there) or "nothing"
    )


def _calibration(confidence: list[float], right: list[bool], scheme: str) -> Section:
    bins = statistics.calibration(confidence, right)
    rows = [[f"{one.confidence:.2f}", f"{one.accuracy:.2f}", f"{one.number:,}"] for one in bins]
    what = "tags" if scheme == "plain" else "spans"
    error = statistics.calibration_error(confidence, right)
    return Section(
        "Confidence",
        parts.table(["mean confidence", "share that is right", what], rows),
        f"Predicted {what} by the probability that the model gives them. On average it is off by "
        f"{error:.3f}.",
    )


def _mistakes(mistakes: Sequence[Mistake], found: Predictions) -> Section:
    rows = []
    for one in mistakes[:MISTAKES]:
        tokens = found.tokens[one.sentence]
        glue = "" if all(len(token) == 1 for token in tokens) else " "
        before = glue.join(tokens[: one.span.start])[-AROUND:]
        after = glue.join(tokens[one.span.end :])[:AROUND]
        here = glue.join(tokens[one.span.start : one.span.end])
        text = f"{before}{glue}[{here}]{glue}{after}".strip()
        place = found.places[one.sentence]
        rows.append([place, text, one.predicted, one.true, f"{one.confidence:.2f}"])
    head = ["place", "text", "predicted", "true", "confidence"]
    return Section(
        "Worst mistakes",
        parts.table(head, rows, words=(1, 2, 3)),
        "The mistakes that the model is surest of; it may be the data that is wrong.",
    )


def _numbers(types: Mapping[str, Counts]) -> dict[str, Any]:
    return {
        name: {
            **counts._asdict(),
            "f1": counts.f1,
            "precision": counts.precision,
            "recall": counts.recall,
        }
        for name, counts in types.items()
    }
