"""Subwords as tokens: byte-level byte-pair encoding (Sennrich et al., 2016; Radford et al., 2019).

Nothing is unknown: a character that was never seen is the bytes of its UTF-8.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from unrolled.errors import UserError
from unrolled.files import read_bytes, write_file
from unrolled.tasks.hugging_face import parse_tokenizer, tokenizers_package
from unrolled.tasks.text.options import BYTES
from unrolled.tasks.text.tokens.lines import encode_lines, lines_of
from unrolled.tasks.text.tokens.vocabulary import Vocabulary, lone_surrogates

_PROBE = (
    "The cat's 12 cafés, cafe\u0301s;\t나는 학교에 漢字 🙂👩‍👩‍👧 \u200b\xa0x  \ufb01 Å\u212b\x01"
    "\n \n  y \n"
)
"""Text that every tokenizer must give back: composed and decomposed letters, blanks, line ends."""


class Subwords(Vocabulary):
    """Subwords by the rules of a ``tokenizer.json``.

    Args:
        text: Content of the file.

    Raises:
        UserError: The package ``tokenizers`` is not installed.
        ValueError: It is no tokenizer, or one that does not give every text back.
    """

    unit: ClassVar[str] = "subword"
    file: ClassVar[str] = "tokenizer.json"
    unknown: int | None = None

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokenizer = tokenizer = parse_tokenizer(text, "--tokens subwords")
        tokenizer.no_truncation()
        tokenizer.no_padding()
        if getattr(tokenizer.model, "dropout", None):
            tokenizer.model.dropout = None  # merges left out by chance, as some train
        self._bytes = _bytes_of(tokenizer)
        found = b"".join(self._bytes[token] for token in self.encode(_PROBE).tolist())
        if found != _PROBE.encode():
            raise ValueError(
                "this tokenizer does not give every text back unchanged; expected a byte-level one "
                "without a normalizer, as GPT-2's"
            )

    @classmethod
    def fit(cls, texts: Callable[[], Iterable[str]], size: int) -> Subwords:
        """Learn subwords from a text, and number them by falling frequency.

        Args:
            texts: Gives the text, cut after lines; called twice.
            size: Most tokens.

        Raises:
            UserError: The package ``tokenizers`` is not installed.
        """
        package = tokenizers_package("--tokens subwords")
        byte_level = package.pre_tokenizers.ByteLevel
        tokenizer = package.Tokenizer(package.models.BPE())
        tokenizer.pre_tokenizer = byte_level(add_prefix_space=False)
        tokenizer.decoder = package.decoders.ByteLevel()
        trainer = package.trainers.BpeTrainer(
            vocab_size=size, initial_alphabet=sorted(byte_level.alphabet()), show_progress=False
        )
        tokenizer.train_from_iterator(map(lines_of, texts()), trainer)
        # The first block is enough to number them by: the order helps, but nothing depends on it.
        tokens = encode_lines(tokenizer, next(iter(texts()), ""))
        counts = np.bincount(tokens, minlength=tokenizer.get_vocab_size())
        return cls(_renumbered(tokenizer.to_str(), np.argsort(-counts, kind="stable").tolist()))

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self._bytes)

    def encode(self, text: str) -> npt.NDArray[np.uint32]:
        """Tokens of a text."""
        return encode_lines(self._tokenizer, text)

    def decode(self, token: int) -> str:
        """Text of a token; U+FFFD for each part of a character that is cut."""
        return self._bytes[token].decode("utf-8", "replace")

    def decoder(self) -> Callable[[int], str]:
        """A function from token to text; a character's first bytes wait for the others."""
        waiting = codecs.getincrementaldecoder("utf-8")("replace")
        return lambda token: waiting.decode(self._bytes[token])

    def unknown_in(self, text: str) -> str:
        """What is no text at all: lone surrogates."""
        return lone_surrogates(text)

    def save(self, path: Path) -> None:
        """Write as ``tokenizer.json``, which other programs read, too."""
        write_file(path, self._text.encode())

    @classmethod
    def load(cls, path: Path) -> Subwords:
        """Read a ``tokenizer.json``.

        Raises:
            UserError: The file is missing, no tokenizer, or one that does not give every text back;
                or the package ``tokenizers`` is not installed.
        """
        try:
            return cls(read_bytes(path).decode())
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: corrupt: not text in UTF-8") from error
        except ValueError as error:
            raise UserError(f"{path}: {error}") from error


def _bytes_of(tokenizer: Any) -> list[bytes]:
    """Bytes of each token, in order of their numbers.

    Raises:
        ValueError: The numbers are not 0, 1, 2, …
    """
    numbers: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    if sorted(numbers.values()) != list(range(len(numbers))):
        raise ValueError(f"expected token numbers from 0 to {len(numbers) - 1}, each once")
    table = _byte_table()
    found = [b""] * len(numbers)
    for word, number in numbers.items():
        known = all(letter in table for letter in word)
        found[number] = bytes(table[letter] for letter in word) if known else word.encode()
    for number, added in tokenizer.get_added_tokens_decoder().items():
        found[number] = added.content.encode()  # these are matched as they are
    if not all(found):
        raise ValueError("expected tokens of at least one byte")
    return found


def _byte_table() -> dict[str, int]:
    """The byte that each letter of a byte-level token stands for.

    Printable ones stand for themselves, the others are U+0100 and what follows.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(BYTES) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + place): byte for place, byte in enumerate(others)
    }


def _renumbered(text: str, order: Sequence[int]) -> str:
    """A tokenizer's JSON in which token ``order[i]`` has number i; merges name no numbers."""
    record = json.loads(text)
    numbers = {old: new for new, old in enumerate(order)}
    words = {word: numbers[old] for word, old in record["model"]["vocab"].items()}
    record["model"]["vocab"] = dict(sorted(words.items(), key=lambda item: item[1]))
    return json.dumps(record, ensure_ascii=False, indent=1)
