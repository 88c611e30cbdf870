"""The cache of tagged sentences in a run folder, and the tags that a model knows."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from unrolled.errors import UserError, reason
from unrolled.files import open_regular, parse_json, read_json, write_file
from unrolled.ranges import shown

from .options import DataOptions
from .reading import read_sentences
from .schemes import OUTSIDE, SCHEMES, Detector, Scheme, convert, invalid_places, part
from .sentences import Sentence, Unit

LARGEST_INDEX = 1 << 36
"""Bytes of the file that says where sentences begin."""


@dataclass(frozen=True)
class TagSet:
    """The tags that a model knows.

    Attributes:
        tags: Tags in the model's scheme, ``iob2`` or ``plain``; the number of a tag is its place.
        source: Scheme of the files, in which predictions are written.
        unit: Tokens that a text is cut into.
    """

    tags: tuple[str, ...]
    source: Scheme
    unit: Unit

    def __len__(self) -> int:
        """Number of tags."""
        return len(self.tags)

    @property
    def scheme(self) -> Scheme:
        """The model's scheme: ``iob2`` for spans, ``plain`` for tags that stand for themselves."""
        return "plain" if self.source == "plain" else "iob2"

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Number of each tag."""
        return {tag: number for number, tag in enumerate(self.tags)}

    @property
    def types(self) -> tuple[str, ...]:
        """Types of spans; the tags themselves where they are plain."""
        if self.scheme == "plain":
            return self.tags
        return tuple(tag[2:] for tag in self.tags if tag.startswith("B-"))

    def encode(self, sentence: Sentence) -> list[int]:
        """Numbers of a sentence's tags.

        Raises:
            UserError: A tag is unknown; the line names the place.
        """
        tags = model_tags(sentence, self.source)
        try:
            return [self.numbers[tag] for tag in tags]
        except KeyError:
            token = next(n for n, tag in enumerate(tags) if tag not in self.numbers)
            tag = "" if sentence.tags is None else sentence.tags[token]
            raise UserError(
                f"{sentence.place_of(token)}: unknown tag {shown(tag)}; known from training: "
                f"{', '.join(self.types)}"
            ) from None

    def save(self, path: Path) -> None:
        """Write as JSON."""
        record = {
            "format": 1,
            "kind": "tags",
            "scheme": self.source,
            "unit": self.unit,
            "tags": self.tags,
        }
        write_file(path, json.dumps(record, ensure_ascii=False, indent=1).encode())

    @classmethod
    def load(cls, path: Path) -> TagSet:
        """Read back.

        Raises:
            UserError: The file is missing or not a tag set.
        """
        record = read_json(path)
        if not isinstance(record, dict) or (record.get("format"), record.get("kind")) != (
            1,
            "tags",
        ):
            raise UserError(f"{path}: not a set of tags of this version of unrolled")
        tags, scheme, unit = record.get("tags"), record.get("scheme"), record.get("unit")
        if (
            isinstance(tags, list)
            and all(isinstance(tag, str) for tag in tags)
            and 0 < len(tags) == len(set(tags))
            and scheme in SCHEMES
            and unit in ("word", "character")
            and (scheme == "plain" or all(map(part, tags)))
        ):
            return cls(tuple(tags), scheme, unit)
        raise UserError(f"{path}: corrupt: expected names of tags, a scheme and a unit")


def model_tags(sentence: Sentence, source: Scheme) -> list[str]:
    """Tags of a sentence in the model's scheme.

    Raises:
        UserError: It has none, or one has not the form that its scheme has.
    """
    if sentence.tags is None:
        raise UserError(f"{sentence.place}: expected tags, the sentence has none")
    try:
        return convert(sentence.tags, source, "plain" if source == "plain" else "iob2")
    except ValueError:
        wrong = next((n for n, tag in enumerate(sentence.tags) if not part(tag)), 0)
        raise UserError(
            f"{sentence.place_of(wrong)}: unknown tag {shown(sentence.tags[wrong])}; expected "
            f"tags of the scheme {source}, such as B-PER, or O"
        ) from None


class Tagged(NamedTuple):
    """A sentence of the cache.

    Attributes:
        tokens: Its tokens.
        tags: Number of each token's tag.
        place: File and line that it came from.
    """

    tokens: tuple[str, ...]
    tags: tuple[int, ...]
    place: str


class SentenceStore(Sequence[Tagged]):
    """Sentences on disk, read one by one.

    Args:
        path: File of JSON lines; ``NAME.npy`` beside it has, for each sentence, the byte at which
            its line ends and its number of tokens, int64 of shape [N, 2].
        tags: Number of tags.

    Attributes:
        lengths: Tokens of each sentence, int64 of shape [N].

    Raises:
        UserError: A file is missing or is not what `write_store` wrote.
    """

    def __init__(self, path: Path, tags: int) -> None:
        self.path, self._tags = path, tags
        index = _read_index(path.with_suffix(".npy"))
        self.lengths: npt.NDArray[np.int64] = np.ascontiguousarray(index[:, 1])
        self._ends = index[:, 0]
        with open_regular(path) as file:
            size = file.seek(0, 2)
            ends = np.concatenate([[0], self._ends])
            if ends[-1] != size or (np.diff(ends) < 1).any() or (self.lengths < 1).any():
                raise UserError(f"{path}: corrupt or truncated: it does not fit its index")
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""

    def __len__(self) -> int:
        """Number of sentences."""
        return len(self.lengths)

    @overload
    def __getitem__(self, index: int) -> Tagged: ...

    @overload
    def __getitem__(self, index: slice) -> list[Tagged]: ...

    def __getitem__(self, index: int | slice) -> Tagged | list[Tagged]:
        """A sentence by number, or several."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(f"expected a number below {len(self)}, got {index}")
        start = int(self._ends[number - 1]) if number else 0
        values = parse_json(self._bytes[start : int(self._ends[number])], self.path)
        if not self._fits(values, int(self.lengths[number])):
            raise UserError(f"{self.path}:{number + 1}: corrupt: no sentence with known tags")
        return Tagged(tuple(values[0]), tuple(values[1]), values[2])

    def _fits(self, values: object, length: int) -> bool:
        if not isinstance(values, list) or len(values) != 3:
            return False
        tokens, tags, place = values
        return (
            isinstance(tokens, list)
            and isinstance(tags, list)
            and len(tokens) == len(tags) == length
            and all(isinstance(token, str) and token for token in tokens)
            and all(isinstance(tag, int) and 0 <= tag < self._tags for tag in tags)
            and isinstance(place, str)
        )


