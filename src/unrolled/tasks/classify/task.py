"""The classification task: texts or series in, labels out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from unrolled.tasks.package_task import PackageTask, evaluate, predict
from unrolled.training.task import Inspection, Verb

from .options import ClassifyOptions, EvaluateOptions, PredictOptions


class ClassifyTask(PackageTask):
    """Labels of whole texts or series; see `unrolled.training.task.Task`."""

    name: ClassVar[str] = "classify"
    help: ClassVar[str] = "Train a classifier of texts or numeric series: one label or several."
    options: ClassVar[type] = ClassifyOptions
    opened: ClassVar[str] = "OpenedClassifier"
    predictor: ClassVar[str] = "ClassifyPredictor"
    verbs: ClassVar[Mapping[str, Verb]] = {
        "predict": Verb(
            "Label texts or series, from files or line by line.", PredictOptions, predict
        ),
        "evaluate": Verb(
            "Measure the classifier on files with labels, beside a cheap method.",
            EvaluateOptions,
            evaluate,
        ),
    }

    def inspect(self, options: ClassifyOptions) -> Inspection:
        """Labels, lengths, duplicates and what is suspicious in the data."""
        from .inspection import inspect_data

        return inspect_data(options.data)


TASK = ClassifyTask()
"""Classification of whole sequences."""
