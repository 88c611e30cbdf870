"""A trained classifier, ready for use."""

from __future__ import annotations

import itertools
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unrolled.errors import UserError
from unrolled.tasks import statistics
from unrolled.tasks.ragged import pad
from unrolled.training.run_folder.checkpoint import load_best
from unrolled.training.run_folder.folder import RunFolder
from unrolled.training.task import Evaluation

from .baseline import Baseline, Value
from .calibration import Calibration
from .encoding import NAME, Encoding
from .evaluation import evaluate
from .items import Item
from .network import logits_of, network_of
from .options import ClassifyOptions, DataOptions, EvaluateOptions, InputOptions, PredictOptions
from .reading import read_items
from .report import Shown, short
from .scoring import Scoring

Array = npt.NDArray[np.float64]

AHEAD = 512
"""Items read ahead, to be sorted by length."""


class ClassifyPredictor:
    """The best model of a run.

    Args:
        options: What it was trained with.
        folder: The run.
        device: Where to put the model.

    Attributes:
        options: What it was trained with.
        encoding: How items become numbers.
        labels: Names of the labels.
        model: The network, in eval mode.
        scoring: The metrics.
        calibration: Temperatures, and the curve of risk and coverage.
        baseline: The cheap method, if the run has one.

    Raises:
        UserError: Something in the run is corrupt, or it has no weights yet.
    """

    def __init__(
        self, options: ClassifyOptions, folder: RunFolder, device: torch.device | str = "cpu"
    ) -> None:
        self.options = options
        self.encoding = Encoding.load(folder.path / NAME)
        self.labels = self.encoding.labels.names
        self.scoring = Scoring(self.encoding.labels, options.training)
        self.model = network_of(options, self.encoding, folder)
        load_best(self.model, folder, device)
        self.calibration = Calibration.load(folder)
        self.baseline = Baseline.load(folder)
        if self.baseline is not None and len(self.baseline.bias) != len(self.labels):
            raise UserError(f"{folder.path}: the cheap method does not fit the labels")

    @property
    def combined(self) -> bool:
        """Whether network and cheap method are used together."""
        return self.options.training.combine and self.baseline is not None

    def predict(
        self, items: Iterable[Any], options: PredictOptions | None = None, **choices: Any
    ) -> Iterator[dict[str, Any]]:
        """Labels of texts or series, in order and in constant memory.

        Some hundred items are read ahead, so that those of similar length are classified side by
        side.

        Args:
            items: Texts; or series, arrays of ``[T]`` or ``[T, C]``.
            options: Abstention and more.
            **choices: The same by name: ``threshold=0.9``.

        Yields:
            For each item ``label`` and ``probability``; where items may have several labels
            ``labels``, and the probability of the least sure of all labels. The label is None, with
            ``abstained``, where it is not sure enough. With ``probabilities``, that of every label.

        Raises:
            UserError: An item is of another kind, or ``--risk`` cannot be kept.
        """
        options = replace(options or PredictOptions(), **choices)
        threshold = options.threshold
        if options.risk is not None:
            threshold = self.calibration.threshold(options.risk)
        numbered = (_as_item(item, number) for number, item in enumerate(items, start=1))
        for _, logits in self._blocks(numbered, options.batch_size):
            yield from self._results(logits, threshold, options.probabilities)

    def predict_files(
        self, files: Sequence[str | Path], options: PredictOptions | None = None
    ) -> Iterator[dict[str, Any]]:
        """The same for the items of files, each result with its ``place``: file and line.

        Args:
            files: Of any format that training reads; or text line by line; ``-`` for standard
                input.
            options: Format, abstention and more.
        """
        options = options or PredictOptions()
        read, again = itertools.tee(self._read(files, options, labels=False))
        for item, result in zip(again, self.predict(read, options), strict=True):
            yield {"place": item.place, **result}

    def probabilities(self, items: Iterable[Any], *, batch_size: int = 64) -> Array:
        """Probabilities of all labels, ``[n, K]``."""
        numbered = (_as_item(item, number) for number, item in enumerate(items, start=1))
        parts = [logits for _, logits in self._blocks(numbered, batch_size)]
        logits = np.concatenate(parts) if parts else np.zeros((0, len(self.labels)))
        return statistics.probabilities(logits, several=self.scoring.several)

    def evaluate(
        self, files: Sequence[str | Path], options: EvaluateOptions | None = None
    ) -> Evaluation:
        """How good it is on files with labels, beside the cheap method.

        Raises:
            UserError: A file cannot be read, has no labels, or labels that training did not have.
        """
        options = options or EvaluateOptions()
        network: list[Array] = []
        cheap: list[Array] = []
        targets: list[Any] = []
        shown: list[Shown] = []
        use = self.baseline if options.baseline or self.combined else None
        items = self._read(files, options, labels=True)
        for block in _blocks_of(items, AHEAD):
            targets += [self._target(item) for item in block]
            network.append(self._network(block, options.batch_size))
            if use is not None:
                cheap.append(use.logits(_values(block)))
            shown += [_shown(item) for item in block]
        if not shown:
            raise UserError(f"{' '.join(map(str, files))}: expected one item or more, found none")
        return evaluate(
            self.scoring,
            self.calibration,
            np.array(targets),
            np.concatenate(network),
            np.concatenate(cheap) if cheap else None,
            shown.__getitem__,
            combine=self.combined,
            method=use.description if use is not None else "",
        )

    # Parts ----------------------------------------------------------------------------------

    def _results(
        self, logits: Array, threshold: float | None, every: bool
    ) -> Iterator[dict[str, Any]]:
        several, names = self.scoring.several, self.labels
        chances = statistics.probabilities(logits, several=several)
        confidence = self.scoring.confidence(logits).tolist()
        predicted = self.scoring.predicted(logits).tolist()
        for row, (said, sure) in enumerate(zip(predicted, confidence, strict=True)):
            result: dict[str, Any] = {}
            abstained = threshold is not None and sure < threshold
            if several:
                own = [name for name, one in zip(names, said, strict=True) if one]
                result["labels"] = None if abstained else own
            else:
                result["label"] = None if abstained else names[said]
            result["probability"] = round(sure, 6)
            if abstained:
                result["abstained"] = True
            if every:
                rounded = (round(chance, 6) for chance in chances[row].tolist())
                result["probabilities"] = dict(zip(names, rounded, strict=True))
            yield result

    def _blocks(self, items: Iterator[Item], batch_size: int) -> Iterator[tuple[list[Item], Array]]:
        """Items read ahead, and their calibrated logits ``[n, K]``."""
        for block in _blocks_of(items, AHEAD):
            network = self._network(block, batch_size)
            if self.combined and self.baseline is not None:
                cheap = self.baseline.logits(_values(block))
                several = self.scoring.several
                yield block, self.calibration.both(network, cheap, several=several)
            else:
                yield block, self.calibration.network(network)

    def _network(self, items: Sequence[Item], batch_size: int) -> Array:
        """The network's logits ``[n, K]``."""
        encoded = [self.encoding.encode(item) for item in items]

        def fetch(some: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
            return pad([encoded[number] for number in some])

        lengths = [len(one) for one in encoded]
        return logits_of(self.model, lengths, fetch, batch_size=batch_size)

    def _target(self, item: Item) -> Any:
        """An item's label as a number; with several labels 1 for those it has, ``[K]``."""
        found = self.encoding.targets(item)
        if not self.scoring.several:
            if len(found) != 1:
                raise UserError(f"{item.place}: expected one label, got {len(found)}")
            return int(found[0])
        marks = np.zeros(len(self.labels), np.float32)
        marks[found] = 1
        return marks

    def _read(
        self, files: Sequence[str | Path], options: InputOptions, *, labels: bool
    ) -> Iterator[Item]:
        trained = self.options.data
        data = replace(
            trained,
            format=options.input_format,
            header=options.header if options.header != "auto" else trained.header,
            text=options.text if options.text is not None else trained.text,
            label=options.label if options.label is not None else trained.label,
        )
        for file in files:
            if str(file) == "-":
                yield from _standard_input(data, self.encoding.kind, labels=labels)
            else:
                yield from read_items([file], data, labels=labels)


def _blocks_of(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    """Items in lists of so many; an error comes after those that were read before it."""
    while True:
        block: list[Item] = []
        failed: UserError | None = None
        try:
            block.extend(itertools.islice(items, size))
        except UserError as error:
            failed = error
        if block:
            yield block
        if failed is not None:
            raise failed
        if not block:
            return


def _as_item(value: Any, number: int) -> Item:
    """A text or a series as an item.

    Raises:
        UserError: It is neither.
    """
    if isinstance(value, Item):
        return value
    place = f"item {number}"
    if isinstance(value, str):
        return Item(value, None, (), place)
    try:
        series = np.asarray(value, np.float32)
    except (TypeError, ValueError) as error:
        raise UserError(f"{place}: expected a text or numbers: {error}") from error
    if series.ndim not in (1, 2) or not len(series) or not np.isfinite(series).all():
        raise UserError(
            f"{place}: expected finite numbers [T] or [T, C], got shape {list(series.shape)}"
        )
    return Item(None, series.reshape(len(series), -1), (), place)


def _values(items: Sequence[Item]) -> list[Value]:
    return [item.text if item.text is not None else item.series for item in items]  # type: ignore[misc]


def _shown(item: Item) -> Shown:
    if item.text is not None:
        return Shown(item.place, short(item.text))
    return Shown(item.place, f"{0 if item.series is None else len(item.series):,} steps")


def _standard_input(data: DataOptions, kind: str, *, labels: bool) -> Iterator[Item]:
    """Items of standard input: lines of text as they come, any other format from a copy."""
    file = sys.stdin.buffer
    chosen = data.format
    if chosen == "auto" and not labels:
        chosen = "lines" if kind == "text" else "csv"
    if chosen == "lines" and not labels:
        for number, line in enumerate(file, start=1):
            try:
                text = line.decode(data.encoding).rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise UserError(f"standard input:{number}: not {data.encoding}") from error
            yield Item(text, None, (), f"standard input:{number}")
        return
    with tempfile.TemporaryDirectory(prefix="unrolled-") as folder:
        copy = Path(folder) / "standard-input"
        with copy.open("wb") as target:
            shutil.copyfileobj(file, target)
        for item in read_items([copy], replace(data, format=chosen), labels=labels):
            yield item._replace(place=item.place.replace(str(copy), "standard input", 1))
