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
from typing import Literal, NamedTuple, Protocol, get_args

from unrolled.errors import UserError

Scheme = Literal["plain", "io", "iob1", "iob2", "bioes", "bilou", "bmes"]

SCHEMES: tuple[Scheme, ...] = get_args(Scheme)

OUTSIDE = "O"
"""Tag of a token that is in no span."""

_LETTERS: dict[Scheme, str] = {
    "io": "I",
    "iob1": "BI",
    "iob2": "BI",
    "bioes": "BIES",
    "bilou": "BILU",
    "bmes": "BMES",
}
"""Letters of each scheme: begin, inside, end, single."""

# Every scheme is read with the letters of bioes; no letter means the same in two schemes.
_READ = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S"}


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


class Part(NamedTuple):
    """A tag of a span taken apart.

    Attributes:
        letter: ``B``, ``I``, ``E`` or ``S`` whatever the scheme; ``O`` outside.
        label: Type of the span; empty outside.
    """

    letter: str
    label: str


def part(tag: str) -> Part | None:
    """A tag taken apart; None where it has not the form of a span's tag, ``B-PER`` or ``O``."""
    if tag == OUTSIDE:
        return Part(OUTSIDE, "")
    if len(tag) > 2 and tag[1] in "-_" and tag[0] in _READ:
        return Part(_READ[tag[0]], tag[2:])
    return None


def _parts(tags: Sequence[str], scheme: Scheme) -> list[Part]:
    """Tags taken apart; in ``io`` a tag without letter is a type."""
    parts = []
    for tag in tags:
        found = part(tag)
        if found is None and scheme == "io":
            found = Part("I", tag)
        if found is None:
            raise ValueError(f"expected tags such as B-PER or O, got {tag!r}")
        parts.append(found)
    return parts


def _begins(before: Part, here: Part) -> bool:
    """Whether a span begins at a tag, as the CoNLL evaluation has it."""
    if here.letter == OUTSIDE:
        return False
    return here.letter in "BS" or before.letter in "ESO" or before.label != here.label


def read_spans(tags: Sequence[str], scheme: Scheme) -> list[Span]:
    """Spans that tags mark, in order, as the CoNLL evaluation reads them.

    Raises:
        ValueError: A tag has not the form of a span's; of plain tags there are no spans.
    """
    if scheme == "plain":
        raise ValueError("plain tags mark no spans")
    return [Span(*found) for found in _spans(_parts(tags, scheme))]


def _spans(parts: Sequence[Part]) -> Iterable[tuple[int, int, str]]:
    before, start = Part(OUTSIDE, ""), 0
    for place, here in enumerate(parts):
        begins = _begins(before, here)
        if before.letter != OUTSIDE and (begins or here.letter == OUTSIDE):
            yield start, place, before.label
        if begins:
            start = place
        before = here
    if before.letter != OUTSIDE:
        yield start, len(parts), before.label


def write_tags(spans: Iterable[Span], length: int, scheme: Scheme) -> list[str]:
    """Tags of spans in order.

    Raises:
        ValueError: Spans overlap, are empty or lie outside the sentence.
    """
    tags = [OUTSIDE] * length
    last = Span(0, 0, "")
    for span in spans:
        if not last.end <= span.start < span.end <= length:
            raise ValueError(f"{span} overlaps {last}, or is not within {length} tokens")
        touches = span.start == last.end and span.label == last.label
        letters = _letters(span.end - span.start, scheme, touches=touches)
        tags[span.start : span.end] = [f"{letter}-{span.label}" for letter in letters]
        last = span
    return tags


def _letters(length: int, scheme: Scheme, *, touches: bool) -> str:
    """Letters of a span; ``touches`` where it follows one of its type at once."""
    if scheme == "io" or (scheme == "iob1" and not touches):
        return "I" * length
    if scheme in ("iob1", "iob2"):
        return "B" + "I" * (length - 1)
    letters = _LETTERS[scheme]
    return letters[3] if length == 1 else letters[0] + letters[1] * (length - 2) + letters[2]


def convert(tags: Sequence[str], source: Scheme, target: Scheme) -> list[str]:
    """The same spans in another scheme; plain tags are left as they are."""
    if source == "plain" or target == "plain":
        if source != target:
            raise ValueError(f"{source} tags cannot be written as {target}")
        return list(tags)
    return write_tags(read_spans(tags, source), len(tags), target)


