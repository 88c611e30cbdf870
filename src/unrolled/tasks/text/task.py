"""The text task: a model learns to continue a text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from unrolled.tasks.package_task import PackageTask
from unrolled.training.task import Evaluation, Inspection, Verb

from .options import PromptOptions, ScoringOptions, TextOptions, WritingOptions

if TYPE_CHECKING:
    from .predictor import TextPredictor


def _predict(
    predictor: TextPredictor, files: Sequence[str], options: PromptOptions
) -> Iterator[dict[str, str]]:
    from .predictor import predict

    return predict(predictor, files, options)


def _evaluate(
    predictor: TextPredictor, files: Sequence[str], options: ScoringOptions
) -> Evaluation:
    from .predictor import evaluate

    return evaluate(predictor, files, options)


def _generate(
    predictor: TextPredictor, files: Sequence[str], options: WritingOptions
) -> Iterator[str]:
    from .predictor import write

    return write(predictor, files, options)


class TextTask(PackageTask):
    """Prediction of the next character, word or subword; see `unrolled.training.task.Task`."""

    name: ClassVar[str] = "text"
    help: ClassVar[str] = "Train a model on text, to continue it, score it, learn from it."
    options: ClassVar[type] = TextOptions
    opened: ClassVar[str] = "OpenedText"
    predictor: ClassVar[str] = "TextPredictor"
    verbs: ClassVar[Mapping[str, Verb]] = {
        "predict": Verb("Continue every line.", PromptOptions, _predict),
        "evaluate": Verb("Score text: nats and bits per character.", ScoringOptions, _evaluate),
        "generate": Verb(
            "Write text that continues a prompt, as soon as it is drawn.",
            WritingOptions,
            _generate,
        ),
    }

    def inspect(self, options: Any) -> Inspection:
        """Characters, lines and tokens of the text, and what of the validation text is new."""
        from .inspection import inspect

        return inspect(options)


TASK = TextTask()
