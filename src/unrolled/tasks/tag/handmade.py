"""Hand-made features of tokens, as texts: for the cheap method and for a tagger's sparse features.

Of words: the word without case, its shape, its first and last one to four letters, whether it is a
number or has capitals, and the same of the words around it. Of characters: the characters up to
three places away, their kinds, and those next to each other together.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

_WINDOW = 3
"""Characters on either side."""


def features(tokens: Sequence[str], character_level: bool) -> list[list[str]]:
    """Features of each token of a sentence."""
    return _of_characters(tokens) if character_level else _of_words(tokens)


@lru_cache(1 << 16)
def _word(token: str) -> tuple[str, ...]:
    """Features of a word wherever it stands."""
    lower = token.lower()
    found = [f"w={lower}", f"shape={shape(token)}"]
    found += [f"first={lower[:n]}" for n in range(1, 5) if n <= len(lower)]
    found += [f"last={lower[-n:]}" for n in range(1, 5) if n <= len(lower)]
    return (*found, *_flags(token))


@lru_cache(1 << 16)
def _neighbour(token: str) -> tuple[str, ...]:
    """Features of a word beside another."""
    return (f"w={token.lower()}", f"shape={shape(token)}", *_flags(token))


def _flags(token: str) -> list[str]:
    tests = {"digit": str.isdigit, "title": str.istitle, "upper": str.isupper}
    return [name for name, test in tests.items() if test(token)]


def shape(token: str) -> str:
    """Shape of a word: ``Xx`` for ``London``, ``d-X`` for ``747-B``; runs of a kind count once."""
    found = ""
    for character in token:
        kind = (
            "X"
            if character.isupper()
            else "x"
            if character.isalpha()
            else "d"
            if character.isdigit()
            else character
        )
        if not found.endswith(kind):
            found += kind
    return found


def _of_words(tokens: Sequence[str]) -> list[list[str]]:
    rows = []
    for place, token in enumerate(tokens):
        row = ["always", *_word(token)]
        for step in (-2, -1, 1, 2):
            if 0 <= place + step < len(tokens):
                row += [f"{step}{one}" for one in _neighbour(tokens[place + step])]
            else:
                row.append(f"{step}none")
        rows.append(row)
    return rows


def pairs(tokens: Sequence[str]) -> list[list[str]]:
    """Each word together with a neighbour, without case; and the shapes of both."""
    padded = ["", *tokens, ""]
    words = [token.lower() for token in padded]
    shapes = [shape(token) for token in padded]
    return [
        [
            f"w-1w={words[t - 1]} {words[t]}",
            f"ww1={words[t]} {words[t + 1]}",
            f"s-1s={shapes[t - 1]} {shapes[t]}",
            f"ss1={shapes[t]} {shapes[t + 1]}",
            f"w-1s={words[t - 1]} {shapes[t]}",
            f"sw1={shapes[t]} {words[t + 1]}",
        ]
        for t in range(1, len(tokens) + 1)
    ]


@lru_cache(1 << 16)
def _kind(character: str) -> str:
    """Kind of a character: its script or its category."""
    if character.isdigit():
        return "digit"
    if character.isalpha():
        return unicodedata.name(character[0], "LETTER").split(" ")[0]
    return unicodedata.category(character[0])


def _of_characters(tokens: Sequence[str]) -> list[list[str]]:
    edge = ["<s>"] * _WINDOW
    padded = [*edge, *tokens, *edge]
    kinds = [*edge, *map(_kind, tokens), *edge]
    rows = []
    for middle in range(_WINDOW, _WINDOW + len(tokens)):
        row = ["always"]
        for length in (1, 2, 3):
            for start in range(-_WINDOW, _WINDOW + 2 - length):
                piece = padded[middle + start : middle + start + length]
                row.append(f"{start}:{length}={'|'.join(piece)}")
        row += [f"{step}kind={kinds[middle + step]}" for step in (-2, -1, 0, 1, 2)]
        row.append(f"kinds={'|'.join(kinds[middle - 1 : middle + 2])}")
        rows.append(row)
    return rows
