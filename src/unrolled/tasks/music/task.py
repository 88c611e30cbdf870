"""The music task: a model of piano rolls learns to continue pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from unrolled.tasks.package_task import PackageTask, evaluate, predict
from unrolled.training.task import Inspection, Verb

from .options import EvaluateOptions, MusicOptions, PredictOptions, WritingOptions

if TYPE_CHECKING:
    from .predictor import MusicPredictor


def _generate(
    predictor: MusicPredictor, files: Sequence[str], options: WritingOptions
) -> Iterator[str]:
    from .predictor import write

    return write(predictor, files, options)


class MusicTask(PackageTask):
    """Prediction of the next frame of a piano roll; see `unrolled.training.task.Task`."""

    name: ClassVar[str] = "music"
    help: ClassVar[str] = "Train a model of music on piano rolls or MIDI, to continue and score it."
    options: ClassVar[type] = MusicOptions
    opened: ClassVar[str] = "OpenedMusic"
    predictor: ClassVar[str] = "MusicPredictor"
    verbs: ClassVar[Mapping[str, Verb]] = {
        "predict": Verb(
            "Probabilities of the keys of every next frame of pieces.", PredictOptions, predict
        ),
        "evaluate": Verb(
            "Measure the model on pieces, beside cheap methods: nats per frame, frame accuracy.",
            EvaluateOptions,
            evaluate,
        ),
        "generate": Verb(
            "Write a piece, from nothing or from the beginning of a given one.",
            WritingOptions,
            _generate,
        ),
    }

    def inspect(self, options: MusicOptions) -> Inspection:
        """Pieces, keys, chords and duplicates."""
        from .inspection import inspect_data

        return inspect_data(options.data)


TASK = MusicTask()
"""A model of music."""
