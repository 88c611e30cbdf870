"""Facts and warnings about tagged sentences before training."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from typing import Any

import numpy as np

from unrolled.training.task import Inspection

from .data import TagSet, model_tags, read_checked, survey, validation_part
from .options import DataOptions
from .schemes import OUTSIDE, invalid_places, read_spans
from .sentences import Sentence

SHOWN = 3
"""Places of a kind that a warning names."""

FEW = 5
"""Spans of a type below which a model can hardly learn it."""

LONG = 512
"""Tokens above which a sentence slows training down."""


class _Part:
    """What is counted of the sentences to train on, or of those to validate on."""

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self.tags: Counter[str] = Counter()
        self.types: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()
        self.forms: Counter[str] = Counter()
        self.without = 0

    def add(self, sentence: Sentence, tags: TagSet) -> None:
        """Count a sentence."""
        given = model_tags(sentence, tags.source)
        self.lengths.append(len(given))
        self.tags.update(given)
        self.tokens.update(sentence.tokens)
        if tags.scheme != "plain":
            spans = read_spans(given, tags.scheme)
            self.without += not spans
            self.types.update(span.label for span in spans)
            self.forms.update(" ".join(sentence.tokens[s.start : s.end]) for s in spans)


class _Places:
    """Places of one kind of trouble: the first few, and how many there are."""

    def __init__(self, text: str) -> None:
        self.text, self.count, self.first = text, 0, list[str]()

    def add(self, place: str) -> None:
        """Take in a place."""
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append(place)

    def line(self) -> list[str]:
        """The warning, if there is any place."""
        if not self.count:
            return []
        more = ", …" if self.count > len(self.first) else ""
        return [f"{self.count:,} {self.text}: {', '.join(self.first)}{more}"]


def inspect_data(options: DataOptions, *, seed: int = 0) -> Inspection:
    """Look at the files of a run.

    Args:
        options: The files.
        seed: Seed of the validation part.

    Raises:
        UserError: The files cannot be read.
    """
    tags, documents = survey(options)
    kept = np.zeros(len(documents), bool)
    if not options.val_data:
        kept = validation_part(documents, options.val_fraction, seed)
    train, val = _Part(), _Part()
    invalid = _Places("tags that do not follow their scheme, read as the CoNLL evaluation does")
    twice = _Places("sentences stand in the training data more than once")
    both = _Places("sentences of the validation data stand in the training data, too")
    conflict = _Places("sentences have other tags than the same sentence before")
    long = _Places(f"sentences have over {LONG} tokens")
    # Of each sentence to train on: its place and a digest of its tags.
    seen: dict[bytes, tuple[str, bytes]] = {}
    held: list[tuple[bytes, str, bytes]] = []

    def look(sentence: Sentence, *, validates: bool) -> None:
        (val if validates else train).add(sentence, tags)
        for token in invalid_places(sentence.tags or (), tags.source):
            invalid.add(sentence.place_of(token))
        if len(sentence.tokens) > LONG:
            long.add(sentence.place)
        tokens, given = _digest(sentence.tokens), _digest(sentence.tags or ())
        if validates:
            held.append((tokens, sentence.place, given))
        elif tokens not in seen:
            seen[tokens] = sentence.place, given
        else:
            place, before = seen[tokens]
            twice.add(f"{sentence.place} (as {place})")
            if before != given:
                conflict.add(f"{sentence.place} (as {place})")

    for number, (sentence, _) in enumerate(read_checked(options.data, options, tags)):
        look(sentence, validates=number < len(kept) and bool(kept[number]))
    for sentence, _ in read_checked(options.val_data, options, tags):
        look(sentence, validates=True)
    for tokens, place, given in held:
        if tokens in seen:
            both.add(f"{place} (as {seen[tokens][0]})")
            if seen[tokens][1] != given:
                conflict.add(f"{place} (as {seen[tokens][0]})")
    warnings = [
        line for kind in (invalid, conflict, both, twice, long) for line in kind.line()
    ] + _about_tags(train, val, tags)
    return Inspection(_facts(train, val, tags, len(np.unique(documents))), warnings)


def _digest(words: tuple[str, ...]) -> bytes:
    """A short stand-in for words, so that a large file's fit into memory."""
    return blake2b("\0".join(words).encode(), digest_size=16).digest()


def _facts(train: _Part, val: _Part, tags: TagSet, documents: int) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "sentences to train on": len(train.lengths),
        "sentences to validate on": len(val.lengths),
        "documents": documents,
        "tokens to train on": sum(train.lengths),
        "tokens to validate on": sum(val.lengths),
        "different tokens": len(train.tokens),
        "tokens of a sentence": _spread(train.lengths),
        "unit": tags.unit,
        "scheme": tags.source,
    }
    tag, count = train.tags.most_common(1)[0]
    facts["most frequent tag"] = f"{tag}, {count / sum(train.lengths):.1%} of the tokens"
    if tags.scheme == "plain":
        facts["tags"] = dict(train.tags.most_common())
    else:
        facts["spans"] = sum(train.types.values())
        facts["types"] = dict(train.types.most_common())
        facts["sentences without spans"] = f"{train.without / len(train.lengths):.1%}"
    if val.lengths:
        facts["validation tokens not in training"] = _unseen(val.tokens, train.tokens)
        if tags.scheme != "plain" and val.forms:
            facts["validation spans not in training"] = _unseen(val.forms, train.forms)
    return facts


def _spread(lengths: list[int]) -> str:
    low, middle, high, most = np.quantile(lengths, [0.05, 0.5, 0.95, 1]).astype(int)
    return f"median {middle}, most of them {low} to {high}, the longest {most}"


def _unseen(words: Counter[str], known: Counter[str]) -> str:
    share = sum(count for word, count in words.items() if word not in known)
    return f"{share / sum(words.values()):.1%}"


def _about_tags(train: _Part, val: _Part, tags: TagSet) -> list[str]:
    """Warnings about types that a model cannot learn, or whose score will say little."""
    plain = tags.scheme == "plain"
    kind = "tag" if plain else "type"
    here, there = (train.tags, val.tags) if plain else (train.types, val.types)
    warnings = []
    if not plain and not train.types:
        warnings.append(f"no span to train on: every tag is {OUTSIDE}")
    for label in tags.types:
        count = here[label]
        if not count:
            warnings.append(f"{kind} {label} is not in the training part")
        elif count < FEW:
            times = "once" if count == 1 else f"{count} times"
            warnings.append(f"{kind} {label} is in the training part only {times}")
        if val.lengths and count >= FEW and not there[label]:
            warnings.append(f"{kind} {label} is not in the validation part")
    if len(tags.tags) == 1:
        warnings.append(f"there is one tag only, {tags.tags[0]}")
    if not val.lengths:
        warnings.append("nothing to validate on: give --val-data or --val-fraction")
    return warnings
