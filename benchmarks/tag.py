"""Span F1 of taggers trained from scratch on two data sets of named entities.

    python benchmarks/tag.py FOLDER [part …] [--seeds 0 1 2]

FOLDER has ``wnut17/{train,valid,test}.conll`` and ``klue_ner/{train,valid}.tsv``. Parts:

* ``wnut``: trained on train, the best weights chosen on valid, measured on test;
* ``wnut-both``: trained on train and valid, measured on test;
* ``klue``: trained on train, measured on valid, which nothing else has seen.

Settings were chosen on valid (wnut) and on a part of train (klue); the bias of wnut-both on valid
after training on train, and the other way round. Each seed is a line, then the mean. The figures
beside it are those of a conditional random field on hand-made features.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import unrolled

WORDS: dict[str, Any] = {
    "batch_size": 16,
    "word_size": 64,
    "affix_size": 12,
    "character_layer": "lstm",
    "hidden_size": 100,
    "word_dropout": 0.2,
    "locked_dropout": 0.2,
    "swap_spans": 0.2,
    "sparse_features": True,
    "sparse_dropout": 0.5,
    "span_bias": 3.0,
    "lr": 0.003,
    "max_epochs": 6,
}
# No part is left on which the bias could be chosen. This one lies between the best for training on
# train and measuring on valid, which has more names (3), and the best for the reverse (0).
BOTH: dict[str, Any] = {**WORDS, "span_bias": 1.5}
CHARACTERS: dict[str, Any] = {
    "word_size": 64,
    "shape_size": 8,
    "ngram_size": 24,
    "hidden_size": 100,
    "dropout": 0.4,
    "locked_dropout": 0.4,
    "swap_spans": 0.3,
    "max_epochs": 14,
}

PARTS: dict[str, tuple[list[str], list[str], str, float, dict[str, Any]]] = {
    # training files, validation files, test file, F1 of the cheap method, settings
    "wnut": (["wnut17/train.conll"], ["wnut17/valid.conll"], "wnut17/test.conll", 0.183, WORDS),
    "wnut-both": (
        ["wnut17/train.conll", "wnut17/valid.conll"],
        [],
        "wnut17/test.conll",
        0.285,
        BOTH,
    ),
    "klue": (["klue_ner/train.tsv"], [], "klue_ner/valid.tsv", 0.744, CHARACTERS),
}


def measure(folder: Path, part: str, seed: int) -> tuple[float, float]:
    """F1 of all spans and of unseen ones on the test file, after training with a seed."""
    train, validation, test, _, settings = PARTS[part]
    with tempfile.TemporaryDirectory(prefix="unrolled-") as place:
        tagger = unrolled.train(
            "tag",
            [folder / name for name in train],
            val_data=[str(folder / name) for name in validation],
            val_fraction=0.0,
            out=Path(place) / "run",
            seed=seed,
            baseline=False,
            lens_every=0,
            threads=1,
            quiet=True,
            **settings,
        )
        found = tagger.evaluate([folder / test])
    return found.metrics["f1"].value, found.metrics["f1_unseen"].value


def main() -> None:
    """Measure the parts that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("parts", nargs="*", default=list(PARTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    given = parser.parse_args()
    for part in given.parts:
        values = []
        for seed in given.seeds:
            start = time.perf_counter()
            f1, unseen = measure(given.folder, part, seed)
            values.append(f1)
            minutes = (time.perf_counter() - start) / 60
            print(
                f"{part:10} seed {seed}  F1 {f1:.4f}  unseen {unseen:.4f}  {minutes:.1f} min",
                flush=True,
            )
        cheap = PARTS[part][3]
        print(f"{part:10} mean    F1 {statistics.mean(values):.4f}  features alone {cheap:.3f}")


if __name__ == "__main__":
    main()
