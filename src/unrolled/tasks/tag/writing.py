"""Predictions in the form of the file that they are made for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .reading import Sentence
from .schemes import Scheme


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
        model_scheme: Scheme of ``tags``.

    Returns:
        Of columns, the lines with one column more; of JSON lines and free text, an object with
        tokens, tags and spans.
    """
    raise NotImplementedError
