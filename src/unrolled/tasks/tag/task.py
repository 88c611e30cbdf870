"""The tagging task: a tag for every token of a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from unrolled.tasks.package_task import PackageTask, evaluate, predict
from unrolled.training.task import Inspection, Verb

from .options import EvaluateOptions, PredictOptions, TagOptions


class TagTask(PackageTask):
    """Tags of the tokens of sentences; see `unrolled.training.task.Task`."""

    name: ClassVar[str] = "tag"
    help: ClassVar[str] = "Train a tagger: named entities, parts of speech, a tag for every token."
    options: ClassVar[type] = TagOptions
    opened: ClassVar[str] = "OpenedTagger"
    predictor: ClassVar[str] = "TagPredictor"
    verbs: ClassVar[Mapping[str, Verb]] = {
        "predict": Verb(
            "Tag sentences of files or of standard input, in the form in which they come.",
            PredictOptions,
            predict,
        ),
        "evaluate": Verb(
            "Measure the tagger on files with tags, beside a cheap method.",
            EvaluateOptions,
            evaluate,
        ),
    }

    def inspect(self, options: TagOptions) -> Inspection:
        """Sentences, tags, spans and what is suspicious in the data."""
        from .inspection import inspect_data

        return inspect_data(options.data)


TASK = TagTask()
"""Tagging of sequences."""
