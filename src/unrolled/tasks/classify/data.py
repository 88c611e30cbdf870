"""The data of a run: read once, kept in the run folder's cache, handed out in batches.

The user's files are read once. Every item goes to the cache as it is; what is then drawn for
validation and learnt about characters and scales comes from there. Memory holds a few numbers for
each item and never its text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy.typing as npt
from torch import Tensor

from .encoding import Encoding
from .options import DataOptions


class Batch(NamedTuple):
    """Items side by side.

    Attributes:
        inputs: Tokens int64 ``[T, N]`` of texts, or scaled values float32 ``[T, N, C]`` of series.
        lengths: Steps of each, int64 ``[N]``.
        targets: Number of each item's label, int64 ``[N]``; where items have several labels, 1 for
            those they have and 0 for the others, float32 ``[N, labels]``.
    """

    inputs: Tensor
    lengths: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Facts:
    """What preparing the data found.

    Attributes:
        kind: Whether the items are texts or series.
        items: Number of items to train on.
        validation: Number of items to validate on.
        skipped: Number of broken rows left out.
        duplicates: Number of items that repeat an earlier one, in any part.
        steps: Steps of all training items together.
        unknown: Share of the validation items' steps that are unknown tokens; 0 for series.
        cut: Number of items that were longer than --max-length.
    """

    kind: Literal["text", "series"]
    items: int
    validation: int
    skipped: int
    duplicates: int
    steps: int
    unknown: float
    cut: int


class Part:
    """Training or validation items, in the cache.

    Attributes:
        encoding: How items become numbers.
        lengths: Steps of each item, int64 ``[items]``.
    """

    encoding: Encoding
    lengths: npt.NDArray

    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int] | npt.NDArray) -> Batch:
        """Some items by number, in the order given."""

    def targets(self) -> npt.NDArray:
        """Targets of all items, as `Batch` has them."""

    def text(self, index: int) -> str | None:
        """An item's text as it was read; None for a series."""

    def series(self, index: int) -> npt.NDArray | None:
        """An item's values as they were read, ``[T, C]``; None for a text."""

    def place(self, index: int) -> str:
        """File and line of an item."""


def prepare_data(options: DataOptions, draft: Path, *, seed: int = 0) -> Facts:
    """Read the user's files; write ``encoding.json`` and ``cache/`` into a run folder.

    Raises:
        UserError: The data cannot be used.
        OSError: A file cannot be written, or the disk is full.
    """


def open_part(folder: Path, name: Literal["train", "validation"]) -> Part:
    """Items of a run's cache; a part may have no items.

    Raises:
        UserError: Its files are missing or corrupt.
    """
