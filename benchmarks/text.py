"""Bits per character of language models, beside an n-gram model and together with it.

    python benchmarks/text.py DATA [--seeds 1] [--first 0] [--only chatbot] [--threads 1]
                              [--validation]

DATA is a folder with ``tinyshakespeare/input.txt`` and ``korean_chatbot`` (lm_train.txt,
lm_valid.txt, lm_test.txt: a question on one line, its answer on the next), at any depth. Of
Shakespeare the last tenth is the test part, the twentieth before it the validation part. Weights,
and the weights of both models together, are chosen on the validation part; the test part is read
once, after training. Printed are bits per character of network, both together and n-gram model,
minutes and parameters; of the chatbot also apart for questions, for answers that stand in the
training text word for word, and for others, which alone tell what was learnt beyond reciting.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from seeds import found_in, measure_all, spread

from unrolled.tasks import TASKS, options_from
from unrolled.tasks.text.predictor import TextPredictor
from unrolled.training import session

METHODS = {"network": "network", "combined": "both", "baseline": "n-grams"}
"""Methods, and how they are printed."""


class Case(NamedTuple):
    """One text and one way to train.

    Attributes:
        name: Name of the case.
        source: The text: a file, or a folder of three.
        settings: Options of training.
    """

    name: str
    source: str
    settings: dict[str, Any]


CASES = (
    Case("shakespeare", "input.txt", {"max_time": "15m"}),
    Case("shakespeare_subwords", "input.txt", {"max_time": "15m", "tokens": "subwords"}),
    Case("chatbot", "korean_chatbot", {"max_time": "20m"}),
)


class Parts(NamedTuple):
    """Files of the parts of a text."""

    train: Path
    validation: Path
    test: Path


def main() -> None:
    """Train and measure."""
    measure_all(CASES, measure, description=__doc__, seeds=1, validation=True)


def measure(case: Case, given: argparse.Namespace) -> None:
    """Train one case with several seeds."""
    task = TASKS["text"]
    source = found_in(given.data, case.source)
    found: dict[str, list[float]] = defaultdict(list)
    minutes: list[float] = []
    parameters = 0
    with tempfile.TemporaryDirectory() as name:
        parts = parts_of(source, Path(name))
        for seed in range(given.first, given.first + given.seeds):
            place = Path(name) / f"run{seed}"
            settings = {**case.settings, "seed": seed, "threads": given.threads, "lens_every": 0}
            settings |= {"data": parts.train, "val_data": parts.validation, "device": "cpu"}
            summary = session.train(task, options_from(task, settings), place, quiet=True)
            assert summary is not None
            minutes.append(summary.training_seconds / 60)
            parameters = summary.parameters
            predictor = session.load(task, place)
            assert isinstance(predictor, TextPredictor)
            print(f"{case.name} seed {seed}: {minutes[-1]:.1f} min", flush=True)
            measured = {"validation": parts.validation}
            if not given.validation:
                measured["test"] = parts.test
            for part, path in measured.items():
                comparison = predictor.compare(path)
                bits = {name: score.bits for name, score in comparison.scores.items()}
                print(f"  {part}: {told(bits)}")
                for method, said in METHODS.items():
                    found[f"{part}, {said}"].append(bits[method])
                if case.name == "chatbot":
                    for kind, bits_by_method in kinds_of(predictor, path, parts.train).items():
                        print(f"    {kind}: {told(bits_by_method)}")
                sys.stdout.flush()
    print(
        f"{case.name}: bits per character: "
        + "; ".join(f"{name} {spread(values)}" for name, values in found.items())
        + f"; {statistics.mean(minutes):.1f} minutes, {parameters:,} parameters",
        flush=True,
    )


def parts_of(source: Path, folder: Path) -> Parts:
    """The files of the parts; of a single text they are cut here."""
    if source.is_dir():
        return Parts(*(source / f"lm_{part}.txt" for part in ("train", "valid", "test")))
    text = source.read_text(encoding="utf-8")
    cuts = [0, int(0.85 * len(text)), int(0.9 * len(text)), len(text)]
    parts = Parts(*(folder / f"{part}.txt" for part in ("train", "validation", "test")))
    for path, start, stop in zip(parts, cuts, cuts[1:], strict=False):
        path.write_text(text[start:stop], encoding="utf-8")
    return parts


def kinds_of(predictor: TextPredictor, path: Path, train: Path) -> dict[str, dict[str, float]]:
    """Bits per character of questions, answers of the training text and other answers.

    The character that ends a line belongs to it; the first of the text is not predicted.
    """
    known = set(train.read_text(encoding="utf-8").split("\n"))
    kinds: list[str] = []
    text = path.read_text(encoding="utf-8")
    for number, line in enumerate(text.split("\n")):
        answer = "answers of the training text" if line in known else "other answers"
        kinds += [answer if number % 2 else "questions"] * (len(line) + 1)
    each = np.array(kinds[1 : len(text)])
    nats = predictor.nats(path)
    return {
        f"{kind} ({int((each == kind).sum()):,} characters)": {
            method: float(values[each == kind].mean()) / math.log(2)
            for method, values in nats.items()
        }
        for kind in ("questions", "answers of the training text", "other answers")
    }


def told(bits: Mapping[str, float]) -> str:
    """Bits by method in one line."""
    return ", ".join(f"{said} {bits[name]:.4f}" for name, said in METHODS.items())


if __name__ == "__main__":
    main()
