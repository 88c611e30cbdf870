"""Features of tokens as numbers: form, shape, affixes, characters, and n-grams around them.

Every feature has a vocabulary from the training data. Number 0 stands for what it lacks, and for
padding. What depends on a token's form alone is looked up once for each form.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from unrolled.errors import UserError
from unrolled.files import read_json, write_file

from .handmade import features as hand_made
from .handmade import pairs

Numbers = npt.NDArray[np.int64]

LONGEST_TOKEN = 32
"""Characters of a token that the character layers read: its beginning and its end."""

_REMEMBERED = 1 << 16
"""Forms whose features are kept in memory."""

_EDGE = "\n"
"""Stands before and after a sentence in n-grams; no token has it."""


def shape(token: str) -> str:
    """Classes of a token's characters, repetitions after the second left out: ``Xxx-dd``."""
    classes: list[str] = []
    for character in token[:LONGEST_TOKEN]:
        kind = _class(character)
        if len(classes) < 2 or not kind == classes[-1] == classes[-2]:
            classes.append(kind)
    return "".join(classes)


def _class(character: str) -> str:
    if character.isdigit():
        return "d"
    if character.isalpha():
        if character.isupper():
            return "X"
        return "x" if character.islower() else _script(character)
    return " " if character.isspace() else character


def _script(character: str) -> str:
    """A letter without case by its block: alphabets and syllabaries look different."""
    code = ord(character)
    if 0xAC00 <= code < 0xD7A4:
        return "가"
    return "漢" if 0x4E00 <= code < 0xA000 else "あ" if 0x3040 <= code < 0x3100 else "ㄱ"


def normal(token: str, *, lower: bool) -> str:
    """A token's form in the vocabulary of words: lower case, every digit a zero."""
    token = token.lower() if lower else token
    return "".join("0" if character.isdigit() else character for character in token)


@dataclass(frozen=True)
class FeatureSizes:
    """Which features there are.

    Attributes:
        lower: Whether words are looked up in lower case.
        affixes: Longest prefix and suffix in characters; 0 for none.
        ngrams: Longest n-gram of tokens around each; 1 for none.
        characters: Whether characters are read.
        sparse: Unit of the tokens of which there are hand-made features; None for no such features.
    """

    lower: bool = True
    affixes: int = 4
    ngrams: int = 1
    characters: bool = True
    sparse: Literal["word", "character"] | None = None


