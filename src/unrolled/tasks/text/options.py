"""What the text task can be told."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import Annotated, Literal

from unrolled.errors import UserError
from unrolled.ranges import SEED, SHARE, SIZE, Range
from unrolled.training.options import RATE, TrainingOptions, check

LENGTH = Range(0, 10**9)
"""Characters to write."""

TEMPERATURE = Range(1e-6, 1e6, or_zero=True)
"""Logits are divided by it in 32 bits: smaller ones would make numbers that are not finite."""


@dataclass(frozen=True)
class DataOptions:
    """Which text to read.

    Attributes:
        data: Text files in UTF-8, read one after another as one text.
        val_data: Text files to validate on, instead of the end of --data.
        val_fraction: Share of the text, at its end, kept for validation.
    """

    data: tuple[str, ...] = ()
    val_data: tuple[str, ...] = ()
    val_fraction: Annotated[float, SHARE] = 0.1

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value is outside its range.
        """
        check(self)


@dataclass(frozen=True)
class ModelOptions:
    """The model: embedding, recurrent layers, linear read-out.

    Attributes:
        cell: Recurrent cell.
        hidden_size: Units of each recurrent layer.
        num_layers: Recurrent layers, one upon another.
        embedding_size: Size of a character's vector.
        dropout: Share of values dropped between and after the recurrent layers.
        embedding_dropout: Share of values dropped before them.
        nonlinearity: Nonlinearity of the rnn cell.
        reset_after: Whether the gru cell's reset gate acts after the recurrent product
            (as in torch.nn) or before it (the original form).
    """

    cell: Literal["lstm", "gru", "rnn"] = "gru"
    hidden_size: Annotated[int, SIZE] = 512
    num_layers: Annotated[int, Range(1, 1000)] = 1
    embedding_size: Annotated[int, SIZE] = 64
    dropout: Annotated[float, SHARE] = 0.3
    embedding_dropout: Annotated[float, SHARE] = 0.0
    nonlinearity: Literal["tanh", "relu", "sigmoid", "identity"] = "tanh"
    reset_after: bool = True

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value is outside its range.
        """
        check(self)

    def check_memory(self, tokens: int) -> None:
        """Refuse a model whose weights this machine cannot hold, before anything is made for it.

        A system that promises more memory than it has would kill the process when they are written.

        Args:
            tokens: Size of the vocabulary.

        Raises:
            UserError: The weights take more than all memory.
        """
        blocks = {"lstm": 4, "gru": 3, "rnn": 1}[self.cell]
        inputs = self.embedding_size + (self.num_layers - 1) * self.hidden_size
        recurrent = blocks * self.hidden_size * (inputs + self.num_layers * self.hidden_size)
        weights = recurrent + tokens * (self.embedding_size + self.hidden_size)
        if 4 * weights > (memory := _memory()):
            raise UserError(
                f"--hidden-size {self.hidden_size} --num-layers {self.num_layers}: the model does "
                f"not fit into memory: its weights take {4 * weights / 1e9:,.1f} GB, this machine "
                f"has {memory / 1e9:,.1f} GB"
            )


def _memory() -> float:
    """Bytes of memory of this machine; infinite where the system does not tell."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return math.inf


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

    def __post_init__(self) -> None:
        """Check what concerns several sections.

        Raises:
            UserError: The options contradict each other.
        """
        if not self.model.reset_after and self.model.cell != "gru":
            raise UserError("--no-reset-after: only for --cell gru")
        if self.model.nonlinearity != "tanh" and self.model.cell != "rnn":
            raise UserError("--nonlinearity: only for --cell rnn")


@dataclass(frozen=True)
class WritingOptions:
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

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value is outside its range.
        """
        check(self)


@dataclass(frozen=True)
class ScoringOptions:
    """How a text is scored.

    Attributes:
        streams: Cut the text in so many streams, which is faster; each begins with 1024 characters
            of context that are not counted. [default: 1, or one per million characters]
    """

    streams: Annotated[int | None, SIZE] = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value is outside its range.
        """
        check(self)


@dataclass(frozen=True)
class PromptOptions:
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

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value is outside its range.
        """
        check(self)
