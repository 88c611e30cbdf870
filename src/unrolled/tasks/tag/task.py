"""The tagging task: a tag for every token of a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from unrolled.training.task import Evaluation, Inspection, Verb

from .options import EvaluateOptions, PredictOptions, TagOptions

if TYPE_CHECKING:
    import torch

    from unrolled.training.processes import Processes
    from unrolled.training.run_folder.folder import RunFolder

    from .predictor import TagPredictor
    from .training import OpenedTagger


def _predict(
    predictor: TagPredictor, files: Sequence[str], options: PredictOptions
) -> Iterator[Mapping[str, Any] | str]:
    from .predictor import predict_verb

    return predict_verb(predictor, files, options)


def _evaluate(
    predictor: TagPredictor, files: Sequence[str], options: EvaluateOptions
) -> Evaluation:
    from .predictor import evaluate_verb

    return evaluate_verb(predictor, files, options)


class TagTask:
    """Tags of the tokens of sentences; see `unrolled.training.task.Task`."""

    name: ClassVar[str] = "tag"
    help: ClassVar[str] = "Train a tagger: named entities, parts of speech, a tag for every token."
    options: ClassVar[type] = TagOptions
    verbs: ClassVar[Mapping[str, Verb]] = {
        "predict": Verb(
            "Tag sentences of files or of standard input, in the form in which they come.",
            PredictOptions,
            _predict,
        ),
        "evaluate": Verb(
            "Measure the tagger on files with tags, beside a cheap method.",
            EvaluateOptions,
            _evaluate,
        ),
    }

    def prepare(self, options: TagOptions, draft: RunFolder) -> TagOptions:
        """Read the data; write cache and features."""
        from .training import prepare

        return prepare(options, draft)

    def open(self, options: TagOptions, folder: RunFolder, processes: Processes) -> OpenedTagger:
        """Model, batches and validation."""
        from .training import OpenedTagger

        return OpenedTagger(options, folder, processes)

    def load(self, options: TagOptions, folder: RunFolder, device: torch.device) -> TagPredictor:
        """The best model of a run."""
        from .predictor import TagPredictor

        return TagPredictor(options, folder, device)

    def inspect(self, options: TagOptions) -> Inspection:
        """Sentences, tags, spans and what is suspicious in the data."""
        from .inspection import inspect_data

        return inspect_data(options.data)


TASK = TagTask()
"""Tagging of sequences."""
