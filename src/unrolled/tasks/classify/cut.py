"""Longest sequence that is kept, and the part that is kept of a longer one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Cut:
    """Longest sequence that is kept.

    Attributes:
        max_length: In steps; None for any.
        keep: Part that is kept of a longer one: its beginning, or beginning and end.
    """

    max_length: int | None = None
    keep: Literal["beginning", "ends"] = "beginning"

    def __call__(self, sequence: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The part of a sequence, ``[T]`` or ``[T, C]``, that is kept."""
        most = self.max_length
        if most is None or len(sequence) <= most:
            return sequence
        if self.keep == "beginning":
            return sequence[:most]
        tail = most // 2
        return np.concatenate([sequence[: most - tail], sequence[len(sequence) - tail :]])

    @classmethod
    def from_record(cls, record: Any) -> Cut:
        """Read back from JSON.

        Raises:
            LookupError: A value is missing.
            TypeError: A value is of another type.
            ValueError: A value cannot be.
        """
        most, keep = record["max_length"], record["keep"]
        if keep not in ("beginning", "ends"):
            raise ValueError("expected the beginning or both ends to be kept")
        if most is not None and (type(most) is not int or most < 1):
            raise ValueError("expected a longest sequence of 1 step or more")
        return cls(most, keep)
