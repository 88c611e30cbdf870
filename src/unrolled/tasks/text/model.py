"""A character model: embedding, recurrent layers, linear read-out."""

from __future__ import annotations

import re
from typing import cast

from torch import Tensor, nn

from unrolled.errors import UserError
from unrolled.layers import GRU, LSTM, RNN
from unrolled.layers.dropout import Dropout
from unrolled.tasks.text.options import ModelOptions

State = tuple[Tensor, ...]


class CharacterModel(nn.Module):
    """Logits of the next character for every character of some streams.

    Args:
        options: Sizes and cell.
        vocabulary_size: Number of tokens V.

    Shape:
        tokens: int64 [T, N], time first.
        state: For each of the layers' states a tensor [num_layers, N, hidden_size]: (h,) for rnn
            and gru, (h, c) for lstm; None for zeros.
        logits: [T, N, V].
    """

    def __init__(self, options: ModelOptions, vocabulary_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, options.embedding_size)
        self.recurrent = build_recurrent(options)
        self.readout = nn.Linear(options.hidden_size, vocabulary_size)
        self.embedding_dropout = Dropout(options.embedding_dropout)
        self.dropout = Dropout(options.dropout)

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits and the state after the last character."""
        x = self.embedding_dropout(self.embedding(tokens))
        # torch.nn's convention: one state comes bare, several as a tuple.
        given = state[0] if state is not None and len(state) == 1 else state
        y, after = self.recurrent(x, given)
        logits: Tensor = self.readout(self.dropout(y))
        return logits, cast(State, after) if isinstance(after, tuple) else (after,)


def build_recurrent(options: ModelOptions) -> nn.Module:
    """The recurrent layers."""
    sizes = (options.embedding_size, options.hidden_size, options.num_layers)
    dropout = options.dropout if options.num_layers > 1 else 0.0
    if options.cell == "lstm":
        return LSTM(*sizes, dropout=dropout)
    if options.cell == "gru":
        return GRU(*sizes, dropout=dropout, reset_after=options.reset_after)
    return RNN(*sizes, nonlinearity=options.nonlinearity, dropout=dropout)


def build_model(options: ModelOptions, vocabulary_size: int) -> CharacterModel:
    """The model of some options, with fresh weights.

    Raises:
        UserError: It does not fit into memory.
    """
    options.check_memory(vocabulary_size)
    try:
        return CharacterModel(options, vocabulary_size)
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and not re.search("alloc|overflow", str(error)):
            raise
        raise UserError(
            f"--hidden-size {options.hidden_size} --num-layers {options.num_layers}: "
            "the model does not fit into memory"
        ) from error
