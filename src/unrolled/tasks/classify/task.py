"""The classification task: texts or series in, labels out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from unrolled.training.task import Evaluation, Inspection, Verb

from .options import ClassifyOptions, EvaluateOptions, PredictOptions

if TYPE_CHECKING:
    import torch

    from unrolled.training.processes import Processes
    from unrolled.training.run_folder.folder import RunFolder

    from .predictor import ClassifyPredictor
    from .training import OpenedClassifier


def _predict(
    predictor: ClassifyPredictor, files: Sequence[str], options: PredictOptions
) -> Iterator[Mapping[str, Any]]:
    from .predictor import predict_verb

    return predict_verb(predictor, files, options)


def _evaluate(
    predictor: ClassifyPredictor, files: Sequence[str], options: EvaluateOptions
) -> Evaluation:
    from .predictor import evaluate_verb

    return evaluate_verb(predictor, files, options)


class ClassifyTask:
    """Labels of whole texts or series; see `unrolled.training.task.Task`."""

    name: ClassVar[str] = "classify"
    help: ClassVar[str] = "Train a classifier of texts or numeric series: one label or several."
    options: ClassVar[type] = ClassifyOptions
    verbs: ClassVar[Mapping[str, Verb]] = {
        "predict": Verb(
            "Label texts or series, from files or line by line.", PredictOptions, _predict
        ),
        "evaluate": Verb(
            "Measure the classifier on files with labels, beside a cheap method.",
            EvaluateOptions,
            _evaluate,
        ),
    }

    def prepare(self, options: ClassifyOptions, draft: RunFolder) -> ClassifyOptions:
        """Read the data; write encoding and cache."""
        from .training import prepare

        return prepare(options, draft)

    def open(
        self, options: ClassifyOptions, folder: RunFolder, processes: Processes
    ) -> OpenedClassifier:
        """Network, batches and validation."""
        from .training import OpenedClassifier

        return OpenedClassifier(options, folder, processes)

    def load(
        self, options: ClassifyOptions, folder: RunFolder, device: torch.device
    ) -> ClassifyPredictor:
        """The best model of a run."""
        from .predictor import ClassifyPredictor

        return ClassifyPredictor(options, folder, device)

    def inspect(self, options: ClassifyOptions) -> Inspection:
        """Labels, lengths, duplicates and what is suspicious in the data."""
        from .inspection import inspect_data

        return inspect_data(options.data)


TASK = ClassifyTask()
"""Classification of whole sequences."""
