"""The tags between which a model chooses.

Spans are learned with a tag of their own for the end and for single tokens (``bioes``): where a
span stops is then something that the scores of a token say, not only those of the token after it.
Outside of the model tags are ``iob2``. Plain tags are the same inside and outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

from .data import TagSet
from .schemes import OUTSIDE, Transitions, convert, transitions


class Labels:
    """Tags of a model and their numbers.

    Args:
        tags: The tags of the data.

    Attributes:
        tags: The tags of the data.
        scheme: Scheme of the model's tags.
        names: The model's tags; the number of a tag is its place.
    """

    def __init__(self, tags: TagSet) -> None:
        self.tags = tags
        self.scheme: Literal["plain", "bioes"] = "plain" if tags.scheme == "plain" else "bioes"
        self.names = tags.tags
        if self.scheme == "bioes":
            spans = (f"{letter}-{label}" for label in tags.types for letter in "BIES")
            self.names = (OUTSIDE, *spans)

    def __len__(self) -> int:
        """Number of the model's tags."""
        return len(self.names)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Number of each tag."""
        return {name: number for number, name in enumerate(self.names)}

    @property
    def rules(self) -> Transitions:
        """Tags that may follow each other."""
        return transitions(self.names, self.scheme)

    def encode(self, tags: Sequence[str]) -> list[int]:
        """Numbers of a sentence's tags, given as the data has them."""
        return [self.numbers[tag] for tag in convert(tags, self.tags.scheme, self.scheme)]

    def decode(self, numbers: Sequence[int]) -> list[str]:
        """Tags of a sentence, as the data has them."""
        return convert([self.names[one] for one in numbers], self.scheme, self.tags.scheme)

    def span(self, label: str, length: int) -> list[int]:
        """Numbers of the tags of a span."""
        if length == 1:
            return [self.numbers[f"S-{label}"]]
        middle = [self.numbers[f"I-{label}"]] * (length - 2)
        return [self.numbers[f"B-{label}"], *middle, self.numbers[f"E-{label}"]]
