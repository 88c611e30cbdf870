"""Quality of classifiers on three public data sets, beside a cheap method.

    python benchmarks/classify.py DATA [--seeds 5] [--first 0] [--only sms_spam] [--threads 1]

DATA is a folder with ``sms_spam`` (SMSSpamCollection and split.txt), ``nsmc_25k`` (train.tsv,
valid.tsv, test.tsv), ``japanese_vowels`` (JapaneseVowels_TRAIN.ts and _TEST.ts) and ``mnist`` (the
four files of IDX), at any depth. The two kinds of MNIST take an hour a seed.
The weights are chosen on the validation part and the test part is read once, after training.
Printed are test metrics by seed, their mean, the cheap method's, minutes and parameters.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from seeds import found_in, measure_all, spread

from unrolled.tasks import TASKS, options_from
from unrolled.tasks.classify.predictor import ClassifyPredictor
from unrolled.training import session


class Case(NamedTuple):
    """One data set.

    Attributes:
        name: Name of the case.
        folder: Where its files are.
        metric: Name of the metric that counts.
        goal: What it should reach.
        settings: Options of training.
    """

    name: str
    folder: str
    metric: str
    goal: float
    settings: dict[str, Any]


NGRAMS: dict[str, Any] = {"ngrams": 4, "ngram_size": 16, "embedding_dropout": 0.5}

PIXELS: dict[str, Any] = {
    "idx": "pixels",
    "val_fraction": 1 / 6,
    "hidden_size": 192,
    "bidirectional": False,
    "batch_size": 16,
    "beta2": 0.99,
    "weight_decay": 0.01,
    "warmup": 0.05,
    "max_epochs": 13,
    "baseline": False,
}


def cell(name: str) -> str:
    """A cell of the example of oscillators, as an option takes it."""
    return f"{Path(__file__).parents[1] / 'examples' / 'oscillators.py'}:{name}"


CASES = (
    Case(
        "sms_spam",
        "sms_spam",
        "f1",
        0.965,
        {**NGRAMS, "dropout": 0.5, "max_epochs": 8, "combine": True},
    ),
    Case(
        "nsmc_25k",
        "nsmc_25k",
        "accuracy",
        0.855,
        {
            **NGRAMS,
            "ngram_vectors": 2**17,
            "dropout": 0.6,
            "token_dropout": 0.3,
            "lr": 1e-3,
            "ema": 0.998,
            "batch_size": 64,
            "max_epochs": 3,
            "combine": True,
        },
    ),
    Case(
        "japanese_vowels",
        "japanese_vowels",
        "accuracy",
        0.99,
        {
            "batch_size": 16,
            "max_epochs": 60,
            "hidden_size": 128,
            "input_noise": 0.5,
            "label_smoothing": 0.1,
            "combine": True,
        },
    ),
    Case(
        "sequential_mnist",
        "mnist",
        "accuracy",
        0.985,
        {**PIXELS, "cell": cell("Bank"), "heads": 6, "dropout": 0.2, "ema": 0.999},
    ),
    Case(
        "permuted_mnist",
        "mnist",
        "accuracy",
        0.94,
        {
            **PIXELS,
            "cell": cell("SlowBank"),
            "heads": 12,
            "dropout": 0.0,
            "ema": 0.0,
            "permute": 0,
        },
    ),
)


Files = tuple[dict[str, Any], Path]
"""Options that name the files to train with, and the test file."""


def sms_spam(source: Path, place: Path) -> Files:
    """Training, validation and test files by the parts that split.txt names."""
    rows = (source / "SMSSpamCollection").read_text(encoding="utf-8").split("\n")
    parts = (source / "split.txt").read_text(encoding="utf-8").split()
    for part in ("train", "valid", "test"):
        kept = [row for row, own in zip(rows, parts, strict=False) if own == part]
        (place / f"{part}.tsv").write_text("label\ttext\n" + "\n".join(kept) + "\n")
    return {"data": place / "train.tsv", "val_data": place / "valid.tsv"}, place / "test.tsv"


def nsmc_25k(source: Path, place: Path) -> Files:
    """The files as they are."""
    named = {"data": source / "train.tsv", "val_data": source / "valid.tsv"}
    return named, source / "test.tsv"


def japanese_vowels(source: Path, place: Path) -> Files:
    """The training file, of which a part is drawn for validation."""
    return {"data": source / "JapaneseVowels_TRAIN.ts"}, source / "JapaneseVowels_TEST.ts"


def mnist(source: Path, place: Path) -> Files:
    """The training images, of which a part is drawn for validation; labels are found beside."""
    named = {"data": next(source.glob("train-images-idx3-ubyte*"))}
    return named, next(source.glob("t10k-images-idx3-ubyte*"))


READERS = {each.__name__: each for each in (sms_spam, nsmc_25k, japanese_vowels, mnist)}
"""By a case's folder."""


def main() -> None:
    """Train and measure."""
    measure_all(CASES, measure, description=__doc__, seeds=5, validation=True)


def measure(case: Case, given: argparse.Namespace) -> None:
    """Train one data set with several seeds."""
    task = TASKS["classify"]
    source = found_in(given.data, case.folder)
    found, cheap, minutes, parameters = [], None, [], 0
    for seed in range(given.first, given.first + given.seeds):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            files, test = READERS[case.folder](source, place)
            settings = {**case.settings, **files, "seed": seed, "threads": given.threads}
            options = options_from(task, {**settings, "lens_every": 0, "device": "cpu"})
            summary = session.train(task, options, place / "run", quiet=True)
            assert summary is not None
            minutes.append(summary.training_seconds / 60)
            parameters = summary.parameters
            value, base = summary.metrics[case.metric]["value"], None
            if summary.baseline:
                base = summary.baseline[case.metric]["value"]
            if not given.validation:
                predictor = session.load(task, place / "run")
                assert isinstance(predictor, ClassifyPredictor)
                evaluation = predictor.evaluate([test])
                value = evaluation.metrics[case.metric].value
                alone = evaluation.details.get("network", {}).get(case.metric, {}).get("value")
                base = evaluation.baseline[case.metric].value if evaluation.baseline else None
                print(f"  network alone {alone}" if alone else "", flush=True)
            assert value is not None
            found.append(value)
            cheap = base
            print(f"  {case.name} seed {seed}: {value:.4f}, {minutes[-1]:.1f} min", flush=True)
    print(
        f"{case.name}: {case.metric} {spread(found)} "
        f"(goal {case.goal}, cheap method {cheap if cheap is None else round(cheap, 4)}), "
        f"{statistics.mean(minutes):.1f} minutes, {parameters:,} parameters"
    )


if __name__ == "__main__":
    main()