def _follows(before: Part, here: Part, scheme: Scheme) -> bool:
    """Whether a tag may follow another; before the first stands ``O``."""
    same = before.letter != OUTSIDE and before.label == here.label
    if scheme in ("plain", "io"):
        return True
    if scheme == "iob1":
        return here.letter != "B" or same
    if scheme == "iob2":
        return here.letter != "I" or same
    if before.letter in "BI":  # a span is open: it goes on or ends
        return same and here.letter in "IE"
    return here.letter in "OBS"


def invalid_places(tags: Sequence[str], scheme: Scheme) -> list[int]:
    """Numbers of the tokens whose tag cannot follow the tag before; the length for a bad end."""
    if scheme in ("plain", "io"):
        return []
    parts = [Part(OUTSIDE, ""), *_parts(tags, scheme)]
    wrong = [n for n in range(len(tags)) if not _follows(parts[n], parts[n + 1], scheme)]
    if not _follows(parts[-1], parts[0], scheme):
        wrong.append(len(tags))
    return wrong


def transitions(tags: Sequence[str], scheme: Scheme) -> Transitions:
    """Which of some tags may follow each other."""
    if scheme in ("plain", "io"):
        every = (True,) * len(tags)
        return Transitions(every, (every,) * len(tags), every)
    outside, parts = Part(OUTSIDE, ""), _parts(tags, scheme)
    return Transitions(
        tuple(_follows(outside, here, scheme) for here in parts),
        tuple(tuple(_follows(before, here, scheme) for here in parts) for before in parts),
        tuple(_follows(before, outside, scheme) for before in parts),
    )


class Placed(Protocol):
    """A sentence that says where it stands."""

    def place_of(self, token: int) -> str:
        """File and line of a token."""


class Detector:
    """The scheme of some files, told from all of their tags.

    Tags that look like spans' (``B-PER``, ``O``) beside others that do not are mixed schemes: an
    error. Between ``iob1`` and ``iob2`` decides what is seen more often.

    Attributes:
        places: First sentence and token of each tag.
    """

    def __init__(self) -> None:
        self.places: dict[str, tuple[Placed, int]] = {}
        self._letters: set[str] = set()
        self._iob1 = self._iob2 = 0

    def add(self, tags: Sequence[str], sentence: Placed) -> None:
        """Take in the tags of a sentence."""
        before = Part(OUTSIDE, "")
        for token, tag in enumerate(tags):
            if tag not in self.places:
                self.places[tag] = sentence, token
                if part(tag):
                    self._letters.add(tag[0])
            here = part(tag) or Part(OUTSIDE, "")
            same = before.letter != OUTSIDE and before.label == here.label
            self._iob1 += here.letter == "I" and not same
            self._iob2 += here.letter == "B" and not same
            before = here

    def place(self, tag: str) -> str:
        """File and line where a tag is seen first."""
        sentence, token = self.places[tag]
        return sentence.place_of(token)

    def scheme(self) -> Scheme:
        """The scheme.

        Raises:
            UserError: Schemes are mixed; the line names a place of each.
        """
        if set(self.places) == {OUTSIDE}:
            return "iob2"
        marked = next((tag for tag in self.places if part(tag) and tag != OUTSIDE), None)
        other = next((tag for tag in self.places if not part(tag)), None)
        if marked is None:
            return "plain"
        if other is not None:
            if OUTSIDE not in self.places:
                return "plain"  # parts of speech of which one has such a name
            raise UserError(
                f"{self.place(other)}: mixed schemes: tag {other!r} beside {marked!r} "
                f"({self.place(marked)}); expected O and tags such as B-PER, or --scheme plain"
            )
        letters = self._letters - {OUTSIDE}
        ends: tuple[Scheme, ...] = ("bioes", "bilou", "bmes")
        if letters <= set("BI"):
            if letters == {"I"}:
                return "io"
            return "iob1" if self._iob1 > self._iob2 else "iob2"
        for scheme in ends:
            if letters <= set(_LETTERS[scheme]):
                return scheme
        odd = next(tag for tag in self.places if tag[0] in letters - set("BI"))
        raise UserError(
            f"{self.place(odd)}: mixed schemes: tags begin with the letters "
            f"{', '.join(sorted(letters))}; expected B I, B I E S, B I L U or B M E S"
        )
