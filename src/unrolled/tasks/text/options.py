"""What the text task can be told."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import Annotated, Literal

from unrolled.errors import UserError
from unrolled.ranges import SEED, SHARE, SIZE, THREADS, Range
from unrolled.training.options import LENGTH, TrainingOptions, check


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
    training: TrainingOptions = field(default_factory=TrainingOptions)

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
        length: Characters to write.
        temperature: Below 1 more careful, above 1 more daring; 0 always takes the likeliest.
        top_k: Choose among so many likeliest characters only; 0 for all.
        seed: Seed of the choices.
    """

    length: Annotated[int, LENGTH] = 500
    # logits are divided by it in 32 bits: smaller ones would make numbers that are not finite
    temperature: Annotated[float, Range(1e-6, 1e6, or_zero=True)] = 0.8
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
        threads: Threads for the CPU; 0 leaves it to PyTorch.
    """

    streams: Annotated[int | None, SIZE] = None
    threads: Annotated[int, THREADS] = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value is outside its range.
        """
        check(self)
