"""A small task: which of the first and the last number of a sequence is larger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

from unrolled.errors import UserError
from unrolled.ranges import SHARE
from unrolled.training.batches import Buckets, Indices
from unrolled.training.options import TrainingOptions
from unrolled.training.processes import Processes
from unrolled.training.run_folder.checkpoint import best_weights, load_weights
from unrolled.training.run_folder.folder import RunFolder
from unrolled.training.task import Estimate, Evaluation, Inspection, Loss, Metric, Section, Verb


@dataclass(frozen=True)
class ToyData:
    """Files of sequences, one a line."""

    data: tuple[str, ...] = ()
    val_data: tuple[str, ...] = ()


@dataclass(frozen=True)
class ToyModel:
    """The model.

    Attributes:
        dropout: Share of values dropped.
        noise: Size of the noise added to each batch.
        memory: Weight of what is carried from batch to batch.
    """

    dropout: Annotated[float, SHARE] = 0.0
    noise: float = 0.0
    memory: float = 0.0


@dataclass(frozen=True)
class ToyOptions:
    """Options of the toy task."""

    task: Literal["toy"] = "toy"
    data: ToyData = field(default_factory=ToyData)
    model: ToyModel = field(default_factory=ToyModel)
    training: TrainingOptions = field(default_factory=TrainingOptions)


class Net(nn.Module):
    """Recurrent layer, dropout, read-out of the last output."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.recurrent = nn.GRU(1, 6)
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(6, 1)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        last = self.recurrent(pack_padded_sequence(x, lengths.cpu()))[1][0]
        logits: Tensor = self.readout(self.dropout(last))[:, 0]
        return logits


def read(files: Sequence[str]) -> list[list[float]]:
    """Sequences of numbers, one a line."""
    found = []
    for name in files:
        try:
            lines = Path(name).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise UserError(f"{name}: no such file") from error
        for number, line in enumerate(lines, 1):
            try:
                found.append([float(word) for word in line.split()])
            except ValueError as error:
                raise UserError(f"{name}: line {number}: expected numbers, got {line}") from error
    return found


def write(path: Path, count: int, seed: int = 0) -> Path:
    """A file of ``count`` sequences of 2 to 12 numbers."""
    draw = np.random.default_rng(seed)
    lines = (" ".join(f"{x:.3f}" for x in draw.normal(size=draw.integers(2, 13)))
             for _ in range(count))  # fmt: skip
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def padded(sequences: Sequence[Sequence[float]]) -> dict[str, Any]:
    """A tree of tensors: numbers, lengths and labels of sequences, the longest first."""
    order = sorted(sequences, key=len, reverse=True)
    x = torch.zeros(len(order[0]), len(order), 1, dtype=torch.float32, device="cpu")
    for row, sequence in enumerate(order):
        x[: len(sequence), row, 0] = torch.tensor(sequence, dtype=torch.float32, device="cpu")
    lengths = torch.tensor([len(s) for s in order], dtype=torch.int64, device="cpu")
    labels = torch.tensor([float(s[0] > s[-1]) for s in order], dtype=torch.float32, device="cpu")
    return {"input": (x, lengths), "labels": [labels]}


