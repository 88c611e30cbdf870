"""A task that counts words, without any model: what the command line makes of a task shows."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from unrolled.errors import UserError
from unrolled.ranges import Range
from unrolled.training.options import CheckedOptions, TrainingOptions
from unrolled.training.task import Estimate, Evaluation, Inspection, Opened, Verb

if TYPE_CHECKING:
    from torch import device

    from unrolled.training.processes import Processes
    from unrolled.training.run_folder.folder import RunFolder


@dataclass(frozen=True)
class DataOptions(CheckedOptions):
    """Which lines to read.

    Attributes:
        data: Files of lines.
        val_data: Files to validate on.
        column: Column of the words; counted
            from 1.
    """

    data: tuple[str, ...] = ()
    val_data: tuple[str, ...] = ()
    column: Annotated[int, Range(1, 9)] = 1


@dataclass(frozen=True)
class ModelOptions:
    """The model.

    Attributes:
        size: Units of the model.
        kind: Kind of model.
        both: Read both ways.
    """

    size: Annotated[int, Range(1, 100)] = 8
    kind: Literal["small", "large"] = "small"
    both: bool = True


@dataclass(frozen=True)
class OwnTraining(TrainingOptions):
    """How to train.

    Attributes:
        wait: Batches to wait.
    """

    max_epochs: int | None = 7
    wait: Annotated[int, Range(0, 9)] = 0


@dataclass(frozen=True)
class Options:
    """Everything about one run."""

    task: Literal["count"] = "count"
    data: DataOptions = field(default_factory=DataOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    training: OwnTraining = field(default_factory=OwnTraining)


@dataclass(frozen=True)
class PlainOptions(Options):
    """Everything about one run of another task."""

    task: Literal["plain"] = "plain"  # type: ignore[assignment]


@dataclass(frozen=True)
class PredictOptions:
    """How to count.

    Attributes:
        least: Shortest word that is counted.
        format: How letters are written.
    """

    least: Annotated[int, Range(1, 99)] = 1
    format: Literal["lower", "upper"] = "lower"


@dataclass(frozen=True)
class EvaluateOptions:
    """How to measure.

    Attributes:
        strict: Count twice.
    """

    strict: bool = False


@dataclass(frozen=True)
class SingOptions:
    """How to sing.

    Attributes:
        times: Verses.
        table: Give records.
    """

    times: Annotated[int, Range(0, 99)] = 2
    table: bool = False


class Counter:
    """Counts the words of a line."""

    def predict(self, items: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
        for item in items:
            yield {"text": item, "words": len(item.split())}


def lines(files: Sequence[str]) -> Iterator[str]:
    for name in files:
        if name == "-":
            yield from (line.rstrip("\n") for line in sys.stdin)
        else:
            yield from Path(name).read_text(encoding="utf-8").splitlines()


def predict(
    model: Counter, files: Sequence[str], options: PredictOptions
) -> Iterator[Mapping[str, Any]]:
    for found in model.predict(lines(files)):
        if found["text"] == "broken":
            raise UserError("line 2: broken")
        text = found["text"].upper() if options.format == "upper" else found["text"]
        long = sum(len(word) >= options.least for word in text.split())
        share = float("nan") if not found["words"] else long / found["words"]
        yield {"text": text, "words": long, "share": {"long": share}, "order": [1, 2]}


def evaluate(model: Counter, files: Sequence[str], options: EvaluateOptions) -> Evaluation:
    found = list(model.predict(lines(files)))
    words = sum(one["words"] for one in found) * (2 if options.strict else 1)
    return Evaluation(
        metrics={"accuracy": Estimate(0.75, 0.5, 1.0), "loss": Estimate(float(words))},
        baseline={"accuracy": Estimate(0.5)},
        notes=("A line is one item.",),
        details={
            "lines": len(found),
            "classes": {"좋음": {"f1": 0.5, "count": 1200}, "bad": {"f1": 1.0, "count": 3}},
        },
    )


def sing(
    model: Counter, files: Sequence[str], options: SingOptions
) -> Iterator[Mapping[str, Any] | str]:
    for verse in range(options.times):
        yield {"verse": verse} if options.table else "라 "


class CountTask:
    """Counts words."""

    name: ClassVar[str] = "count"
    help: ClassVar[str] = "Count the words of lines."
    options: ClassVar[type] = Options
    verbs: ClassVar[Mapping[str, Verb]] = {
        "predict": Verb("Count the words of each line.", PredictOptions, predict),
        "evaluate": Verb("Measure the counting.", EvaluateOptions, evaluate),
        "sing": Verb("Sing.", SingOptions, sing),
    }

    def prepare(self, options: Any, draft: RunFolder) -> None:
        raise NotImplementedError

    def open(self, options: Any, folder: RunFolder, processes: Processes) -> Opened:
        raise NotImplementedError

    def load(self, options: Any, folder: RunFolder, device: device) -> Counter:
        return Counter()

    def inspect(self, options: Any) -> Inspection:
        found = list(lines(options.data.data))
        facts = {"lines": len(found), "lengths": {"shortest": 1, "longest": 2000}}
        return Inspection(facts, [f"{options.data.data[0]}:1: empty"] if "" in found else [])


class PlainTask(CountTask):
    """Another task, which does not sing."""

    name: ClassVar[str] = "plain"
    help: ClassVar[str] = "Count plainly."
    options: ClassVar[type] = PlainOptions
    verbs: ClassVar[Mapping[str, Verb]] = {
        name: verb for name, verb in CountTask.verbs.items() if name != "sing"
    }


COUNT, PLAIN = CountTask(), PlainTask()
HOMES = {"count": f"{__name__}:COUNT", "plain": f"{__name__}:PLAIN"}
"""Where the registry of tasks finds these."""
