"""Preparation of a run's data: items to train and to validate on, labels, encoding.

What is drawn for validation, and learnt about characters and scales, comes from the items in the
cache, not from the user's files.
"""

from __future__ import annotations

import io
import random
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from unrolled.errors import UserError
from unrolled.files import write_file
from unrolled.tasks.ragged import Ragged, RaggedWriter

from .data import CACHE, Indices, open_part, text_of
from .encoding import NAME, Encoding
from .labels import Labels
from .options import DataOptions
from .series_encoder import SeriesEncoder
from .stored import Stored, store
from .text_encoder import TextEncoder


@dataclass(frozen=True)
class Facts:
    """Counts from the preparation of a run's data.

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
        return TextEncoder.fit((text_of(texts, row) for row in train), options)
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
            whole = encoder.encode_whole(text_of(texts, row))
            tokens = encoder.cut(whole)
            cut += len(tokens) < len(whole)
            if row in aside and encoder.tokens != "bytes":
                unknown += int((tokens == 0).sum())
                steps += len(tokens)
            writer.append(tokens.astype(writer.dtype))
    return cut, unknown / max(steps, 1)
