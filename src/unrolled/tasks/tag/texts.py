"""Plain text as sentences: one a line, cut into words or characters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from .sentences import Sentence, Unit, check_length

# \w and the marks that combine with it: vowel signs, accents that stand for themselves.
_LETTER = r"(?:\w[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0dff\u0e31-\u0e4e]*)"
_WORD = re.compile(rf"{_LETTER}+(?:['’.\-]{_LETTER}+)*|[^\w\s]")


def tokenise(text: str, unit: Unit) -> list[tuple[int, int]]:
    """Tokens of a text as first character and the one after the last.

    By word: runs of letters, digits and marks with apostrophes, full stops or hyphens between
    them, and every other character that is no blank alone. By character: every character, blanks
    too.
    """
    if unit == "character":
        return [(place, place + 1) for place in range(len(text))]
    return [match.span() for match in _WORD.finditer(text)]


def read_texts(lines: Iterable[str], name: str, unit: Unit, document: int) -> Iterator[Sentence]:
    """A sentence a line; lines without a token are left out."""
    for number, line in enumerate(lines, 1):
        if offsets := tokenise(line, unit):
            document += 1
            tokens = tuple(line[start:end] for start, end in offsets)
            check_length(len(tokens), f"{name}:{number}", "line")
            yield Sentence(tokens, None, tuple(offsets), f"{name}:{number}", document, text=line)