def _read_index(path: Path) -> npt.NDArray[np.int64]:
    """Index of `SentenceStore`."""
    with open_regular(path, LARGEST_INDEX) as file:
        try:
            index: npt.NDArray[np.int64] = np.load(file, allow_pickle=False)
        except OSError as error:
            raise UserError(f"{path}: {reason(error)}") from error
        except Exception as error:  # numpy's parser of headers raises anything
            raise UserError(f"{path}: corrupt or truncated: {error}") from error
    if index.ndim != 2 or index.shape[1:] != (2,) or index.dtype != np.int64:
        raise UserError(f"{path}: corrupt: expected two columns of int64")
    return index


class _Writer:
    """Writes the files of a `SentenceStore`, sentence by sentence."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO = path.open("wb")
        self._index: list[int] = []
        self._end = 0

    def add(self, sentence: Sentence, tags: Sequence[int]) -> None:
        """Write a sentence."""
        values = [sentence.tokens, tags, sentence.place]
        line = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
        data = line.encode("utf-8", "surrogateescape") + b"\n"
        try:
            self._file.write(data)
        except OSError as error:
            error.filename = error.filename or str(self.path)
            raise
        self._end += len(data)
        self._index += [self._end, len(tags)]

    def close(self) -> None:
        """Write the index."""
        try:
            self._file.close()
            index = np.array(self._index, np.int64).reshape(-1, 2)
            with self.path.with_suffix(".npy").open("wb") as file:
                np.save(file, index, allow_pickle=False)
        except OSError as error:
            error.filename = error.filename or str(self.path)
            raise


class TagData(NamedTuple):
    """The data of a run.

    Attributes:
        tags: The tags.
        train: Sentences to train on.
        val: Sentences to validate on; empty if there are none.
    """

    tags: TagSet
    train: SentenceStore
    val: SentenceStore


class Survey(NamedTuple):
    """What a first reading of all files finds.

    Attributes:
        tags: The tags.
        documents: Number of the document of each sentence of ``--data``, int64 of shape [N].
    """

    tags: TagSet
    documents: npt.NDArray[np.int64]


def survey(options: DataOptions) -> Survey:
    """Read the files of a run for the first time: tags, scheme, unit, documents.

    Raises:
        UserError: The files cannot be used.
    """
    if not options.data:
        raise UserError("--data: expected one file or more")
    if "-" in (*options.data, *options.val_data):
        raise UserError("--data -: the data is read twice; expected a file, got standard input")
    detector, documents, longest = Detector(), [], 1
    for sentence in read_sentences(options.data, options):
        detector.add(sentence.tags or (), sentence)
        documents.append(sentence.document)
        longest = max(longest, max(map(len, sentence.tokens)))
    scheme = options.scheme or detector.scheme()
    known = set()
    for tag in detector.places:
        here = part(tag)
        if scheme == "plain" or here is None:
            known.add(tag)
        if scheme not in ("plain", "io") and here is None:
            raise UserError(
                f"{detector.place(tag)}: unknown tag {shown(tag)}; expected tags of the "
                f"scheme {scheme}, such as B-PER, or O"
            )
        if here is not None and scheme != "plain" and here.label:
            known.add(here.label)
    if scheme == "plain":
        tags = tuple(sorted(known))
    else:
        both = (f"{letter}-{label}" for label in sorted(known) for letter in "BI")
        tags = (OUTSIDE, *both)
    unit: Unit = options.unit or ("character" if longest == 1 else "word")
    return Survey(TagSet(tags, scheme, unit), np.array(documents, np.int64))


def read_checked(
    files: Iterable[str], options: DataOptions, tags: TagSet
) -> Iterator[tuple[Sentence, list[int]]]:
    """Sentences of files with the numbers of their tags.

    Raises:
        UserError: As `read_sentences`; a tag is unknown; with ``--strict``, tags do not follow
            their scheme.
    """
    for sentence in read_sentences(files, options, unit=tags.unit):
        numbers = tags.encode(sentence)
        if options.strict:
            check_valid(sentence, tags.source)
        yield sentence, numbers


def check_valid(sentence: Sentence, scheme: Scheme) -> None:
    """Refuse tags that do not follow their scheme.

    Raises:
        UserError: The line names the place.
    """
    given = sentence.tags or ()
    for token in invalid_places(given, scheme):
        where = sentence.place_of(token)
        if token == len(given):
            raise UserError(f"{where}: a sentence cannot end with {shown(given[-1])} in {scheme}")
        before = shown(given[token - 1]) if token else "the beginning of a sentence"
        raise UserError(f"{where}: {shown(given[token])} cannot follow {before} in {scheme}")


def validation_part(
    documents: npt.NDArray[np.int64], fraction: float, seed: int
) -> npt.NDArray[np.bool_]:
    """Sentences kept for validation: whole documents at random.

    Of a single document it is the end.

    Args:
        documents: Number of each sentence's document, int64 of shape [N], in ascending order.
        fraction: Share of the sentences.
        seed: Seed of the choice.

    Returns:
        Whether each sentence is kept, of shape [N]; at least one is left to train on.
    """
    count = len(documents)
    wanted = min(round(fraction * count), count - 1)
    if fraction > 0 and count > 1:
        wanted = max(wanted, 1)
    _, first, sizes = np.unique(documents, return_index=True, return_counts=True)
    kept = np.zeros(count, bool)
    if len(sizes) == 1:
        kept[count - wanted :] = True
        return kept
    left = wanted
    # The last is never taken: there must be something to train on.
    for number in np.random.default_rng(seed).permutation(len(sizes))[:-1]:
        if left <= 0:
            break
        kept[first[number] : first[number] + sizes[number]] = True
        left -= int(sizes[number])
    return kept


def prepare_data(options: DataOptions, cache: Path, *, seed: int) -> TagData:
    """Read the files of a run and write its cache.

    Args:
        options: The files.
        cache: Folder to write to; it is made where it is missing.
        seed: Seed of the validation part.

    Raises:
        UserError: The files cannot be used.
        OSError: The cache cannot be written, or the disk is full.
    """
    tags, documents = survey(options)
    kept = np.zeros(len(documents), bool)
    if not options.val_data:
        kept = validation_part(documents, options.val_fraction, seed)
    cache.mkdir(exist_ok=True)
    tags.save(cache / "tags.json")
    train, val = (_Writer(cache / f"{part}.jsonl") for part in ("train", "val"))
    try:
        count = 0
        for sentence, numbers in read_checked(options.data, options, tags):
            if count < len(kept):
                (val if kept[count] else train).add(sentence, numbers)
            count += 1
        if count != len(kept):
            raise UserError(f"{options.data[0]}: the data changed while it was being read")
        for sentence, numbers in read_checked(options.val_data, options, tags):
            val.add(sentence, numbers)
    finally:
        train.close()
        val.close()
    return open_data(cache)


def open_data(cache: Path) -> TagData:
    """The data that `prepare_data` wrote.

    Raises:
        UserError: A file is missing or is not what was written.
    """
    tags = TagSet.load(cache / "tags.json")
    train, val = (SentenceStore(cache / f"{part}.jsonl", len(tags)) for part in ("train", "val"))
    if not len(train):
        raise UserError(f"{train.path}: expected one sentence or more, got none")
    return TagData(tags, train, val)
