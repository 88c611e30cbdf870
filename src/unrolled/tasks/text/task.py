"""The text task: a character model learns to continue a text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from unrolled.tasks.text.options import (
    PromptOptions,
    ScoringOptions,
    TextOptions,
    WritingOptions,
)
from unrolled.training.task import Evaluation, Inspection, Verb

if TYPE_CHECKING:
    import torch

    from unrolled.tasks.text.predictor import TextPredictor
    from unrolled.tasks.text.training import OpenedText
    from unrolled.training.processes import Processes
    from unrolled.training.run_folder.folder import RunFolder


def _predict(
    predictor: TextPredictor, files: Sequence[str], options: PromptOptions
) -> Iterator[dict[str, str]]:
    from unrolled.tasks.text.predictor import predict

    return predict(predictor, files, options)


def _evaluate(
    predictor: TextPredictor, files: Sequence[str], options: ScoringOptions
) -> Evaluation:
    from unrolled.tasks.text.predictor import evaluate

    return evaluate(predictor, files, options)


def _generate(
    predictor: TextPredictor, files: Sequence[str], options: WritingOptions
) -> Iterator[str]:
    from unrolled.tasks.text.predictor import write

    return write(predictor, files, options)


class TextTask:
    """Next-character prediction; see `unrolled.training.task.Task`."""

    name: ClassVar[str] = "text"
    help: ClassVar[str] = (
        "Train a character model on text, to continue it, score it, learn from it."
    )
    options: ClassVar[type] = TextOptions
    verbs: ClassVar[Mapping[str, Verb]] = {
        "predict": Verb("Continue every line.", PromptOptions, _predict),
        "evaluate": Verb("Score text: nats and bits per character.", ScoringOptions, _evaluate),
        "generate": Verb(
            "Write text that continues a prompt, character by character.",
            WritingOptions,
            _generate,
        ),
    }

    def prepare(self, options: TextOptions, draft: RunFolder) -> TextOptions:
        """Read the text; write vocabulary and tokens."""
        from unrolled.tasks.text.training import prepare

        return prepare(options, draft)

    def open(self, options: TextOptions, folder: RunFolder, processes: Processes) -> OpenedText:
        """Model, streams and validation."""
        from unrolled.tasks.text.training import OpenedText

        return OpenedText(options, folder, processes)

    def load(self, options: TextOptions, folder: RunFolder, device: torch.device) -> TextPredictor:
        """The best model of a run."""
        from unrolled.tasks.text.predictor import TextPredictor

        return TextPredictor(options, folder, device)

    def inspect(self, options: Any) -> Inspection:
        """Characters, lines and words of the text, and what of the validation text is new."""
        from unrolled.tasks.text.inspection import inspect

        return inspect(options)


TASK = TextTask()
