"""Words as tokens: each carries the blank before it, so that a text comes back as it was."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import numpy as np
import numpy.typing as npt

from unrolled.errors import UserError
from unrolled.files import read_json, write_file
from unrolled.tasks.hugging_face import tokenizers_package
from unrolled.tasks.text.tokens.lines import encode_lines, lines_of
from unrolled.tasks.text.tokens.vocabulary import UNKNOWN, Vocabulary, lone_surrogates

Split = Literal["marks", "blanks"]
"""Places where a text is cut: at blanks and around punctuation marks, or at blanks alone."""

_LETTER = r"\p{L}\p{M}\p{N}_"
_PATTERNS: dict[str, str] = {
    "marks": rf" ?\n| ?[{_LETTER}]+(?:['’][\p{{L}}\p{{M}}]+)*| ?[^\s{_LETTER}]|\s",
    "blanks": r" ?\n| ?\S+|\s",
}
"""Regular expressions of one token; each matches every text from end to end.

A line's end takes a blank before it, so that a text whose lines end in a blank, as those of the
Penn Treebank do, has as many tokens as words and lines.
"""

_MARK = "\N{REPLACEMENT CHARACTER}"
"""The unknown, as text."""


class Words(Vocabulary):
    """Words and their tokens: token 0 is the unknown, the others follow by falling frequency.

    Args:
        words: The known words with the blanks before them, each once.
        split: Places where a text is cut.

    Raises:
        UserError: The package ``tokenizers`` is not installed.
    """

    unit: ClassVar[str] = "word"
    file: ClassVar[str] = "vocabulary.json"

    def __init__(self, words: Sequence[str], split: Split) -> None:
        self.words, self.split = [_MARK, *words], split
        numbers = {word: number for number, word in enumerate(self.words)}
        self._tokenizer = _tokenizer(split, numbers)

    @classmethod
    def fit(cls, texts: Iterable[str], size: int, split: Split) -> Words:
        """The most frequent words of a text.

        Args:
            texts: The text, cut after lines.
            size: Most tokens, the unknown among them.
            split: Places where it is cut.

        Raises:
            UserError: The package ``tokenizers`` is not installed.
        """
        tokenizer = _tokenizer(split, {})
        trainers = tokenizers_package("--tokens words").trainers
        # One more than is needed: the mark of the unknown may stand in the text.
        trainer = trainers.WordLevelTrainer(vocab_size=size, show_progress=False)
        tokenizer.train_from_iterator(map(lines_of, texts), trainer)
        numbers: dict[str, int] = tokenizer.get_vocab()
        words = [word for word in sorted(numbers, key=numbers.__getitem__) if word != _MARK]
        return cls(words[: size - 1], split)

    def __len__(self) -> int:
        """Number of tokens, the unknown among them."""
        return len(self.words)

    def encode(self, text: str) -> npt.NDArray[np.uint32]:
        """Tokens of a text, ``UNKNOWN`` for words that are not in the vocabulary."""
        return encode_lines(self._tokenizer, text)

    def decode(self, token: int) -> str:
        """The word of a token with the blank before it; U+FFFD for the unknown."""
        return self.words[token]

    def unknown_in(self, text: str) -> list[str]:
        """The words of a text that are not in the vocabulary, each once, in order."""
        if lone := lone_surrogates(text):
            return list(lone)
        cut = self._tokenizer.pre_tokenizer.pre_tokenize_str
        pieces = [piece for line in lines_of(text) for piece, _ in cut(line)]
        known = self._tokenizer.token_to_id
        return [one for one in dict.fromkeys(pieces) if known(one) in (None, UNKNOWN)]

    def save(self, path: Path) -> None:
        """Write as JSON."""
        record = {"format": 1, "kind": "words", "split": self.split, "words": self.words[1:]}
        write_file(path, json.dumps(record, ensure_ascii=False, indent=0).encode())

    @classmethod
    def load(cls, path: Path) -> Words:
        """Read back.

        Raises:
            UserError: The file is missing or not a vocabulary of words, or the package
                ``tokenizers`` is not installed.
        """
        record = read_json(path)
        record = record if isinstance(record, dict) else {}
        words, split = record.get("words"), str(record.get("split"))
        if record.get("format") != 1 or record.get("kind") != "words" or split not in _PATTERNS:
            raise UserError(f"{path}: not a vocabulary of words of this version of unrolled")
        if not isinstance(words, list) or not all(isinstance(one, str) for one in words):
            raise UserError(f"{path}: corrupt: expected a list of words")
        if not words or len({*words, _MARK, ""}) != len(words) + 2:
            raise UserError(f"{path}: corrupt: expected words, each once")
        if lone_surrogates("".join(words)):
            raise UserError(f"{path}: corrupt: it holds a lone surrogate")
        return cls(words, cast(Split, split))


def _tokenizer(split: Split, numbers: dict[str, int]) -> Any:
    package = tokenizers_package("--tokens words")
    if numbers:
        tokenizer = package.Tokenizer(package.models.WordLevel(numbers, unk_token=_MARK))
    else:
        tokenizer = package.Tokenizer(package.models.WordLevel(unk_token=_MARK))
    pattern = package.Regex(_PATTERNS[split])
    tokenizer.pre_tokenizer = package.pre_tokenizers.Split(pattern, behavior="isolated")
    return tokenizer
