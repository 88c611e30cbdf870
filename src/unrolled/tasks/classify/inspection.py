"""A look at data before training: what is there, and what is wrong with it."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.errors import UserError
from unrolled.training.task import Inspection

from .columns import guess_columns, open_table
from .items import Item
from .labels import Labels
from .options import DataOptions
from .reading import format_for, read_items
from .stored import fingerprint
from .text_encoder import clean

FIRST = 5
"""Rows that a warning names."""

SHOWN = 50
"""Labels that are shown with their counts; of more, the most frequent."""

MAJORITY = 0.8
"""Share of the most frequent label from which accuracy alone misleads."""

LONG = 4
"""Times that the longest item may exceed nearly all others before it is worth a remark."""


@dataclass
class _Found:
    """What one pass over some files finds; memory holds a few numbers for each item.

    Attributes:
        items: Number of items.
        texts: Whether they are texts.
        lengths: Steps of each.
        labels: Number of items with each label.
        several: Whether some items have none or several labels.
        first: Place of the first item with each label.
        broken: Number of broken or empty rows.
        broken_lines: The first of them, a line each.
        duplicates: Number of items that repeat an earlier one.
        like: Place and labels of the first item of each kind.
        conflicts: Number of items that repeat an earlier one with other labels.
        conflict_lines: The first of them.
        characters: Number of each character of texts.
        channels: Channels of series.
        lowest: Smallest value of each channel.
        highest: Largest value of each channel.
    """

    items: int = 0
    texts: bool = True
    lengths: array[int] = field(default_factory=lambda: array("q"))
    labels: Counter[str] = field(default_factory=Counter)
    several: bool = False
    first: dict[str, str] = field(default_factory=dict)
    broken: int = 0
    broken_lines: list[str] = field(default_factory=list)
    duplicates: int = 0
    like: dict[bytes, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    conflicts: int = 0
    conflict_lines: list[str] = field(default_factory=list)
    characters: Counter[str] = field(default_factory=Counter)
    channels: int = 0
    lowest: npt.NDArray[Any] | None = None
    highest: npt.NDArray[Any] | None = None

    def skip(self, line: str) -> None:
        self.broken += 1
        if len(self.broken_lines) < FIRST:
            self.broken_lines.append(line)

    def add(self, item: Item, options: DataOptions) -> None:
        self.items += 1
        self.several |= len(item.labels) != 1
        for name in item.labels:
            self.labels[name] += 1
            self.first.setdefault(name, item.place)
        if item.text is not None:
            text = clean(item.text, lower=options.lower, normalize=options.normalize)
            self.lengths.append(len(text.encode()) if options.tokens == "bytes" else len(text))
            self.characters.update(text)
        elif item.series is not None:
            self.texts = False
            self.lengths.append(len(item.series))
            self.channels = item.series.shape[1]
            low, high = item.series.min(0), item.series.max(0)
            self.lowest = low if self.lowest is None else np.minimum(self.lowest, low)
            self.highest = high if self.highest is None else np.maximum(self.highest, high)
        key = fingerprint(item)
        place, labels = self.like.setdefault(key, (item.place, item.labels))
        if place == item.place:
            return
        self.duplicates += 1
        if set(labels) != set(item.labels):
            self.conflicts += 1
            if len(self.conflict_lines) < FIRST:
                self.conflict_lines.append(
                    f"{item.place}: {_listed(item.labels)}, but {_listed(labels)} at {place}"
                )


def inspect_data(options: DataOptions) -> Inspection:
    """Look at the files that training would read.

    Args:
        options: What to read.

    Raises:
        UserError: A file cannot be read at all, or none of its rows.
    """
    if not options.data:
        raise UserError("--data: expected one file or more")
    train = _read(options.data, options)
    facts: dict[str, Any] = {"files": ", ".join(options.data)}
    facts.update(_formats(options.data, options))
    facts.update(_facts(train, options))
    warnings = _warnings(train, options)
    if options.val_data:
        validation = _read(options.val_data, options, train.labels)
        facts["validation files"] = ", ".join(options.val_data)
        facts.update({f"validation {k}": v for k, v in _facts(validation, options).items()})
        _across(train, validation, options, facts, warnings)
    return Inspection(facts, warnings)


def _read(files: Sequence[str], options: DataOptions, known: Collection[str] = ()) -> _Found:
    found = _Found()
    for item in read_items(files, options, known=known, broken=found.skip):
        found.add(item, options)
    if not found.items:
        first = next(iter(found.broken_lines), f"{files[0]}: expected items, found none")
        raise UserError(first)
    return found


def _formats(files: Sequence[str], options: DataOptions) -> dict[str, str]:
    """Format of the files and, of tables, what their columns are used for."""
    formats, columns = [], []
    for file in files:
        name = format_for(Path(file), options)
        formats.append(name)
        if name in ("csv", "tsv", "jsonl", "parquet"):
            columns.append(str(guess_columns(open_table(Path(file), name, options), options)))
    facts = {"format": ", ".join(dict.fromkeys(formats))}
    if columns:
        facts["columns"] = " · ".join(dict.fromkeys(columns))
    return facts


def _facts(found: _Found, options: DataOptions) -> dict[str, Any]:
    lengths = np.asarray(found.lengths)
    low, middle, high, most = np.percentile(
        lengths, [0, 50, 95, 100], method="inverted_cdf"
    ).tolist()
    labels = Labels.of(found.labels, several=found.several)
    shown = set(dict(found.labels.most_common(SHOWN)))
    facts: dict[str, Any] = {
        "items": found.items,
        "broken or empty rows": found.broken,
        "labels": len(labels),
        "items of each label": {
            name: count
            for name, count in zip(labels.names, labels.counts, strict=True)
            if name in shown
        },
        "share of the most frequent label": max(labels.counts, default=0) / found.items,
        "labels of an item": "none, one or several" if found.several else "one",
        "shortest": low,
        "median length": middle,
        "95 % are at most": high,
        "longest": most,
        "length in": _unit(found, options),
        "duplicates": found.duplicates,
        "duplicates with other labels": found.conflicts,
    }
    if options.max_length is not None and options.tokens != "subwords":
        facts["longer than --max-length"] = int((lengths > options.max_length).sum())
    if found.texts:
        facts["different characters"] = len(found.characters)
    else:
        facts["channels"] = found.channels
    return facts


def _unit(found: _Found, options: DataOptions) -> str:
    if not found.texts:
        return "steps"
    return "bytes" if options.tokens == "bytes" else "characters"


def _warnings(found: _Found, options: DataOptions) -> list[str]:
    warnings = []
    if found.broken:
        what = "are left out" if options.skip_broken else "stop the training; --skip-broken goes on"
        warnings.append(f"{found.broken:,} broken or empty rows {what}")
        warnings += found.broken_lines
        warnings += _more(found.broken)
    once = [name for name, count in found.labels.items() if count == 1]
    if once:
        warnings.append(f"{len(once):,} labels are seen once and cannot be learnt or validated")
        warnings += [f"{found.first[name]}: the only {name}" for name in once[:FIRST]]
        warnings += _more(len(once))
    if len(found.labels) < (1 if found.several else 2):
        warnings.append("expected two labels or more; training refuses these data")
    elif not found.several:
        name, count = found.labels.most_common(1)[0]
        if count / found.items >= MAJORITY:
            warnings.append(
                f"{count / found.items:.0%} of the items are {name}: always saying so is right as "
                "often; look at each label's F1, not at accuracy"
            )
    if found.conflicts:
        warnings.append(f"{found.conflicts:,} items repeat an earlier one with another label")
        warnings += found.conflict_lines
        warnings += _more(found.conflicts)
    if found.duplicates > found.items // 20:
        warnings.append(
            f"{found.duplicates:,} of {found.items:,} items repeat an earlier one; drawn for "
            "validation, they stay on one side"
        )
    lengths = np.asarray(found.lengths)
    usual = int(np.percentile(lengths, 95, method="inverted_cdf"))
    if options.max_length is None and int(lengths.max()) > LONG * usual:
        warnings.append(
            f"the longest item has {int(lengths.max()):,} {_unit(found, options)}, 95 % have at "
            f"most {usual:,}; --max-length {usual} saves time"
        )
    if found.lowest is not None and found.highest is not None and not _images(found):
        constant = np.flatnonzero(found.lowest == found.highest)
        if len(constant):
            listed = ", ".join(str(at + 1) for at in constant[:FIRST])
            warnings.append(f"{len(constant)} channels never change: {listed}")
    return warnings


def _images(found: _Found) -> bool:
    """Whether the series are images, whose margins never change."""
    return found.lowest is not None and found.lowest.dtype == np.uint8


def _across(
    train: _Found,
    validation: _Found,
    options: DataOptions,
    facts: dict[str, Any],
    warnings: list[str],
) -> None:
    """Compare the files to validate on with those to train on."""
    if train.texts != validation.texts or train.channels != validation.channels:
        warnings.append("the validation files hold other items than the training files")
        return
    shared = [key for key in validation.like if key in train.like]
    facts["validation items seen in training"] = len(shared)
    if shared:
        warnings.append(
            f"{len(shared):,} validation items stand in the training files, too; the validation "
            "looks better than it is"
        )
        for key in shared[:FIRST]:
            warnings.append(f"{validation.like[key][0]}: also at {train.like[key][0]}")
        warnings += _more(len(shared))
        other = [key for key in shared if set(train.like[key][1]) != set(validation.like[key][1])]
        facts["the same with other labels"] = len(other)
        for key in other[:FIRST]:
            place, labels = validation.like[key]
            before, old = train.like[key]
            warnings.append(f"{place}: {_listed(labels)}, but {_listed(old)} at {before}")
    for name in validation.labels:
        if name not in train.labels:
            warnings.append(f"{validation.first[name]}: no training item has the label {name}")
    if train.texts and options.tokens == "characters":
        known = {one for one, count in train.characters.items() if count >= options.min_count}
        unknown = {one: n for one, n in validation.characters.items() if one not in known}
        facts["validation characters not known"] = len(unknown)
        facts["share of these"] = sum(unknown.values()) / max(validation.characters.total(), 1)
    warnings += [f"validation: {line}" for line in _warnings(validation, options)]


def _more(count: int) -> list[str]:
    return [f"… and {count - FIRST:,} more"] if count > FIRST else []


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels) or "no label"
