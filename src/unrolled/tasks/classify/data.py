"""The data of a run: read once, kept in the run folder's cache, handed out in batches.

The user's files are read once. Every item goes to the cache as it is; what is then drawn for
validation and learnt about characters and scales comes from there. Memory holds a few numbers for
each item and never its text. In ``cache/`` lie

- ``texts`` (UTF-8) and ``tokens``, or ``series`` as they were read,
- ``labels`` (numbers) and ``places`` (UTF-8) of each item,
- ``train.npy`` and ``validation.npy``: numbers of the items of each part.
"""

from __future__ import annotations

import hashlib
import io
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unrolled.errors import UserError
from unrolled.files import write_file
from unrolled.tasks.ragged import Ragged, RaggedWriter, load_array, pad

from .encoding import NAME, Encoding, Labels, SeriesEncoder, TextEncoder
from .items import Item, Values
from .options import DataOptions
from .reading import read_items

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


@dataclass(frozen=True)
class Facts:
    """What preparing the data found.

    Attributes:
        kind: Whether the items are texts or series.
        items: Number of items to train on.
        validation: Number of items to validate on.
        skipped: Number of broken rows left out.
        first_skipped: One line about each of the first of them.
        duplicates: Number of items that repeat an earlier one of the same files.
        shared: Number of validation items that also stand in the training files.
        steps: Steps of all training items together.
        unknown: Share of the validation items' steps that are unknown tokens; 0 for series.
        cut: Number of items that were longer than ``max_length``.
    """

    kind: Literal["text", "series"]
    items: int
    validation: int
    skipped: int
    first_skipped: tuple[str, ...]
    duplicates: int
    shared: int
    steps: int
    unknown: float
    cut: int


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
        return None if self._texts is None else _text(self._texts, self._rows[index])

    def series(self, index: int) -> Values | None:
        """An item's values as they were read, ``[T, C]``; None for a text."""
        return None if self._texts is not None else self._inputs[self._rows[index]]

    def place(self, index: int) -> str:
        """File and line of an item."""
        return _text(self._places, self._rows[index])


def prepare_data(options: DataOptions, draft: Path, *, seed: int = 0) -> Facts:
    """Read the user's files; write ``encoding.json`` and ``cache/`` into a run folder.

    Args:
        options: What to read.
        draft: The run's folder.
        seed: Seed of the items drawn for validation.

    Raises:
        UserError: The data cannot be used.
        OSError: A file cannot be written, or the disk is full.
    """
    if not options.data:
        raise UserError("--data: expected one file or more")
    cache = draft / CACHE
    cache.mkdir(exist_ok=True)
    stored = store(options, cache)
    train, validation = divide(stored, options, seed)
    labels = _labels(stored, train)
    encoding = Encoding(_fit(stored, options, cache, train), labels)
    with RaggedWriter(cache / "labels", np.int32) as writer:
        numbers = [labels.number(name) for name in stored.names]
        for one in stored.labels:
            writer.append(np.array([numbers[label] for label in one], np.int32))
    cut, unknown = _write_tokens(encoding, cache, validation)
    for name, rows in (("train", train), ("validation", validation)):
        file = io.BytesIO()
        np.lib.format.write_array(file, rows, version=(1, 0), allow_pickle=False)
        write_file(cache / f"{name}.npy", file.getvalue())
    encoding.save(draft / NAME)
    return Facts(
        kind=stored.kind,
        items=len(train),
        validation=len(validation),
        skipped=stored.skipped,
        first_skipped=tuple(stored.first_skipped),
        duplicates=stored.duplicates,
        shared=stored.shared,
        steps=int(open_part(draft, "train").lengths.sum()),
        unknown=unknown,
        cut=cut,
    )


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


def divide(stored: Stored, options: DataOptions, seed: int) -> tuple[Indices, Indices]:
    """Numbers of the items to train and to validate on, in order.

    Where no files are given to validate on, a share is drawn of the items of each label. Items that
    are the same but for case and blanks stay on one side, and of each label some in training.

    Raises:
        UserError: There are not two items to draw from.
    """
    everything = np.arange(len(stored.labels), dtype=np.int64)
    if options.val_data:
        if len(everything) == stored.train:
            raise UserError(f"{options.val_data[0]}: expected items to validate on, found none")
        return everything[: stored.train], everything[stored.train :]
    if not options.val_fraction:
        return everything, everything[:0]
    sizes = Counter(stored.group)
    by_label: dict[tuple[int, ...], list[int]] = {}
    for first in sizes:
        by_label.setdefault(tuple(sorted(stored.labels[first])), []).append(first)
    draw = random.Random(f"validation {seed}")
    chosen: set[int] = set()
    owed = 0.0
    for _, groups in sorted(by_label.items()):
        # By random(): of all that Python draws only its numbers are promised to stay the same.
        groups.sort(key={group: draw.random() for group in groups}.__getitem__)
        owed += options.val_fraction * sum(sizes[group] for group in groups)
        for group in groups[:-1]:
            if owed < 0.5:
                break
            chosen.add(group)
            owed -= sizes[group]
        owed = max(-1.0, min(1.0, owed))
    if not chosen:
        largest = max(by_label.values(), key=len)
        if len(largest) < 2:
            raise UserError(
                f"{options.data[0]}: too few items to keep some for validation; --val-fraction 0 "
                "trains without"
            )
        chosen.add(largest[0])
    aside = np.array([group in chosen for group in stored.group])
    return everything[~aside], everything[aside]


def _labels(stored: Stored, train: Indices) -> Labels:
    counts: Counter[str] = Counter()
    for row in train.tolist():
        counts.update(stored.names[label] for label in stored.labels[row])
    return Labels.of(counts, several=stored.several)


def _fit(
    stored: Stored, options: DataOptions, cache: Path, train: Indices
) -> TextEncoder | SeriesEncoder:
    if stored.kind == "text":
        texts = Ragged.open(cache / "texts")
        return TextEncoder.fit((_text(texts, row) for row in train), options)
    series = Ragged.open(cache / "series")
    if options.scale == "auto":
        options = replace(options, scale="together" if stored.images else "channels")
    return SeriesEncoder.fit((series[row] for row in train), stored.channels, options)


def _write_tokens(encoding: Encoding, cache: Path, validation: Indices) -> tuple[int, float]:
    """Write the tokens of texts.

    Returns:
        How many items were cut, and the share of unknown tokens in those to validate on.
    """
    encoder = encoding.inputs
    if isinstance(encoder, SeriesEncoder):
        lengths = Ragged.open(cache / "series").lengths
        return int((lengths > (encoder.cut.max_length or np.inf)).sum()), 0.0
    cut = unknown = steps = 0
    aside = set(validation.tolist())
    texts = Ragged.open(cache / "texts")
    with RaggedWriter(cache / "tokens", np.min_scalar_type(encoder.size - 1)) as writer:
        for row in range(len(texts)):
            whole = encoder.encode_whole(_text(texts, row))
            tokens = encoder.cut(whole)
            cut += len(tokens) < len(whole)
            if row in aside and encoder.tokens != "bytes":
                unknown += int((tokens == 0).sum())
                steps += len(tokens)
            writer.append(tokens.astype(writer.dtype))
    return cut, unknown / max(steps, 1)


def _text(texts: Ragged, row: Any) -> str:
    return bytes(texts[row].tobytes()).decode("utf-8", "replace")
