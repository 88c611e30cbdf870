"""A look at a text before training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from unrolled.tasks.text.corpus import TEST, TRAIN, VALIDATION, Corpus
from unrolled.tasks.text.options import TextOptions
from unrolled.tasks.text.reading import read_lines, sources
from unrolled.tasks.text.tokens import Vocabulary
from unrolled.tasks.text.tokens.lines import whole_lines
from unrolled.training.task import Inspection

RARE = 10
"""Characters and other tokens that stand in the text less often are hardly learned."""
LISTED = 20
"""Tokens that are shown of many."""
MANY = 0.05
"""Share of unknown words above which a larger vocabulary is suggested."""


def inspect(options: TextOptions) -> Inspection:
    """Size, characters and tokens of a text, and what of the validation text is new.

    Raises:
        UserError: A file cannot be read, or is not text.
    """
    data, training = options.data, options.training
    corpus = Corpus(data)
    counts: Counter[str] = Counter()
    lines: Counter[int] = Counter()
    for source in sources(data.data):
        for block in read_lines(*source):
            for line in block:
                counts.update(line)
                counts["\n"] += 1
                lines[hash(line)] += 1
    facts: dict[str, Any] = {
        "characters": counts.total(),
        "different characters": len(counts),
        "lines": lines.total(),
        "different lines": len(lines),
        f"characters that stand there less than {RARE} times": _listed(
            character for character, count in counts.items() if count < RARE
        ),
    }
    kept = {"for validation": (VALIDATION, data.val_data), "to test on": (TEST, data.test_data)}
    for words, (part, files) in kept.items():
        if part == VALIDATION or part in corpus.lengths:
            facts[f"characters kept {words}"] = 0 if files else corpus.lengths.get(part, 0)
    warnings = []
    tokens, unit = corpus.lengths.get(TRAIN, 0), "character"
    if data.tokens != "characters":
        vocabulary = corpus.vocabulary()
        found = _count(corpus, TRAIN, vocabulary)
        tokens, unit = found.total, vocabulary.unit
        facts |= _facts(corpus, vocabulary, found)
        if found.unknown > MANY * tokens:
            warnings.append(
                f"{found.unknown / tokens:.0%} of the {unit}s to train on are unknown; more than "
                f"--vocabulary-size {len(vocabulary)} leaves fewer"
            )
    need = training.batch_size * training.seq_len + 1
    facts["updates of an epoch"] = max(0, (tokens - 1) // (need - 1))
    if tokens < need:
        warnings.append(
            f"text too short: --batch-size {training.batch_size} × --seq-len {training.seq_len} "
            f"needs {need} {unit}s to train on, there are {tokens}"
        )
    if data.val_data:
        unseen: Counter[str] = Counter()
        common = others = 0
        for source in sources(data.val_data):
            for block in read_lines(*source):
                for line in block:
                    unseen.update(character for character in line if character not in counts)
                    others += bool(line.strip())
                    common += bool(line.strip()) and hash(line) in lines
        facts["lines of the validation text that stand in the training text"] = common
        if unseen:
            warnings.append(
                f"{unseen.total()} characters of the validation text are not in the training "
                f"text: {_listed(unseen)}"
            )
        if others and common > others / 10:
            warnings.append(
                f"{common / others:.0%} of the validation lines stand in the training text: "
                "the score will be better than on new text"
            )
    return Inspection(facts, warnings)


class _Counts(NamedTuple):
    """Occurrences of each token, their sum, and those of the unknown."""

    each: np.ndarray[Any, np.dtype[Any]]
    total: int
    unknown: int


def _count(corpus: Corpus, part: str, vocabulary: Vocabulary) -> _Counts:
    each = np.zeros(len(vocabulary), np.int64)
    for block in whole_lines(corpus.part(part)):
        each += np.bincount(vocabulary.encode(block), minlength=len(each))
    unknown = 0 if vocabulary.unknown is None else int(each[vocabulary.unknown])
    return _Counts(each, int(each.sum()), unknown)


def _facts(corpus: Corpus, vocabulary: Vocabulary, found: _Counts) -> dict[str, Any]:
    """Words or subwords of the training part, and the unknown ones of the others."""
    unit = vocabulary.unit
    known = [token for token in range(len(vocabulary)) if token != vocabulary.unknown]
    often = sorted(known, key=lambda token: -found.each[token])
    rare = (vocabulary.decode(token) for token in known if 0 < found.each[token] < RARE)
    facts: dict[str, Any] = {
        f"{unit}s to train on": found.total,
        f"different {unit}s": len(known),
        f"{unit}s per character": found.total / corpus.lengths[TRAIN],
        f"most frequent {unit}s": _quoted(vocabulary.decode(token) for token in often[:LISTED]),
        f"{unit}s that stand there less than {RARE} times": _listed(rare),
    }
    if vocabulary.unknown is not None:
        facts[f"unknown {unit}s to train on"] = _share(found)
        for part in (VALIDATION, TEST):
            if part in corpus.lengths:
                facts[f"unknown {unit}s of the {part} part"] = _share(
                    _count(corpus, part, vocabulary)
                )
    return facts


def _share(found: _Counts) -> str:
    return f"{found.unknown:,} ({found.unknown / max(1, found.total):.2%})"


def _quoted(tokens: Iterable[str]) -> str:
    return " ".join(map(repr, tokens))


def _listed(tokens: Iterable[str]) -> str:
    """The number of some tokens and the first of them; words with blanks are quoted."""
    found = sorted(tokens)
    plain = all(len(token) == 1 for token in found)
    shown = (repr(token)[1:-1] if plain else repr(token) for token in found[:LISTED])
    more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
    return f"{len(found)}: {' '.join(shown)}{more}" if found else "none"
