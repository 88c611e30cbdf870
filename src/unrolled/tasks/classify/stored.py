"""Items as they were read from the user's files, written to the run's cache.

The user's files are read once. Every item goes to the cache as it is; memory holds a few numbers
for each item and never its text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from unrolled.errors import UserError
from unrolled.tasks.ragged import RaggedWriter

from .items import Item
from .options import DataOptions
from .reading import read_items


@dataclass
class Stored:
    """Items in the cache, as far as memory keeps them.

    Attributes:
        kind: Whether they are texts or series.
        channels: Channels of series.
        images: Whether the series are images.
        names: Labels in order of appearance.
        labels: Places in ``names`` of each item's labels.
        group: Number of each item's first like; its own where there is none before it.
        train: Number of items of the training files; those of the validation files follow.
        skipped: Number of broken rows left out.
        first_skipped: One line about each of the first.
        duplicates: Number of items that repeat an earlier one of the same files.
        shared: Number of items of the validation files that stand in the training files, too.
    """

    kind: Literal["text", "series"] = "text"
    channels: int = 0
    images: bool = False
    names: list[str] = field(default_factory=list)
    labels: list[tuple[int, ...]] = field(default_factory=list)
    group: list[int] = field(default_factory=list)
    train: int = 0
    skipped: int = 0
    first_skipped: list[str] = field(default_factory=list)
    duplicates: int = 0
    shared: int = 0

    FIRST = 5
    """Broken rows that are told one by one."""

    def skip(self, line: str) -> None:
        """Count a broken row."""
        self.skipped += 1
        if len(self.first_skipped) < self.FIRST:
            self.first_skipped.append(line)

    @property
    def several(self) -> bool:
        """Whether some items have none or several labels."""
        return any(len(one) != 1 for one in self.labels)


def fingerprint(item: Item) -> bytes:
    """Equal for items that are the same but for case and blanks, and for no others."""
    digest = hashlib.blake2b(digest_size=16)
    if item.text is not None:
        digest.update(" ".join(item.text.casefold().split()).encode())
    elif item.series is not None:
        digest.update(repr((item.series.shape, item.series.dtype.str)).encode())
        digest.update(item.series.tobytes())
    return digest.digest()


def store(options: DataOptions, cache: Path) -> Stored:
    """Read all files once and write their items to the cache.

    Raises:
        UserError: A file or an item cannot be used.
        OSError: The cache cannot be written.
    """
    stored = Stored()
    broken = stored.skip if options.skip_broken else None
    content: RaggedWriter | None = None
    numbers: dict[str, int] = {}
    first_like: dict[bytes, int] = {}
    with RaggedWriter(cache / "places", np.uint8) as places:
        try:
            for item, training in _all_items(options, numbers, broken):
                if content is None:
                    content = _content_writer(item, stored, cache)
                data: npt.NDArray[Any]
                if item.text is not None:
                    data = np.frombuffer(item.text.encode(), np.uint8)
                else:
                    assert item.series is not None
                    data = item.series
                    if stored.images and data.dtype != np.uint8:
                        raise UserError(f"{item.place}: expected images as before, got a series")
                if item.series is not None and item.series.shape[1] != stored.channels:
                    raise UserError(
                        f"{item.place}: expected {stored.channels} channels as in the training "
                        f"data, got {item.series.shape[1]}"
                    )
                if (item.text is None) == (stored.kind == "text"):
                    raise UserError(
                        f"{item.place}: expected a {stored.kind} as in the training data"
                    )
                for name in item.labels:
                    if name not in numbers:
                        if not training:
                            raise UserError(
                                f"{item.place}: no item of the training data has the label {name}"
                            )
                        numbers[name] = len(numbers)
                content.append(data)
                places.append(np.frombuffer(item.place.encode("utf-8", "replace"), np.uint8))
                own = len(stored.labels)
                group = first_like.setdefault(fingerprint(item), own)
                stored.group.append(group)
                stored.labels.append(tuple(numbers[name] for name in item.labels))
                if training:
                    stored.train += 1
                    stored.duplicates += group != own
                else:
                    stored.shared += group < stored.train
                    stored.duplicates += stored.train <= group != own
            if content is not None:
                content.close()
        except BaseException as error:
            if content is not None:
                content.__exit__(type(error), error, None)
            raise
    stored.names = list(numbers)
    if stored.train and len(numbers) < (1 if stored.several else 2):
        found = f"only {next(iter(numbers))}" if numbers else "none"
        raise UserError(f"{options.data[0]}: expected two labels or more, found {found}")
    if not stored.train:
        rest = f"; {stored.skipped} were left out, the first: " if stored.skipped else ""
        raise UserError(
            f"{options.data[0]}: expected items to train on, found none{rest}"
            f"{next(iter(stored.first_skipped), '')}"
        )
    return stored


def _all_items(
    options: DataOptions, known: Collection[str], broken: Callable[[str], None] | None
) -> Iterator[tuple[Item, bool]]:
    """Items of the training files, then of the validation files, and which they are.

    ``known`` has the labels of the training files by the time they are read.
    """
    for item in read_items(options.data, options, broken=broken):
        yield item, True
    for item in read_items(options.val_data, options, known=known, broken=broken):
        yield item, False


def _content_writer(item: Item, stored: Stored, cache: Path) -> RaggedWriter:
    if item.text is not None:
        return RaggedWriter(cache / "texts", np.uint8)
    assert item.series is not None
    stored.kind, stored.channels = "series", item.series.shape[1]
    stored.images = item.series.dtype == np.uint8
    return RaggedWriter(cache / "series", item.series.dtype, stored.channels)
