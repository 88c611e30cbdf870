"""Predictions in the form of the file that they are made for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .schemes import Scheme, convert, read_spans
from .sentences import Columns, Record, Sentence


def write_sentence(
    sentence: Sentence,
    tags: Sequence[str],
    scheme: Scheme,
    *,
    confidence: Sequence[float] | None = None,
    model_scheme: Scheme = "iob2",
) -> str | Mapping[str, Any]:
    """A sentence with its predicted tags.

    Args:
        sentence: As it was read.
        tags: Its predicted tags in the model's scheme.
        scheme: Scheme to write them in.
        confidence: Probability of each tag; a span's is the least of its tokens'.
        model_scheme: Scheme of ``tags``, ``plain`` if ``scheme`` is.

    Returns:
        Of columns, the lines with one column more, comments and ends of documents before them, a
        blank line after them. Of JSON lines and texts, an object with ``tokens``, ``tags`` and
        ``spans``, in characters where there is a text, and whatever else the record had; true tags
        and spans that it had are ``true_tags`` and ``true_spans``.

    Raises:
        ValueError: There are not as many tags as tokens.
    """
    if len(tags) != len(sentence.tokens):
        raise ValueError(f"expected {len(sentence.tokens)} tags, got {len(tags)}")
    model_scheme = "plain" if scheme == "plain" else model_scheme
    written = convert(tags, model_scheme, scheme)
    if isinstance(sentence.source, Columns):
        return _columns(sentence.source, written)
    values: dict[str, Any] = {}
    if isinstance(sentence.source, Record):
        for name, value in sentence.source.values.items():
            predicted = name in ("tags", "spans", "confidence")
            values[f"true_{name}" if predicted else name] = value
    elif sentence.text is not None:
        values["text"] = sentence.text
    values["tokens"] = list(sentence.tokens)
    values["tags"] = written
    if confidence is not None:
        values["confidence"] = [round(float(value), 4) for value in confidence]
    if scheme != "plain":
        values["spans"] = _spans(sentence, tags, model_scheme, confidence)
    return values


def _columns(source: Columns, tags: Sequence[str]) -> str:
    """Lines of a sentence; blank lines before it ended the sentence before."""
    separator = source.separator
    if not separator:
        separator = "\t" if any("\t" in row for row in source.rows) else " "
    before = list(source.before)
    while before and not before[0].strip(" \t"):
        del before[0]
    column = dict(zip(source.row_of, tags, strict=True))
    rows = [f"{row}{separator}{column.get(n, '_')}" for n, row in enumerate(source.rows)]
    return "".join(f"{line}\n" for line in (*before, *rows, ""))


def _spans(
    sentence: Sentence,
    tags: Sequence[str],
    scheme: Scheme,
    confidence: Sequence[float] | None,
) -> list[dict[str, Any]]:
    spans = []
    for span in read_spans(tags, scheme):
        values: dict[str, Any] = {"label": span.label}
        if sentence.offsets is not None and sentence.text is not None:
            start, end = sentence.offsets[span.start][0], sentence.offsets[span.end - 1][1]
            values |= {"start": start, "end": end, "text": sentence.text[start:end]}
        values |= {"first_token": span.start, "last_token": span.end - 1}
        if confidence is not None:
            values["confidence"] = round(float(min(confidence[span.start : span.end])), 4)
        spans.append(values)
    return spans
