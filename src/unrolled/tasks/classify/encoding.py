"""From texts, series and labels to numbers; saved with a run and independent of its files."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from unrolled.errors import UserError
from unrolled.files import read_json, write_file
from unrolled.tasks.ragged import pad

from .items import Item, Values
from .options import DataOptions

FORMAT = 1
"""Number of the file's format."""

UNKNOWN = 0
"""Token of characters and subwords that are not known; bytes are all known."""

NAME = "encoding.json"
"""Name of the file in a run's folder."""

Tokens = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Labels:
    """The labels of the training items, sorted; whole numbers by their value.

    Attributes:
        names: The labels.
        counts: Number of training items with each.
        several: Whether an item may have none or several.
    """

    names: tuple[str, ...]
    counts: tuple[int, ...]
    several: bool = False

    @classmethod
    def of(cls, counts: Mapping[str, int], *, several: bool) -> Labels:
        """Labels that were counted."""
        whole = all(_is_whole(name) for name in counts)
        names = sorted(counts, key=(lambda name: (int(name), name)) if whole else str)
        return cls(tuple(names), tuple(counts[name] for name in names), several)

    def __len__(self) -> int:
        """Number of labels."""
        return len(self.names)

    def number(self, name: str) -> int | None:
        """Number of a label from 0; None if the training items do not have it."""
        return self._numbers.get(name)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: at for at, name in enumerate(self.names)}


def _is_whole(name: str) -> bool:
    return name.isascii() and name.removeprefix("-").isdecimal() and len(name) < 19


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


class TextEncoder:
    """Tokens of texts.

    Args:
        tokens: Units of a text.
        known: Characters in order of code point; or the JSON of a ``tokenizers.Tokenizer``; empty
            for bytes.
        lower: Whether texts are turned to lower case.
        normalize: Unicode normal form.
        cut: Longest sequence.

    Attributes:
        size: Number of different tokens, the unknown among them.

    Raises:
        UserError: The tokenizer is damaged, or its package is not installed.
    """

    def __init__(
        self,
        tokens: Literal["characters", "bytes", "subwords"],
        known: str,
        *,
        lower: bool,
        normalize: Literal["NFC", "NFKC", "none"],
        cut: Cut,
    ) -> None:
        self.tokens, self.known = tokens, known
        self.lower, self.normalize, self.cut = lower, normalize, cut
        self._table: Tokens = np.zeros(1, np.uint32)
        self._tokenizer: Any = None
        if tokens == "characters":
            points = _code_points(known)
            # By code point; the last place is of all that are higher.
            self._table = np.zeros(int(points.max(initial=0)) + 2, np.uint32)
            self._table[points] = np.arange(1, len(points) + 1)
            self.size = len(points) + 1
        elif tokens == "bytes":
            self.size = 256
        else:
            self._tokenizer = _tokenizer(known)
            self.size = int(self._tokenizer.get_vocab_size())

    @classmethod
    def fit(cls, texts: Iterable[str], options: DataOptions) -> TextEncoder:
        """An encoder of the characters or subwords of some texts, read once.

        Raises:
            UserError: Subwords need a package that is not installed.
        """
        form = (clean(text, lower=options.lower, normalize=options.normalize) for text in texts)
        known = ""
        if options.tokens == "characters":
            known = _frequent_characters(form, options.min_count)
        elif options.tokens == "subwords":
            known = _train_subwords(form, options)
        return cls(
            options.tokens,
            known,
            lower=options.lower,
            normalize=options.normalize,
            cut=Cut(options.max_length, options.keep),
        )

    def clean(self, text: str) -> str:
        """A text in the form that is encoded."""
        return clean(text, lower=self.lower, normalize=self.normalize)

    def encode_whole(self, text: str) -> Tokens:
        """Tokens of a text, however long; one unknown where there would be none."""
        form = self.clean(text)
        if self.tokens == "bytes":
            found: Tokens = np.frombuffer(form.encode(), np.uint8).astype(np.uint32)
        elif self.tokens == "characters":
            points = _code_points(form)
            found = self._table[np.minimum(points, len(self._table) - 1)]
        else:
            found = np.asarray(self._tokenizer.encode(form).ids, np.uint32)
        return found if len(found) else np.array([UNKNOWN], np.uint32)

    def encode(self, text: str) -> Tokens:
        """Tokens of a text, ``[T]`` with T from 1 to the longest sequence."""
        return self.cut(self.encode_whole(text))

    def words(self, text: str) -> list[str]:
        """What each token of ``encode`` stands for, for display."""
        tokens = self.encode(text)
        if self.tokens == "subwords":
            return [str(self._tokenizer.id_to_token(int(token)) or "") for token in tokens]
        if self.tokens == "bytes":
            return [chr(token) if 32 <= token < 127 else f"\\x{token:02x}" for token in tokens]
        form = list(self.clean(text)) or ["\N{REPLACEMENT CHARACTER}"]
        return [str(one) for one in self.cut(np.array(form, object))]

    def record(self) -> dict[str, Any]:
        """Everything as JSON has it."""
        return {
            "tokens": self.tokens,
            "known": self.known,
            "lower": self.lower,
            "normalize": self.normalize,
            "max_length": self.cut.max_length,
            "keep": self.cut.keep,
        }


