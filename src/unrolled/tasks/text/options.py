"""What the text task can be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from unrolled.training.errors import UserError
from unrolled.training.options import TrainingOptions, at_least, share


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
    val_fraction: float = 0.1

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value is outside its range.
        """
        share(self, "val_fraction")


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
    hidden_size: int = 512
    num_layers: int = 1
    embedding_size: int = 64
    dropout: float = 0.3
    embedding_dropout: float = 0.0
    nonlinearity: Literal["tanh", "relu", "sigmoid", "identity"] = "tanh"
    reset_after: bool = True

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value is outside its range.
        """
        for name in ("hidden_size", "num_layers", "embedding_size"):
            at_least(self, name, 1)
        share(self, "dropout")
        share(self, "embedding_dropout")


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
