"""Other names in the place of those of the data, while training (Dai & Adel, 2020).

A small data set has each pattern of a sentence with few names. Put another span of the same type in
the place of one, and the model learns from both apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from .schemes import Span, read_spans, write_tags

Tokens = tuple[str, ...]


class SpanSwaps:
    """Spans of some sentences by type, and sentences in which some are replaced.

    Args:
        sentences: Tokens and tags, in ``iob2``.
        share: Share of the spans to be replaced.
    """

    def __init__(
        self, sentences: Iterable[tuple[Sequence[str], Sequence[str]]], share: float
    ) -> None:
        self.share = share
        found: dict[str, dict[Tokens, None]] = {}
        for tokens, tags in sentences:
            for span in read_spans(tags, "iob2"):
                form = tuple(tokens[span.start : span.end])
                found.setdefault(span.label, {})[form] = None
        self._forms = {label: list(forms) for label, forms in found.items()}

    def swapped(
        self, tokens: Sequence[str], tags: Sequence[str], draw: np.random.Generator
    ) -> tuple[list[str], list[str]]:
        """A sentence's tokens and tags with some spans replaced, each form equally likely."""
        written: list[str] = []
        spans: list[Span] = []
        last = 0
        for span in read_spans(tags, "iob2"):
            written += tokens[last : span.start]
            form: Sequence[str] = tokens[span.start : span.end]
            if draw.random() < self.share:
                forms = self._forms[span.label]
                form = forms[draw.integers(len(forms))]
            spans.append(Span(len(written), len(written) + len(form), span.label))
            written += form
            last = span.end
        written += tokens[last:]
        return written, write_tags(spans, len(written), "iob2")
