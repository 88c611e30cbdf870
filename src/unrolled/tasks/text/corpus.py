"""A text of any size as tokens in memory maps: training, validation and test part.

The text is divided by characters before anything becomes tokens: the same parts whatever the tokens
are. It is read in blocks, never more than one of them in memory: once to count its characters, once
more where words or subwords are learnt, and once for the tokens.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unrolled.errors import UserError, reason
from unrolled.files import check_regular, read_json, write_file
from unrolled.tasks.text.options import DataOptions
from unrolled.tasks.text.reading import read, sources
from unrolled.tasks.text.tokens import Characters, Subwords, Vocabulary, Words
from unrolled.tasks.text.tokens.lines import whole_lines
from unrolled.training.display import Display, choose_display

BLOCK = 1 << 22
"""Tokens that are looked at at a time."""

TRAIN, VALIDATION, TEST = "train", "validation", "test"

PATIENCE = 2.0
"""Seconds after which a terminal shows how far the reading is."""

Tokens = np.ndarray[Any, np.dtype[Any]]


# The text in parts --------------------------------------------------------------------------------


class Corpus:
    """The user's text in parts.

    Args:
        data: Files, and how they are divided.

    Attributes:
        lengths: Characters of each part that there is: train, validation, test.
        characters: The different characters of --data, those of its test part left out, in order
            of code point.

    Raises:
        UserError: A file cannot be read, or is not text.
    """

    def __init__(self, data: DataOptions) -> None:
        self._data = data
        self._text = sources(data.data)
        others = {VALIDATION: sources(data.val_data), TEST: sources(data.test_data)}
        self._others = {name: files for name, files in others.items() if files}
        whole = count(read(self._text))
        held = 0.0 if data.val_data else data.val_fraction
        test = int(whole.length * data.test_fraction)
        rest = whole.length - test
        train = int(whole.length * (1 - held - data.test_fraction)) if held else rest
        own = {TRAIN: train, VALIDATION: rest - train, TEST: test}
        self._own = {name: length for name, length in own.items() if length}
        self.lengths = {
            **self._own,
            **{name: count(read(files)).length for name, files in self._others.items()},
        }
        known = whole if not test else count(beginning(read(self._text), rest))
        self.characters = known.characters

    def training(self) -> Iterator[str]:
        """The training part in blocks of whole lines."""
        length = self.lengths.get(TRAIN, 0)
        return whole_lines(beginning(read(self._text), length))

    def part(self, name: str) -> Iterator[str]:
        """A part that there is, in blocks."""
        if name in self._others:
            return read(self._others[name])
        before = list(self._own)[: list(self._own).index(name)]
        start = sum(self._own[one] for one in before)
        return _without(beginning(read(self._text), start + self._own[name]), start)

    def vocabulary(self) -> Vocabulary:
        """Tokens as the options want them, learnt from the training part.

        Raises:
            UserError: A given tokenizer cannot be used, or a package is not installed.
        """
        data = self._data
        if data.tokens == "characters":
            return Characters(self.characters)
        if data.tokens == "words":
            blocks = shown(self.training(), self.lengths.get(TRAIN, 0), "words are counted")
            return Words.fit(blocks, data.size, data.split)
        if data.tokenizer is not None:
            return Subwords.load(Path(data.tokenizer))
        return Subwords.fit(self.training, data.size)

    def write(self, vocabulary: Vocabulary, cache: Path) -> None:
        """Write the tokens of all parts to a run's cache.

        Raises:
            UserError: A file cannot be read, or changed since its characters were counted.
            OSError: A file cannot be written, or the disk is full.
        """
        own = [(cache / f"{name}.npy", length) for name, length in self._own.items()]
        write_tokens(read(self._text), vocabulary, own)
        for name, files in self._others.items():
            write_tokens(read(files), vocabulary, [(cache / f"{name}.npy", self.lengths[name])])
        write_file(cache / _LENGTHS, json.dumps(self.lengths).encode())


@dataclass(frozen=True)
class Count:
    """Characters of a text.

    Attributes:
        characters: The different characters, in order of code point.
        length: Number of characters.
    """

    characters: str
    length: int


def count(blocks: Iterable[str]) -> Count:
    """The different characters of a text and their number."""
    seen = np.zeros(0x110000, bool)
    length = 0
    for block in blocks:
        points = np.frombuffer(block.encode("utf-32-le"), np.dtype("<u4"))
        seen[points] = True
        length += len(points)
    return Count("".join(map(chr, np.flatnonzero(seen))), length)


def beginning(blocks: Iterable[str], length: int) -> Iterator[str]:
    """The first characters of a text."""
    for block in blocks:
        if length <= len(block):
            yield block[:length]
            return
        yield block
        length -= len(block)


def _without(blocks: Iterable[str], length: int) -> Iterator[str]:
    """A text without its first characters."""
    for block in blocks:
        if length < len(block):
            yield block[length:]
        length = max(0, length - len(block))


def shown(blocks: Iterable[str], length: int, text: str) -> Iterator[str]:
    """Blocks of a text; a terminal shows how far they are read, should it take long.

    Args:
        blocks: The text.
        length: Characters of all blocks.
        text: Words to show.
    """
    display: Display | None = None
    begun, done = time.monotonic(), 0
    try:
        for block in blocks:
            yield block
            done += len(block)
            if display is None and time.monotonic() - begun > PATIENCE:
                display = choose_display(quiet=sys.stderr is None or not sys.stderr.isatty())
            if display is not None:
                display.progress(min(1.0, done / max(1, length)), text)
    finally:
        if display is not None:
            display.close()


# Tokens in files ----------------------------------------------------------------------------------


def write_tokens(
    blocks: Iterable[str], vocabulary: Vocabulary, parts: Sequence[tuple[Path, int]]
) -> int:
    """Write the tokens of a text to ``.npy`` files.

    Args:
        blocks: The text.
        vocabulary: Its tokens.
        parts: Files to write and how many characters each takes, in order.

    Returns:
        Number of tokens that are unknown.

    Raises:
        UserError: The text changed since it was counted.
        OSError: A file cannot be written, or the disk is full.
    """
    text = iter(shown(blocks, sum(length for _, length in parts), "tokens are written"))
    unknown = 0
    rest = ""

    def part(left: int) -> Iterator[str]:
        nonlocal rest
        while left:
            if not rest:
                block = next(text, None)
                if block is None:
                    raise UserError("the text changed while it was being read")
                rest = block
            taken, rest = rest[:left], rest[left:]
            left -= len(taken)
            yield taken

    for target, length in parts:
        with target.open("wb") as file:
            written = 0
            _write_header(file, vocabulary, written)
            start = file.tell()
            for lines in whole_lines(part(length)):
                tokens = vocabulary.encode(lines)
                unknown += int((tokens == vocabulary.unknown).sum())
                written += len(tokens)
                # Not a memory map: writing to one on a full disk kills the process.
                try:
                    file.write(tokens.astype(vocabulary.dtype).tobytes())
                except OSError as error:
                    error.filename = error.filename or str(target)
                    raise
            file.seek(0)
            _write_header(file, vocabulary, written)
            assert file.tell() == start, "numpy leaves room for any length"
    if rest or any(text):
        raise UserError("the text changed while it was being read")
    return unknown


def _write_header(file: Any, vocabulary: Vocabulary, length: int) -> None:
    header = {"descr": vocabulary.dtype.str, "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(file, header)


def open_tokens(path: Path, vocabulary: Vocabulary) -> Tokens:
    """Tokens of ``write_tokens`` as a read-only memory map.

    Raises:
        UserError: The file is missing, is not what ``write_tokens`` wrote, or holds tokens that
            the vocabulary does not have.
    """
    check_regular(path)
    try:
        tokens: Tokens = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise UserError(f"{path}: {reason(error)}") from error
    except Exception as error:  # numpy's parser of headers raises anything
        raise UserError(f"{path}: corrupt or truncated: {error}") from error
    if tokens.ndim != 1 or tokens.dtype != vocabulary.dtype:
        raise UserError(f"{path}: corrupt: expected one dimension of {vocabulary.dtype}")
    for start in range(0, len(tokens), BLOCK):
        highest = int(tokens[start : start + BLOCK].max())
        if highest >= len(vocabulary):
            raise UserError(
                f"{path}: does not fit the vocabulary: it holds token {highest}, and there are "
                f"{len(vocabulary)}"
            )
    return tokens


class Part(NamedTuple):
    """A part of a text.

    Attributes:
        tokens: Its tokens, a read-only memory map.
        characters: Characters of all tokens but the first, which nothing precedes.
    """

    tokens: Tokens
    characters: int

    def beginning(self, length: int) -> Part:
        """Its first tokens; their characters are estimated by the mean of all."""
        if length >= len(self.tokens):
            return self
        share = (length - 1) / (len(self.tokens) - 1)
        return Part(self.tokens[:length], max(1, round(self.characters * share)))


def part_of(tokens: Tokens, length: int, vocabulary: Vocabulary) -> Part:
    """A part of a text from its tokens and the number of all its characters."""
    first = len(vocabulary.decode(int(tokens[0]))) if len(tokens) else 0
    return Part(tokens, max(1, length - first))


def open_part(cache: Path, name: str, vocabulary: Vocabulary) -> Part | None:
    """A part of a run's text; None if the run has none of that name.

    Raises:
        UserError: As ``open_tokens``, or the file with the lengths is corrupt.
    """
    path = cache / f"{name}.npy"
    if name != TRAIN and not path.exists():
        return None
    tokens = open_tokens(path, vocabulary)
    if isinstance(vocabulary, Characters):  # older runs have no other tokens, and no such file
        return part_of(tokens, len(tokens), vocabulary)
    lengths = read_json(cache / _LENGTHS)
    length = lengths.get(name) if isinstance(lengths, dict) else None
    if not isinstance(length, int) or not 0 < length < 1 << 60:
        raise UserError(f"{cache / _LENGTHS}: corrupt: expected the characters of {name}")
    return part_of(tokens, length, vocabulary)


def open_parts(cache: Path, vocabulary: Vocabulary) -> dict[str, Part]:
    """All parts of a run's text by name, the training part among them.

    Raises:
        UserError: As ``open_part``.
    """
    parts = ((name, open_part(cache, name, vocabulary)) for name in (TRAIN, VALIDATION, TEST))
    return {name: part for name, part in parts if part is not None}


_LENGTHS = "lengths.json"