class OpenedToy:
    """A run of the toy task."""

    objective = Metric("loss", "nats per sequence", "lower")
    item = "sequence"
    description = "a toy"

    def __init__(
        self,
        options: ToyOptions,
        folder: RunFolder,
        processes: Processes,
        script: Mapping[str, Sequence[float]] | None,
    ) -> None:
        self.options, self.processes, self._script = options, processes, script
        self.metrics = (Metric("right", "", "higher"), Metric("loss", "nats", "lower"))
        self._sequences = read([str(folder.path / "train.txt")])
        validation = folder.path / "validation.txt"
        self._validation = read([str(validation)]) if validation.exists() else []
        self.model: nn.Module = Net(options.model.dropout)
        self.batches = Buckets(
            [len(s) for s in self._sequences],
            self._fetch,
            batch_size=options.training.batch_size,
            seed=options.training.seed,
            processes=processes,
        )
        self.usual_count = float(options.training.batch_size)
        self.validations = 0

    def _fetch(self, indices: Indices, draw: np.random.Generator) -> dict[str, Any]:
        chosen = [np.asarray(self._sequences[i]) for i in indices]
        noise = self.options.model.noise
        return padded([(s + noise * draw.normal(size=len(s))).tolist() for s in chosen])

    def loss(self, model: nn.Module, batch: dict[str, Any], carry: Any) -> Loss:
        """Cross-entropy; what is carried shifts the logits."""
        logits = model(*batch["input"])
        if carry is not None and self.options.model.memory:
            logits = logits + self.options.model.memory * carry["mean"][0]
        (labels,) = batch["labels"]
        mean = functional.binary_cross_entropy_with_logits(logits, labels)
        return Loss(mean, len(labels), {"mean": (logits.mean(),), "nothing": None})

    def step_losses(self, model: nn.Module, batch: dict[str, Any], carry: Any) -> Tensor | None:
        """Loss of each sequence."""
        (labels,) = batch["labels"]
        logits = model(*batch["input"])
        return functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")[None]

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Share of right answers, and the loss."""
        self.validations += 1
        if self._script is not None:
            return {name: values[self.validations - 1] for name, values in self._script.items()}
        if not self._validation:
            return {}
        batch = padded(self._validation)
        (labels,) = batch["labels"]
        logits = self.model(*batch["input"])
        loss = functional.binary_cross_entropy_with_logits(logits, labels)
        return {"right": float(((logits > 0) == (labels > 0)).double().mean()), "loss": float(loss)}

    def sample(self) -> str | None:
        """Nothing."""
        return None

    def conclude(self, folder: RunFolder) -> Evaluation:
        """What is measured, with an interval and a baseline."""
        if not self._validation:
            return Evaluation({})
        found = self.validate()
        right = Estimate(found["right"], found["right"] - 0.1, found["right"] + 0.1)
        folder.write(folder.path / "extra.txt", b"more")
        return Evaluation(
            {"right": right, "loss": Estimate(found["loss"])},
            {"right": Estimate(0.5)},
            notes=["Half of the answers are right by chance."],
            sections=[Section("Wrong answers", "<p>none to speak of</p>", "A caption.")],
        )


class Answers:
    """The best model of a run."""

    def __init__(self, options: ToyOptions, folder: RunFolder, device: torch.device) -> None:
        self.folder = folder
        self.model = Net(options.model.dropout)
        load_weights(self.model, *best_weights(folder))
        self.model.to(device).eval()

    @torch.no_grad()
    def predict(self, items: Iterable[Sequence[float]]) -> Iterator[dict[str, float]]:
        """The logit of each sequence."""
        for item in items:
            yield {"logit": float(self.model(*padded([item])["input"]))}


class Toy:
    """The toy task; ``script`` gives what its validations measure, one value after another."""

    name: ClassVar[str] = "toy"
    help: ClassVar[str] = "Train a toy."
    options: ClassVar[type] = ToyOptions
    verbs: ClassVar[Mapping[str, Verb]] = {}

    def __init__(self, script: Mapping[str, Sequence[float]] | None = None) -> None:
        self.script = script
        self.opened: list[OpenedToy] = []

    def prepare(self, options: ToyOptions, draft: RunFolder) -> ToyOptions:
        """Copy the sequences."""
        for name, files in (
            ("train.txt", options.data.data), ("validation.txt", options.data.val_data)
        ):  # fmt: skip
            if files:
                rows = (" ".join(map(repr, sequence)) for sequence in read(files))
                (draft.path / name).write_text("".join(f"{row}\n" for row in rows))
        return options

    def open(self, options: ToyOptions, folder: RunFolder, processes: Processes) -> OpenedToy:
        """The run."""
        self.opened.append(OpenedToy(options, folder, processes, self.script))
        return self.opened[-1]

    def load(self, options: ToyOptions, folder: RunFolder, device: torch.device) -> Answers:
        """The predictor."""
        return Answers(options, folder, device)

    def inspect(self, options: Any) -> Inspection:
        """Nothing."""
        return Inspection({}, [])


TOY = Toy()
