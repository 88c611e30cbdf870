"""The data of a run, from the cache in its folder, handed out in batches.

In ``cache/`` lie

- ``texts`` (UTF-8) and ``tokens``, or ``series`` as they were read,
- ``labels`` (numbers) and ``places`` (UTF-8) of each item,
- ``train.npy`` and ``validation.npy``: numbers of the items of each part.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unrolled.errors import UserError
from unrolled.tasks.ragged import Ragged, load_array, pad

from .encoding import NAME, Encoding
from .items import Item, Values
from .series_encoder import SeriesEncoder
from .text_encoder import TextEncoder

Indices = npt.NDArray[np.int64]

CACHE = "cache"
"""Name of the folder within a run's."""


class Batch(NamedTuple):
    """Items side by side, on the CPU.

    Attributes:
        inputs: Tokens int64 ``[T, N]`` of texts, or scaled values float32 ``[T, N, C]`` of series.
        lengths: Steps of each, int64 ``[N]``.
        targets: Number of each item's label, int64 ``[N]``; where items have several labels, 1 for
            those they have and 0 for the others, float32 ``[N, labels]``.
    """

    inputs: Tensor
    lengths: Tensor
    targets: Tensor


class Part:
    """Training or validation items, in the cache.

    Args:
        encoding: How items become numbers.
        rows: Numbers of the part's items in the cache.
        inputs: Tokens, or series as they were read.
        labels: Numbers of the labels.
        places: Files and lines in UTF-8.
        texts: Texts in UTF-8; None for series.

    Attributes:
        encoding: How items become numbers.
        lengths: Steps of each item, int64 ``[items]``.
    """

    def __init__(
        self,
        encoding: Encoding,
        rows: Indices,
        inputs: Ragged,
        labels: Ragged,
        places: Ragged,
        texts: Ragged | None,
    ) -> None:
        self.encoding = encoding
        self._rows, self._inputs, self._labels = rows, inputs, labels
        self._places, self._texts = places, texts
        most = encoding.inputs.cut.max_length
        lengths: Indices = inputs.lengths[rows]
        self.lengths: Indices = lengths if most is None else np.minimum(lengths, most)

    def __len__(self) -> int:
        """Number of items."""
        return len(self._rows)

    def batch(self, indices: Sequence[int] | Indices) -> Batch:
        """Some items by number, in the order given.

        Args:
            indices: Numbers from 0 to the part's length; one or more.
        """
        inputs = [self._inputs[self._rows[index]] for index in indices]
        encoder = self.encoding.inputs
        if isinstance(encoder, SeriesEncoder):
            inputs = [encoder.encode(one) for one in inputs]
        padded, lengths = pad(inputs)
        return Batch(padded, lengths, torch.from_numpy(self._targets(indices)))

    def targets(self) -> npt.NDArray[Any]:
        """Targets of all items, as `Batch` has them."""
        return self._targets(range(len(self)))

    def _targets(self, indices: Sequence[int] | Indices) -> npt.NDArray[Any]:
        found = [self._labels[self._rows[index]] for index in indices]
        if not self.encoding.labels.several:
            return np.array([one[0] for one in found], np.int64)
        marks = np.zeros((len(found), len(self.encoding.labels)), np.float32)
        for row, one in zip(marks, found, strict=True):
            row[one] = 1
        return marks

    def item(self, index: int) -> Item:
        """An item as it was read."""
        return Item(self.text(index), self.series(index), self.labels(index), self.place(index))

    def labels(self, index: int) -> tuple[str, ...]:
        """Labels of an item."""
        names = self.encoding.labels.names
        return tuple(names[number] for number in self._labels[self._rows[index]])

    def text(self, index: int) -> str | None:
        """An item's text as it was read; None for a series."""
        return None if self._texts is None else text_of(self._texts, self._rows[index])

    def series(self, index: int) -> Values | None:
        """An item's values as they were read, ``[T, C]``; None for a text."""
        return None if self._texts is not None else self._inputs[self._rows[index]]

    def place(self, index: int) -> str:
        """File and line of an item."""
        return text_of(self._places, self._rows[index])


def open_part(folder: Path, name: Literal["train", "validation"]) -> Part:
    """Items of a run's cache; of validation there may be none.

    Args:
        folder: The run's folder.
        name: Which part.

    Raises:
        UserError: Its files are missing or corrupt, or do not fit each other.
    """
    encoding = Encoding.load(folder / NAME)
    cache = folder / CACHE
    rows = load_array(cache / f"{name}.npy")
    texts = encoding.kind == "text"
    inputs = Ragged.open(cache / ("tokens" if texts else "series"))
    others = [Ragged.open(cache / one) for one in ("labels", "places", *["texts"] * texts)]
    if rows.ndim != 1 or rows.dtype != np.int64 or any(len(one) != len(inputs) for one in others):
        raise UserError(f"{cache}: corrupt: its files do not fit each other")
    if len(rows) and not (rows.min() >= 0 and rows.max() < len(inputs)):
        raise UserError(f"{cache / name}.npy: corrupt: it names items that are not there")
    _check_inputs(inputs, encoding, cache)
    labels = others[0]
    if labels.flat.dtype != np.int32 or labels.flat.ndim != 1:
        raise UserError(f"{cache / 'labels'}.npy: corrupt: expected int32")
    outside = len(labels.flat) and not (
        labels.flat.min() >= 0 and labels.flat.max() < len(encoding.labels)
    )
    if outside or (not encoding.labels.several and bool((labels.lengths != 1).any())):
        raise UserError(f"{cache / 'labels'}.npy: does not fit {NAME}")
    return Part(encoding, rows, inputs, labels, others[1], others[2] if texts else None)


def _check_inputs(inputs: Ragged, encoding: Encoding, cache: Path) -> None:
    encoder = encoding.inputs
    if isinstance(encoder, TextEncoder):
        path = f"{cache / 'tokens'}.npy"
        if inputs.channels is not None or inputs.flat.dtype.kind != "u":
            raise UserError(f"{path}: corrupt: expected unsigned numbers in one dimension")
        for start in range(0, len(inputs.flat), 1 << 22):
            highest = int(inputs.flat[start : start + (1 << 22)].max())
            if highest >= encoder.size:
                raise UserError(
                    f"{path}: does not fit {NAME}: it holds token {highest}, and there are "
                    f"{encoder.size}"
                )
    elif inputs.channels != encoder.channels:
        raise UserError(f"{cache / 'series'}.npy: does not fit {NAME}: other channels")
    if len(inputs) and not int(inputs.lengths.min()):
        raise UserError(f"{cache}: corrupt: it holds an item without steps")


def text_of(texts: Ragged, row: Any) -> str:
    """A text of the cache."""
    return bytes(texts[row].tobytes()).decode("utf-8", "replace")
