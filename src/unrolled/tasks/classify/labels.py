"""Labels of the training items and their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Labels:
    """The labels of the training items, sorted; whole numbers by their value.

    Attributes:
        names: The labels.
        counts: Number of training items with each.
        several: Whether an item may have none or several.
    """

    names: tuple[str, ...]
    counts: tuple[int, ...]
    several: bool = False

    @classmethod
    def of(cls, counts: Mapping[str, int], *, several: bool) -> Labels:
        """Labels that were counted."""
        whole = all(_is_whole(name) for name in counts)
        names = sorted(counts, key=(lambda name: (int(name), name)) if whole else str)
        return cls(tuple(names), tuple(counts[name] for name in names), several)

    def __len__(self) -> int:
        """Number of labels."""
        return len(self.names)

    def number(self, name: str) -> int | None:
        """Number of a label from 0; None if the training items do not have it."""
        return self._numbers.get(name)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: at for at, name in enumerate(self.names)}

    @classmethod
    def from_record(cls, record: Any) -> Labels:
        """Read back from JSON.

        Raises:
            LookupError: A value is missing.
            TypeError: A value is of another type.
            ValueError: A value cannot be.
        """
        names, counts = record["names"], record["counts"]
        fine = all(isinstance(one, list) for one in (names, counts)) and len(names) == len(counts)
        if not fine or not names or len(set(map(str, names))) != len(names):
            raise ValueError("expected labels and the count of each")
        words = all(isinstance(name, str) for name in names)
        if not words or not all(type(count) is int for count in counts):
            raise ValueError("expected labels in words and counts in numbers")
        if type(record["several"]) is not bool:
            raise ValueError("expected whether an item may have several labels")
        return cls(tuple(names), tuple(counts), record["several"])


def _is_whole(name: str) -> bool:
    return name.isascii() and name.removeprefix("-").isdecimal() and len(name) < 19
