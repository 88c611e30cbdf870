"""Base of the tasks: parts that are imported when they are first used, and verbs of all tasks."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from unrolled.training.task import Evaluation

if TYPE_CHECKING:
    import torch

    from unrolled.training.processes import Processes
    from unrolled.training.run_folder.folder import RunFolder


class PackageTask:
    """A task whose parts stand in its own package: see `unrolled.training.task.Task`.

    Its module ``training`` has a function ``prepare`` and the class of an open run, its module
    ``predictor`` the class of a trained model. Both load torch, and so are imported when they are
    first used.

    Attributes:
        opened: Name of the class of an open run; it takes options, run folder and processes.
        predictor: Name of the class of a trained model; it takes options, run folder and device.
    """

    opened: ClassVar[str]
    predictor: ClassVar[str]

    def prepare(self, options: Any, draft: RunFolder) -> Any:
        """Read the user's files; write what training needs to the draft of a run folder."""
        return self._part("training", "prepare")(options, draft)

    def open(self, options: Any, folder: RunFolder, processes: Processes) -> Any:
        """Model, batches and validation."""
        return self._part("training", self.opened)(options, folder, processes)

    def load(self, options: Any, folder: RunFolder, device: torch.device) -> Any:
        """The best model of a run."""
        return self._part("predictor", self.predictor)(options, folder, device)

    def _part(self, module: str, name: str) -> Any:
        package = type(self).__module__.rpartition(".")[0]
        return getattr(importlib.import_module(f"{package}.{module}"), name)


class FilePredictor(Protocol):
    """A predictor of the items of files."""

    def predict_files(
        self, files: Sequence[str], options: Any
    ) -> Iterator[Mapping[str, Any]] | Iterator[Mapping[str, Any] | str]:
        """One result for each item, in order; ``-`` is standard input."""

    def evaluate(self, files: Sequence[str], options: Any) -> Evaluation:
        """Scores on files that say what is right."""


def predict(
    predictor: FilePredictor, files: Sequence[str], options: Any
) -> Iterator[Mapping[str, Any]] | Iterator[Mapping[str, Any] | str]:
    """The verb ``predict``: one result for each item of the files, or of standard input."""
    return predictor.predict_files(files or ["-"], options)


def evaluate(predictor: FilePredictor, files: Sequence[str], options: Any) -> Evaluation:
    """The verb ``evaluate``: scores on the items of the files, or of standard input."""
    return predictor.evaluate(files or ["-"], options)
