"""Characters as tokens: one Unicode code point each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from unrolled.errors import UserError
from unrolled.files import read_json, write_file
from unrolled.tasks.text.tokens.vocabulary import UNKNOWN, Vocabulary

_CODE_POINTS = 0x110000


class Characters(Vocabulary):
    """Characters and their tokens: token 0 is the unknown, the others follow by code point.

    Args:
        characters: The known characters, in order of code point, each once.
    """

    unit: ClassVar[str] = "character"
    file: ClassVar[str] = "vocabulary.json"
    by_frequency: ClassVar[bool] = False

    def __init__(self, characters: str) -> None:
        self.characters = characters
        self._table: npt.NDArray[np.uint32] = np.zeros(_CODE_POINTS, np.uint32)
        self._table[_code_points(characters)] = np.arange(1, len(characters) + 1)

    def __len__(self) -> int:
        """Number of tokens, the unknown among them."""
        return len(self.characters) + 1

    def encode(self, text: str) -> npt.NDArray[np.uint32]:
        """Tokens of a text, ``UNKNOWN`` for characters that are not in the vocabulary."""
        return self._table[_code_points(text)]

    def decode(self, token: int) -> str:
        """The character of a token; U+FFFD for the unknown."""
        return "\N{REPLACEMENT CHARACTER}" if token == UNKNOWN else self.characters[token - 1]

    def unknown_in(self, text: str) -> str:
        """The characters of a text that are not in the vocabulary, each once, in order."""
        return "".join(c for c in dict.fromkeys(text) if not self._table[ord(c)])

    def save(self, path: Path) -> None:
        """Write as JSON."""
        record = {"format": 1, "kind": "characters", "characters": self.characters}
        write_file(path, json.dumps(record, ensure_ascii=False, indent=1).encode())

    @classmethod
    def load(cls, path: Path) -> Characters:
        """Read back.

        Raises:
            UserError: The file is missing or not a vocabulary of characters.
        """
        record = read_json(path)
        characters = record.get("characters") if isinstance(record, dict) else None
        if not isinstance(characters, str) or record.get("format") != 1:
            raise UserError(f"{path}: not a vocabulary of this version of unrolled")
        try:
            points = _code_points(characters)
        except UnicodeEncodeError as error:
            raise UserError(f"{path}: corrupt: it holds a lone surrogate") from error
        if len(points) == 0 or bool((np.diff(points.astype(np.int64)) <= 0).any()):
            raise UserError(f"{path}: corrupt: expected characters in order, each once")
        return cls(characters)


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), np.dtype("<u4"))
