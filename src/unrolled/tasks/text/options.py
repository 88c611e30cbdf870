"""Options of the text task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from unrolled.errors import UserError
from unrolled.ranges import SEED, SHARE, SIZE, Range
from unrolled.tasks.recurrent import RecurrentOptions
from unrolled.training.options import RATE, CheckedOptions, TrainingOptions

LENGTH = Range(0, 10**9)
"""Characters to write."""

TEMPERATURE = Range(1e-6, 1e6, or_zero=True)
"""Logits are divided by it in 32 bits: smaller ones would make numbers that are not finite."""


@dataclass(frozen=True)
class DataOptions(CheckedOptions):
    """Which text to read.

    Attributes:
        data: Text files in UTF-8, read one after another as one text.
        val_data: Text files to validate on, instead of the end of --data.
        val_fraction: Share of the text, at its end, kept for validation.
    """

    data: tuple[str, ...] = ()
    val_data: tuple[str, ...] = ()
    val_fraction: Annotated[float, SHARE] = 0.1


@dataclass(frozen=True)
class ModelOptions(RecurrentOptions):
    """The model: embedding, recurrent layers, linear read-out.

    Attributes:
        embedding_size: Size of a character's vector.
        embedding_dropout: Share of values dropped before the recurrent layers.
    """

    hidden_size: Annotated[int, SIZE] = 512
    embedding_size: Annotated[int, SIZE] = 64
    embedding_dropout: Annotated[float, SHARE] = 0.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value is outside its range, or two do not go together.
        """
        super().__post_init__()
        if self.bidirectional:
            raise UserError("--bidirectional: a text is continued, so its end cannot be read first")


@dataclass(frozen=True)
class TextTraining(TrainingOptions):
    """How to train a character model.

    Attributes:
        seq_len: Steps of one chunk: the gradient is cut after so many.
        random_boundaries: Let each epoch cut its chunks at other places.
        sample_length: Length of the sample written at each validation; 0 for none.
    """

    lr: Annotated[float, RATE] = 4e-3
    beta2: Annotated[float, SHARE] = 0.99
    weight_decay: Annotated[float, Range(0, 1e38)] = 0.3
    seq_len: Annotated[int, SIZE] = 64
    random_boundaries: bool = True
    sample_length: Annotated[int, LENGTH] = 300


@dataclass(frozen=True)
class TextOptions:
    """Everything about one run of the text task; the sections of its ``options.toml``.

    Attributes:
        task: Name of the task.
        data: Which text to read.
        model: The model.
        training: How to train.
    """

    task: Literal["text"] = "text"
    data: DataOptions = field(default_factory=DataOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    training: TextTraining = field(default_factory=TextTraining)


@dataclass(frozen=True)
class WritingOptions(CheckedOptions):
    """How a model writes.

    Attributes:
        prompt: What to continue; if empty, a new line.
        length: Characters to write.
        temperature: Below 1 more careful, above 1 more daring; 0 always takes the likeliest.
        top_k: Choose among so many likeliest characters only; 0 for all.
        seed: Seed of the choices.
    """

    prompt: str = ""
    length: Annotated[int, LENGTH] = 500
    temperature: Annotated[float, TEMPERATURE] = 0.8
    top_k: Annotated[int, Range(0, 2**31 - 1)] = 0
    seed: Annotated[int, SEED] = 0


@dataclass(frozen=True)
class ScoringOptions(CheckedOptions):
    """How a text is scored.

    Attributes:
        streams: Cut the text in so many streams, which is faster; each begins with 1024 characters
            of context that are not counted. [default: 1, or one per million characters]
    """

    streams: Annotated[int | None, SIZE] = None


@dataclass(frozen=True)
class PromptOptions(CheckedOptions):
    """How a model continues many prompts, one a line.

    Attributes:
        length: Characters to write after each.
        temperature: Below 1 more careful, above 1 more daring; 0 always takes the likeliest.
        top_k: Choose among so many likeliest characters only; 0 for all.
        seed: Seed of the choices, the same for every prompt.
    """

    length: Annotated[int, LENGTH] = 100
    temperature: Annotated[float, TEMPERATURE] = 0.8
    top_k: Annotated[int, Range(0, 2**31 - 1)] = 0
    seed: Annotated[int, SEED] = 0
