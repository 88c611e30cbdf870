"""Schemes by which a tag for each token marks spans of tokens.

====== ================================================================= =====================
plain  each tag stands for itself: parts of speech                       ``DET NOUN VERB``
io     ``I-`` within a span; neighbours of one type melt into one        ``I-PER I-PER O``
iob1   ``B-`` only where a span follows one of the same type             ``I-PER B-PER O``
iob2   ``B-`` at every start                                             ``B-PER I-PER O``
bioes  ``E-`` at the end, ``S-`` for a span of one token                 ``B-PER E-PER S-LOC``
bilou  the same with the letters ``L-`` and ``U-``                       ``B-PER L-PER U-LOC``
bmes   the same as bioes with ``M-`` for the middle                      ``B-PER M-PER E-PER``
====== ================================================================= =====================

Models learn ``iob2`` or ``plain``; files keep theirs. Sequences that do not follow their scheme are
read as the CoNLL evaluation reads them: a span begins wherever its type changes, and ends where no
tag continues it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

Scheme = Literal["plain", "io", "iob1", "iob2", "bioes", "bilou", "bmes"]

OUTSIDE = "O"
"""Tag of a token that is in no span."""


class Span(NamedTuple):
    """Tokens that belong together.

    Attributes:
        start: Number of its first token, from 0.
        end: Number after its last token.
        label: Its type.
    """

    start: int
    end: int
    label: str


class Transitions(NamedTuple):
    """Tags that may follow each other.

    Attributes:
        start: Whether a sentence may begin with each tag.
        next: ``next[i][j]``: whether tag j may follow tag i.
        end: Whether a sentence may end with each tag.
    """

    start: tuple[bool, ...]
    next: tuple[tuple[bool, ...], ...]
    end: tuple[bool, ...]


def read_spans(tags: Sequence[str], scheme: Scheme) -> list[Span]:
    """Spans that tags mark, in order, as the CoNLL evaluation reads them."""
    raise NotImplementedError


def write_tags(spans: Iterable[Span], length: int, scheme: Scheme) -> list[str]:
    """Tags of spans in order.

    Raises:
        ValueError: Spans overlap, or lie outside the sentence.
    """
    raise NotImplementedError


def convert(tags: Sequence[str], source: Scheme, target: Scheme) -> list[str]:
    """The same spans in another scheme; plain tags are left as they are."""
    raise NotImplementedError


def invalid_places(tags: Sequence[str], scheme: Scheme) -> list[int]:
    """Numbers of the tokens whose tag cannot follow the tag before; the length for a bad end."""
    raise NotImplementedError


def transitions(tags: Sequence[str], scheme: Scheme) -> Transitions:
    """Which of some tags may follow each other."""
    raise NotImplementedError
