"""The protocol of all vocabularies: text to token numbers, and token numbers back to text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

UNKNOWN = 0
"""Token of everything that is not in a vocabulary, where there is such a thing."""


class Vocabulary(ABC):
    """Tokens of one kind: characters, words or subwords.

    Attributes:
        unit: One token in a word: ``character``.
        file: Name of its file in a run's folder.
        by_frequency: Whether token numbers follow falling frequency, nearly at least.
        unknown: Token of everything that is not in the vocabulary; None where nothing is unknown.
    """

    unit: ClassVar[str]
    file: ClassVar[str]
    by_frequency: ClassVar[bool] = True
    unknown: int | None = UNKNOWN

    @abstractmethod
    def __len__(self) -> int:
        """Number of tokens, the unknown among them."""

    @abstractmethod
    def encode(self, text: str) -> npt.NDArray[np.uint32]:
        """Tokens of a text, the unknown for what is not in the vocabulary.

        A text may be cut after any line: its parts give the same tokens as the whole.
        """

    @abstractmethod
    def decode(self, token: int) -> str:
        """Text of a single token; U+FFFD for the unknown, and for a part of a character."""

    @abstractmethod
    def unknown_in(self, text: str) -> Sequence[str]:
        """Characters or words of a text that are not in the vocabulary, each once, in order."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write as JSON."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Smallest unsigned type that holds every token."""
        return np.dtype(np.min_scalar_type(len(self) - 1))

    def decoder(self) -> Callable[[int], str]:
        """A function from each token of a stream, in order, to the text that it completes."""
        return self.decode


def lone_surrogates(text: str) -> str:
    """Characters of a text that UTF-8 does not have, each once, in order."""
    return "".join(c for c in dict.fromkeys(text) if "\ud800" <= c <= "\udfff")
