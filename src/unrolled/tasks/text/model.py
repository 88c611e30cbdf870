"""A model of text: embedding, recurrent layers, linear read-out."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional

from unrolled.cells import Cell
from unrolled.tasks.dropout import Dropout
from unrolled.tasks.model_memory import check_memory, within_memory
from unrolled.tasks.recurrent import as_hx, as_tuple, build_recurrent, cell_class, output_size
from unrolled.tasks.text.options import ModelOptions

State = tuple[Tensor, ...]


class TextModel(nn.Module):
    """Predictions of the next token for every token of some streams.

    Args:
        options: Sizes and cell.
        vocabulary_size: Number of tokens V.
        cell: The class of the user's own cell, if the options name one.

    Shape:
        tokens: int64 [T, N], time first.
        targets: int64 [T, N]: the token that follows each.
        state: For each of the cell's states a tensor [num_layers, N, ·]: (h,) for rnn and gru,
            (h, c) for lstm; None for zeros.
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

    def forward(
        self, tokens: Tensor, state: State | None = None, targets: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """`loss` where there are targets, else `logits`: what calls the model as a function."""
        if targets is None:
            return self.logits(tokens, state)
        return self.loss(tokens, targets, state)

    def logits(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits [T, N, V], and the state after the last token."""
        y, after = self._outputs(tokens, state)
        return self.readout(y), after

    def nats(
        self, tokens: Tensor, targets: Tensor, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Nats of each target, [T, N], and the state after the last token."""
        logits, after = self.logits(tokens, state)
        return _cross_entropy(logits, targets, "none").view(targets.shape), after

    def loss(
        self, tokens: Tensor, targets: Tensor, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Mean nats of the targets, to train on, and the state after the last token."""
        logits, after = self.logits(tokens, state)
        return _cross_entropy(logits, targets, "mean"), after

    def _outputs(self, tokens: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Output of the recurrent layers [T, N, H], and the state after the last token."""
        x = self.embedding_dropout(self.embedding(tokens))
        y, after = self.recurrent(x, as_hx(state))
        return self.dropout(y), as_tuple(after)


def _cross_entropy(logits: Tensor, targets: Tensor, reduction: str) -> Tensor:
    """Cross-entropy of targets [T, N], in 32 bits at least."""
    if logits.dtype.itemsize < 4:
        logits = logits.float()
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)


def build_model(options: ModelOptions, vocabulary_size: int, run: Path) -> TextModel:
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
        return TextModel(options, vocabulary_size, cell)


def check_model(options: ModelOptions, vocabulary_size: int, cell: type[Cell] | None) -> None:
    """Refuse a model that the machine's memory cannot hold.

    Raises:
        UserError: It does not fit.
    """
    others = vocabulary_size * (options.embedding_size + output_size(options))
    check_memory(options, options.embedding_size, others, cell)