class SeriesEncoder:
    """Scaled values of series.

    Args:
        mean: Of each channel, ``[C]``.
        deviation: Of each channel, ``[C]``, above 0.
        cut: Longest sequence.

    Attributes:
        channels: C.
    """

    def __init__(
        self, mean: npt.NDArray[np.float64], deviation: npt.NDArray[np.float64], cut: Cut
    ) -> None:
        self.mean, self.deviation, self.cut = mean, deviation, cut
        self.channels = len(mean)

    @classmethod
    def fit(cls, series: Iterable[Values], channels: int, options: DataOptions) -> SeriesEncoder:
        """Scales of some series, read once."""
        mean, deviation = np.zeros(channels), np.ones(channels)
        if options.scale != "none":
            mean, deviation = _moments(series, channels, together=options.scale == "together")
        return cls(mean, deviation, Cut(options.max_length, options.keep))

    def encode(self, series: Values) -> npt.NDArray[np.float32]:
        """Scaled values of a series ``[T, C]``, at most the longest sequence.

        Raises:
            ValueError: It has another number of channels.
        """
        if series.ndim != 2 or series.shape[1] != self.channels:
            raise ValueError(f"expected [T, {self.channels}], got {list(series.shape)}")
        scaled = (self.cut(series) - self.mean) / self.deviation
        return scaled.astype(np.float32)

    def record(self) -> dict[str, Any]:
        """Everything as JSON has it."""
        return {
            "mean": self.mean.tolist(),
            "deviation": self.deviation.tolist(),
            "max_length": self.cut.max_length,
            "keep": self.cut.keep,
        }


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
            encoder = _text_encoder(inputs) if record["kind"] == "text" else _series_encoder(inputs)
            return cls(encoder, _read_labels(labels))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(f"{path}: corrupt: {error}") from error


def clean(text: str, *, lower: bool, normalize: str) -> str:
    """A text in a Unicode normal form, perhaps in lower case."""
    if normalize != "none":
        text = unicodedata.normalize(normalize, text)  # type: ignore[arg-type]
    return text.lower() if lower else text


def _text_encoder(record: Any) -> TextEncoder:
    tokens, known = record["tokens"], record["known"]
    if tokens not in ("characters", "bytes", "subwords") or not isinstance(known, str):
        raise ValueError("expected characters, bytes or subwords")
    if tokens == "characters" and bool((np.diff(_code_points(known).astype(np.int64)) <= 0).any()):
        raise ValueError("expected characters in order, each once")
    if record["normalize"] not in ("NFC", "NFKC", "none") or type(record["lower"]) is not bool:
        raise ValueError("expected a normal form, and whether texts are in lower case")
    return TextEncoder(
        tokens,
        known,
        lower=record["lower"],
        normalize=record["normalize"],
        cut=_read_cut(record),
    )


