"""A character model: embedding, recurrent layers, linear read-out."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from unrolled.cells import Cell
from unrolled.tasks.dropout import Dropout
from unrolled.tasks.model_memory import check_memory, within_memory
from unrolled.tasks.recurrent import as_hx, as_tuple, build_recurrent, cell_class, output_size
from unrolled.tasks.text.options import ModelOptions

State = tuple[Tensor, ...]


class CharacterModel(nn.Module):
    """Logits of the next character for every character of some streams.

    Args:
        options: Sizes and cell.
        vocabulary_size: Number of tokens V.
        cell: The class of the user's own cell, if the options name one.

    Shape:
        tokens: int64 [T, N], time first.
        state: For each of the cell's states a tensor [num_layers, N, ·]: (h,) for rnn and gru,
            (h, c) for lstm; None for zeros.
        logits: [T, N, V].
    """

    def __init__(
        self, options: ModelOptions, vocabulary_size: int, cell: type[Cell] | None = None
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, options.embedding_size)
        self.recurrent = build_recurrent(options, options.embedding_size, cell)
        self.readout = nn.Linear(output_size(options), vocabulary_size)
        self.embedding_dropout = Dropout(options.embedding_dropout)
        self.dropout = Dropout(options.dropout)

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits and the state after the last character."""
        x = self.embedding_dropout(self.embedding(tokens))
        y, after = self.recurrent(x, as_hx(state))
        logits: Tensor = self.readout(self.dropout(y))
        return logits, as_tuple(after)


def build_model(options: ModelOptions, vocabulary_size: int, run: Path) -> CharacterModel:
    """The model of some options, with fresh weights.

    Args:
        options: Sizes and cell.
        vocabulary_size: Number of tokens.
        run: The run's folder, which holds the user's own cell, if there is one.

    Raises:
        UserError: It does not fit into memory, or the run's own cell is not trusted.
    """
    cell = cell_class(options, run)
    check_model(options, vocabulary_size, cell)
    with within_memory(options):
        return CharacterModel(options, vocabulary_size, cell)


def check_model(options: ModelOptions, vocabulary_size: int, cell: type[Cell] | None) -> None:
    """Refuse a model that the machine's memory cannot hold.

    Raises:
        UserError: It does not fit.
    """
    others = vocabulary_size * (options.embedding_size + output_size(options))
    check_memory(options, options.embedding_size, others, cell)