@dataclass
class Features:
    """Vocabularies, and the way from tokens to numbers.

    Attributes:
        sizes: Which features there are.
        words: Number of each form.
        shapes: Number of each shape.
        affixes: For each affix (prefixes from short to long, then suffixes) its numbers.
        characters: Number of each character.
        ngrams: For each window its numbers.
        sparse: Number of each hand-made feature.
        vectors: Number of each word that has a vector from a file.
    """

    sizes: FeatureSizes
    words: dict[str, int]
    shapes: dict[str, int]
    affixes: list[dict[str, int]]
    characters: dict[str, int]
    ngrams: list[dict[str, int]]
    sparse: dict[str, int] = field(default_factory=dict)
    vectors: dict[str, int] = field(default_factory=dict)
    _known: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @classmethod
    def count(
        cls, sentences: Iterable[Sequence[str]], sizes: FeatureSizes, *, least: int = 1
    ) -> Features:
        """Vocabularies of sentences.

        Affixes, shapes, n-grams and hand-made features are taken from two occurrences on: others
        say nothing about tokens that are yet to come.

        Args:
            sentences: Their tokens.
            sizes: Which features there are.
            least: Occurrences from which on a word is in the vocabulary.
        """
        words: Counter[str] = Counter()
        shapes: Counter[str] = Counter()
        affixes: list[Counter[str]] = [Counter() for _ in range(2 * sizes.affixes)]
        characters: Counter[str] = Counter()
        ngrams: list[Counter[str]] = [Counter() for _ in windows(sizes.ngrams)]
        sparse: Counter[str] = Counter()
        tokens: Counter[str] = Counter()
        for sentence in sentences:
            tokens.update(sentence)
            for counter, (first, stop) in zip(ngrams, windows(sizes.ngrams), strict=True):
                counter.update(_ngrams(sentence, first, stop))
            if sizes.sparse:
                for row in _sparse(sentence, sizes.sparse):
                    sparse.update(row)
        for token, count in tokens.items():
            words[normal(token, lower=sizes.lower)] += count
            shapes[shape(token)] += count
            for counter, affix in zip(affixes, _affixes(token, sizes.affixes), strict=True):
                counter[affix] += count
            for character in token:
                characters[character] += count
        return cls(
            sizes,
            _numbers(words, least),
            _numbers(shapes, 2),
            [_numbers(counter, 2) for counter in affixes],
            _numbers(characters, 2),
            [_numbers(counter, 2) for counter in ngrams],
            _numbers(sparse, 2),
        )

    @property
    def columns(self) -> list[int]:
        """Size of the vocabulary of each number of a form: word, shape, affixes, vector."""
        every = (self.words, self.shapes, *self.affixes, self.vectors)
        return [len(one) + 1 for one in every]

    def form(self, token: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Numbers of a form (word, shape, affixes, vector), and of its characters."""
        found = self._known.get(token)
        if found is None:
            word = normal(token, lower=self.sizes.lower)
            affixes = _affixes(token, self.sizes.affixes)
            numbers = (
                self.words.get(word, 0),
                self.shapes.get(shape(token), 0),
                *(known.get(affix, 0) for known, affix in zip(self.affixes, affixes, strict=True)),
                self.vectors.get(token) or self.vectors.get(token.lower(), 0),
            )
            half = LONGEST_TOKEN // 2
            read = token if len(token) <= LONGEST_TOKEN else token[:half] + token[-half:]
            characters = tuple(self.characters.get(one, 0) + 1 for one in read)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[token] = numbers, characters
        return found

    def windows(self, sentence: Sequence[str]) -> Numbers:
        """Numbers of the n-grams around each token, ``[T, windows]``."""
        found = [
            [known.get(one, 0) for one in _ngrams(sentence, first, stop)]
            for known, (first, stop) in zip(self.ngrams, windows(self.sizes.ngrams), strict=True)
        ]
        return np.array(found, np.int64).reshape(len(found), len(sentence)).T

    def sparse_rows(self, sentence: Sequence[str]) -> list[list[int]]:
        """Numbers of each token's hand-made features, without those that are unknown."""
        rows = _sparse(sentence, self.sizes.sparse)
        return [[number for one in row if (number := self.sparse.get(one))] for row in rows]

    def save(self, path: Path) -> None:
        """Write as JSON."""
        content = {
            "sizes": vars(self.sizes),
            "words": list(self.words),
            "shapes": list(self.shapes),
            "affixes": [list(one) for one in self.affixes],
            "characters": list(self.characters),
            "ngrams": [list(one) for one in self.ngrams],
            "sparse": list(self.sparse),
            "vectors": list(self.vectors),
        }
        # lone surrogates, which JSON files may hold, stay escapes
        write_file(path, json.dumps(content).encode())

    @classmethod
    def load(cls, path: Path) -> Features:
        """Read back.

        Raises:
            UserError: The file is missing or not what `save` wrote.
        """
        content = read_json(path)
        try:
            sizes = FeatureSizes(**content["sizes"])
            names = ("words", "shapes", "characters", "sparse", "vectors")
            lists = [content[name] for name in names]
            many = [content["affixes"], content["ngrams"]]
            entries = [*lists, *many[0], *many[1]]
            if not all(isinstance(one, list) for one in entries) or not all(
                isinstance(text, str) for one in entries for text in one
            ):
                raise TypeError("lists of texts")
            words, shapes, characters, sparse, vectors = (_enumerated(one) for one in lists)
            affixes, ngrams = ([_enumerated(one) for one in group] for group in many)
            if sizes.sparse not in (None, "word", "character"):
                raise ValueError("a unit of tokens")
            if len(affixes) != 2 * sizes.affixes or len(ngrams) != len(windows(sizes.ngrams)):
                raise ValueError("as many vocabularies as features")
        except (TypeError, KeyError, ValueError) as error:
            raise UserError(f"{path}: corrupt: not the features of a tagging run") from error
        return cls(sizes, words, shapes, affixes, characters, ngrams, sparse, vectors)


def windows(longest: int) -> list[tuple[int, int]]:
    """N-grams of 2 to ``longest`` tokens that touch a token: first and end, relative to it."""
    return [
        (first, first + length)
        for length in range(2, longest + 1)
        for first in range(1 - length, 1)
    ]


def _ngrams(sentence: Sequence[str], first: int, stop: int) -> list[str]:
    """The n-gram at each token; one that crosses an edge of the sentence contains it."""
    padded = [*[_EDGE] * -first, *sentence, *[_EDGE] * (stop - 1)]
    width = stop - first
    return ["\t".join(padded[t : t + width]) for t in range(len(sentence))]


def _sparse(sentence: Sequence[str], unit: str | None) -> list[list[str]]:
    """Hand-made features of each token; those of words with pairs of neighbours."""
    if unit is None:
        return [[] for _ in sentence]
    rows = hand_made(sentence, unit == "character")
    if unit == "character":
        return rows
    return [[*row, *two] for row, two in zip(rows, pairs(sentence), strict=True)]


def _affixes(token: str, longest: int) -> list[str]:
    """Prefixes of 1 to ``longest`` characters, then suffixes; a short token has its whole."""
    return [token[:n] for n in range(1, longest + 1)] + [token[-n:] for n in range(1, longest + 1)]


def _numbers(counted: Mapping[str, int], least: int) -> dict[str, int]:
    """Numbers from 1, the most frequent first."""
    ranked = sorted(counted.items(), key=lambda one: (-one[1], one[0]))
    return _enumerated([text for text, count in ranked if count >= least])


def _enumerated(texts: Sequence[str]) -> dict[str, int]:
    return {text: number for number, text in enumerate(texts, 1)}