def _series_encoder(record: Any) -> SeriesEncoder:
    mean = np.array(record["mean"], np.float64)
    deviation = np.array(record["deviation"], np.float64)
    fine = mean.ndim == 1 and mean.shape == deviation.shape and len(mean)
    if not fine or not (np.isfinite(mean).all() and np.isfinite(deviation).all()):
        raise ValueError("expected a finite mean and deviation for each channel")
    if not (deviation > 0).all():
        raise ValueError("expected deviations above 0")
    return SeriesEncoder(mean, deviation, _read_cut(record))


def _read_cut(record: Any) -> Cut:
    most, keep = record["max_length"], record["keep"]
    if keep not in ("beginning", "ends"):
        raise ValueError("expected the beginning or both ends to be kept")
    if most is not None and (type(most) is not int or most < 1):
        raise ValueError("expected a longest sequence of 1 step or more")
    return Cut(most, keep)


def _read_labels(record: Any) -> Labels:
    names, counts = record["names"], record["counts"]
    fine = all(isinstance(one, list) for one in (names, counts)) and len(names) == len(counts)
    if not fine or not names or len(set(map(str, names))) != len(names):
        raise ValueError("expected labels and the count of each")
    if not all(isinstance(name, str) for name in names) or not all(type(n) is int for n in counts):
        raise ValueError("expected labels in words and counts in numbers")
    if type(record["several"]) is not bool:
        raise ValueError("expected whether an item may have several labels")
    return Labels(tuple(names), tuple(counts), record["several"])


def _frequent_characters(texts: Iterable[str], min_count: int) -> str:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    return "".join(sorted(one for one, count in counts.items() if count >= min_count))


def _train_subwords(texts: Iterator[str], options: DataOptions) -> str:
    """Subwords learnt from texts, as the JSON of a tokenizer."""
    tokenizers = _package()
    models, trainers = tokenizers.models, tokenizers.trainers
    common = {"vocab_size": options.subword_count, "show_progress": False}
    if options.subword_model == "bpe":
        tokenizer = tokenizers.Tokenizer(models.BPE(unk_token=_UNKNOWN_WORD))
        trainer = trainers.BpeTrainer(
            special_tokens=[_UNKNOWN_WORD], min_frequency=options.min_count, **common
        )
    else:
        tokenizer = tokenizers.Tokenizer(models.Unigram())
        trainer = trainers.UnigramTrainer(
            special_tokens=[_UNKNOWN_WORD], unk_token=_UNKNOWN_WORD, **common
        )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(texts, trainer)
    return str(tokenizer.to_str())


_UNKNOWN_WORD = "<unknown>"


def _tokenizer(known: str) -> Any:
    tokenizers = _package()
    try:
        tokenizer = tokenizers.Tokenizer.from_str(known)
        tokenizer.encode("a")
    except Exception as error:  # the package raises plain exceptions
        raise ValueError(f"not a tokenizer: {error}") from error
    if tokenizer.token_to_id(_UNKNOWN_WORD) != UNKNOWN:
        raise ValueError("not a tokenizer of this library")
    return tokenizer


def _package() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise UserError(
            "--tokens subwords needs tokenizers: pip install 'unrolled[subwords]'"
        ) from error
    return tokenizers


def _moments(
    series: Iterable[Values], channels: int, *, together: bool
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and deviation of each channel over all steps; 1 for a channel that never changes."""
    count, mean, squares = 0, np.zeros(channels), np.zeros(channels)
    for values in series:
        # Means and squares about them are merged item by item: no sum grows so large that
        # differences drown in it.
        steps = len(values)
        own = values.mean(0, dtype=np.float64)
        change = own - mean
        total = count + steps
        mean += change * steps / total
        squares += np.square(values - own).sum(0) + np.square(change) * count * steps / total
        count = total
    if together and count:
        overall = mean.mean()
        squares[:] = (squares + count * np.square(mean - overall)).mean()
        mean[:] = overall
    deviation = np.sqrt(squares / max(count, 1))
    # What is left of a constant by rounding is no deviation.
    deviation[deviation <= 1e-7 * np.abs(mean)] = 1.0
    deviation[~(deviation > 0)] = 1.0
    return mean, deviation


def _code_points(text: str) -> Tokens:
    return np.frombuffer(text.encode("utf-32-le"), np.dtype("<u4")).astype(np.uint32)
