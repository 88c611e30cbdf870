"""The protocol between a task and everything that trains, resumes, reports and uses it.

A task is a job for recurrent networks: continue a text, classify a message, tag its words. It
brings data, model, loss and metrics; the loop, checkpoints, processes, logs, the report and the
command line are the same for all. A run's life:

1. ``Task.prepare`` reads the user's files once and writes what training needs to a new run folder;
2. ``Task.open`` gives model, batches, loss and validation, now and whenever the run is resumed;
3. the loop trains; the weights that are best by the first metric are kept;
4. ``Opened.conclude`` looks at the best weights once, carefully: intervals, calibration, baseline;
5. ``Task.load`` gives a predictor from the run folder alone, and ``Task.verbs`` what it can do.

A task's ``task.py`` and ``options.py`` import neither torch nor anything slow at their top: the
command line reads them for its help pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Tensor, device, nn

    from unrolled.training.batches import Batches
    from unrolled.training.processes import Processes
    from unrolled.training.run_folder.folder import RunFolder


@dataclass(frozen=True, slots=True)
class Loss:
    """The loss of one batch.

    Attributes:
        mean: What is differentiated, a scalar.
        count: What it is the mean of: characters, tokens, sequences. A batch weighs as much as it
            counts. 0 leaves the batch out; with several processes its mean must be finite even so.
        carry: Any tree of tensors; detached and handed back with the epoch's next batch.
    """

    mean: Tensor
    count: int
    carry: Any = None


@dataclass(frozen=True)
class Metric:
    """A number by which a model is judged.

    Attributes:
        name: A word: the log's column is ``val_NAME``.
        unit: Its unit: ``nats per character``; empty for a share from 0 to 1.
        better: Which of two values is the better one.
    """

    name: str
    unit: str
    better: Literal["lower", "higher"]

    @property
    def worst(self) -> float:
        """What is worse than any value."""
        return float("inf") if self.better == "lower" else float("-inf")

    def improves(self, value: float, best: float | None) -> bool:
        """Whether a value is better than the best so far; never, where it is not a number."""
        if value != value:
            return False
        return best is None or (value < best if self.better == "lower" else value > best)


class Estimate(NamedTuple):
    """A measured number with its 95 % confidence interval.

    Attributes:
        value: The number.
        low: Lower end of the interval; None where there is none, as for one long text.
        high: Upper end.
    """

    value: float
    low: float | None = None
    high: float | None = None


class Section(NamedTuple):
    """A part of the report; `unrolled.training.report.parts` writes bodies.

    Attributes:
        title: Its heading.
        body: HTML.
        caption: What to know about it, as plain text.
    """

    title: str
    body: str
    caption: str = ""


@dataclass(frozen=True)
class Evaluation:
    """How good a trained model is on some data.

    Attributes:
        metrics: By metric name, the most important first.
        baseline: The same of a cheap method on the same data, where there is one.
        notes: What the numbers mean, one plain sentence each.
        details: More numbers, as JSON has them: per-class tables, counts.
        sections: Parts of the report.
        part: Part of the data that was measured: ``validation`` or ``test``.
    """

    metrics: Mapping[str, Estimate]
    baseline: Mapping[str, Estimate] = field(default_factory=dict)
    notes: Sequence[str] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    sections: Sequence[Section] = ()
    part: str = "validation"


class Inspection(NamedTuple):
    """What ``unrolled check`` finds in data before training.

    Attributes:
        facts: Name and value of each, in the order in which they are shown.
        warnings: What is wrong or suspicious, one line each, with file and line where there is one.
    """

    facts: Mapping[str, Any]
    warnings: Sequence[str]


class Opened(Protocol):
    """A run of one task, open for training.

    Attributes:
        model: The model, on the CPU; the loop moves it.
        batches: The training data.
        objective: What `loss` measures: name, unit, better. The log's column is ``train_NAME``.
        metrics: What `validate` measures. The first decides which weights are the best, and early
            stopping. One may have the objective's name: both stand in one chart.
        item: What a loss counts, in the singular: ``character``, ``sequence``.
        usual_count: Count of an ordinary batch, all processes together: the gradient of a batch is
            weighted by its count over this.
        description: One line about data and model for the start: ``4,823 messages to train on``.
    """

    model: nn.Module
    batches: Batches
    objective: Metric
    metrics: tuple[Metric, ...]
    item: str
    usual_count: float
    description: str

    def loss(self, model: nn.Module, batch: Any, carry: Any) -> Loss:
        """Loss of a batch. ``model`` is ``self.model``, perhaps wrapped for several processes."""

    def step_losses(self, model: nn.Module, batch: Any, carry: Any) -> Tensor | None:
        """Losses of a few rows of a batch for the lens, ``[T, rows]`` with time first.

        ``[1, rows]`` where a sequence has one loss. None where the batch does not lend itself.
        """

    def validate(self) -> Mapping[str, float]:
        """Metrics of ``self.model`` on the validation data by name; empty if there is none.

        With several processes each measures its share and all return the same numbers.
        """

    def sample(self) -> str | None:
        """Something the model does by now, as plain text, kept for the report; None for nothing."""

    def conclude(self, folder: RunFolder) -> Evaluation:
        """The final evaluation; ``self.model`` has the best weights. May add files to the run."""


class Predictor(Protocol):
    """A trained model, ready for use; picklable, and independent of how it was trained."""

    def predict(self, items: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
        """One result for each item, in order, in constant memory."""


@dataclass(frozen=True)
class Verb:
    """One use of a trained model on the command line: ``unrolled VERB RUN [FILE…]``.

    Attributes:
        help: What it does, one sentence.
        options: A dataclass of its flags.
        run: Given predictor, files (``-`` is standard input) and options, an evaluation or pieces
            of output: a mapping is written as one line of JSON, text as it is.
    """

    help: str
    options: type
    run: Callable[[Any, Sequence[str], Any], Evaluation | Iterator[Mapping[str, Any] | str]]


class Task(Protocol):
    """A job for recurrent networks.

    Attributes:
        name: Its name on the command line.
        help: What it trains, one sentence.
        options: Dataclass of the sections ``task`` (a Literal of the name), ``data``, ``model``,
            ``training``; the last is a `TrainingOptions` or a subclass with the task's own options
            and defaults. ``data`` has the fields ``data`` and ``val_data``: names of files.
        verbs: What a trained model can do: ``predict``, ``evaluate`` and others by name.
    """

    name: ClassVar[str]
    help: ClassVar[str]
    options: ClassVar[type]
    verbs: ClassVar[Mapping[str, Verb]]

    def prepare(self, options: Any, draft: RunFolder) -> Any:
        """Read the user's files and write what training needs to the draft of a run folder.

        Returns:
            The options to keep with the run; those given, unless something is to be added.

        Raises:
            UserError: The data cannot be used; the draft is thrown away.
        """

    def open(self, options: Any, folder: RunFolder, processes: Processes) -> Any:
        """Model with fresh weights, batches and validation, from the run folder alone."""

    def load(self, options: Any, folder: RunFolder, device: device) -> Predictor:
        """The best model of a run."""

    def inspect(self, options: Any) -> Inspection:
        """Look at data before training.

        Raises:
            UserError: The data cannot be read at all.
        """
