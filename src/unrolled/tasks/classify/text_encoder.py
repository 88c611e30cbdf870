"""From texts to tokens: characters, bytes or subwords."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from unrolled.tasks.hugging_face import parse_tokenizer, tokenizers_package

from .cut import Cut
from .options import DataOptions

UNKNOWN = 0
"""Token of characters and subwords that are not known; bytes are all known."""


Tokens = npt.NDArray[np.uint32]


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

    @classmethod
    def from_record(cls, record: Any) -> TextEncoder:
        """Read back from JSON.

        Raises:
            LookupError: A value is missing.
            TypeError: A value is of another type.
            ValueError: A value cannot be.
        """
        tokens, known = record["tokens"], record["known"]
        if tokens not in ("characters", "bytes", "subwords") or not isinstance(known, str):
            raise ValueError("expected characters, bytes or subwords")
        rises = np.diff(_code_points(known).astype(np.int64))
        if tokens == "characters" and bool((rises <= 0).any()):
            raise ValueError("expected characters in order, each once")
        if record["normalize"] not in ("NFC", "NFKC", "none") or type(record["lower"]) is not bool:
            raise ValueError("expected a normal form, and whether texts are in lower case")
        return cls(
            tokens,
            known,
            lower=record["lower"],
            normalize=record["normalize"],
            cut=Cut.from_record(record),
        )


def clean(text: str, *, lower: bool, normalize: str) -> str:
    """A text in a Unicode normal form, perhaps in lower case."""
    if normalize != "none":
        text = unicodedata.normalize(normalize, text)  # type: ignore[arg-type]
    return text.lower() if lower else text


def _frequent_characters(texts: Iterable[str], min_count: int) -> str:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    return "".join(sorted(one for one, count in counts.items() if count >= min_count))


def _train_subwords(texts: Iterator[str], options: DataOptions) -> str:
    """Subwords learnt from texts, as the JSON of a tokenizer."""
    tokenizers = tokenizers_package("--tokens subwords")
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
    tokenizer = parse_tokenizer(known, "--tokens subwords")
    if tokenizer.token_to_id(_UNKNOWN_WORD) != UNKNOWN:
        raise ValueError("not a tokenizer of this library")
    return tokenizer


def _code_points(text: str) -> Tokens:
    return np.frombuffer(text.encode("utf-32-le"), np.dtype("<u4")).astype(np.uint32)
