"""From texts, series and labels to numbers; saved with a run and independent of its files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from unrolled.errors import UserError
from unrolled.files import read_json, write_file
from unrolled.tasks.ragged import pad

from .items import Item
from .labels import Labels
from .series_encoder import SeriesEncoder
from .text_encoder import TextEncoder

FORMAT = 1
"""Number of the file's format."""


NAME = "encoding.json"
"""Name of the file in a run's folder."""


@dataclass(frozen=True)
class Encoding:
    """How a run's items and labels become numbers.

    Attributes:
        inputs: Encoder of texts or series.
        labels: The labels.
    """

    inputs: TextEncoder | SeriesEncoder
    labels: Labels

    @property
    def kind(self) -> Literal["text", "series"]:
        """Kind of the items."""
        return "text" if isinstance(self.inputs, TextEncoder) else "series"

    def encode(self, item: Item) -> npt.NDArray[Any]:
        """An item as the model reads it: tokens ``[T]`` or values ``[T, C]``, T at least 1.

        Raises:
            UserError: It is of the other kind, has another number of channels, or no steps.
        """
        if isinstance(self.inputs, TextEncoder):
            if item.text is None:
                raise UserError(f"{item.place}: expected a text, got a series")
            return self.inputs.encode(item.text)
        if item.series is None:
            raise UserError(f"{item.place}: expected a series, got a text")
        if item.series.shape[1] != self.inputs.channels or not len(item.series):
            raise UserError(
                f"{item.place}: expected a series of {self.inputs.channels} channels, got "
                f"{len(item.series)} steps of {item.series.shape[1]}"
            )
        return self.inputs.encode(item.series)

    def batch(self, items: Sequence[Item]) -> tuple[Tensor, Tensor]:
        """Some items side by side, time first, and their lengths, as `pad` gives them.

        Raises:
            UserError: As ``encode``.
        """
        return pad([self.encode(item) for item in items])

    def targets(self, item: Item) -> npt.NDArray[np.int64]:
        """Numbers of an item's labels, ``[labels of the item]``.

        Raises:
            UserError: One is not among those of the training items.
        """
        found = [self.labels.number(name) for name in item.labels]
        for name, number in zip(item.labels, found, strict=True):
            if number is None:
                raise UserError(f"{item.place}: the training items have no label {name}")
        return np.array(found, np.int64)

    def save(self, path: Path) -> None:
        """Write as JSON.

        Raises:
            OSError: The file cannot be written, or the disk is full.
        """
        record = {
            "format": FORMAT,
            "kind": self.kind,
            "inputs": self.inputs.record(),
            "labels": {
                "names": self.labels.names,
                "counts": self.labels.counts,
                "several": self.labels.several,
            },
        }
        write_file(path, json.dumps(record, ensure_ascii=False, indent=1).encode())

    @classmethod
    def load(cls, path: Path) -> Encoding:
        """Read back.

        Raises:
            UserError: The file is missing, of another version, or corrupt.
        """
        record = read_json(path)
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise UserError(f"{path}: not an encoding of this version of unrolled")
        try:
            inputs, labels = record["inputs"], record["labels"]
            kind = TextEncoder if record["kind"] == "text" else SeriesEncoder
            return cls(kind.from_record(inputs), Labels.from_record(labels))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(f"{path}: corrupt: {error}") from error
