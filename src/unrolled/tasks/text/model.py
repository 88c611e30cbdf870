"""A model of text: embedding, recurrent layers, read-out."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from unrolled.cells import Cell
from unrolled.errors import UserError
from unrolled.tasks.dropout import Dropout
from unrolled.tasks.model_memory import check_memory, within_memory
from unrolled.tasks.recurrent import as_hx, as_tuple, build_recurrent, cell_class, output_size
from unrolled.tasks.text.locked import LockedDropout, LockedLayers
from unrolled.tasks.text.options import ModelOptions
from unrolled.tasks.text.readout import AdaptiveSoftmax, Readout, Softmax, TiedSoftmax

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
        self.recurrent = _layers(options, cell)
        self.readout = _readout(options, vocabulary_size, self.embedding)
        dropout = LockedDropout if options.locked_dropout else Dropout
        self.word_dropout = Dropout(options.word_dropout)
        self.embedding_dropout = dropout(options.embedding_dropout)
        self.dropout = dropout(options.dropout)
        self._penalties = options.activation_penalty, options.change_penalty

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
        return self.readout.logits(self.dropout(y)), after

    def nats(
        self, tokens: Tensor, targets: Tensor, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Nats of each target, [T, N], and the state after the last token."""
        nats, _, after = self.read(tokens, targets, state)
        return nats, after

    def read(
        self, tokens: Tensor, targets: Tensor, state: State | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """The same, and between them the recurrent layers' output [T, N, H]."""
        y, after = self._outputs(tokens, state)
        return self.readout.nats(self.dropout(y), targets), y, after

    def loss(
        self, tokens: Tensor, targets: Tensor, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Mean nats of the targets, to train on, and the state after the last token.

        In training its gradient is that of the mean and the penalties; its value is the mean alone.
        """
        y, after = self._outputs(tokens, state)
        dropped = self.dropout(y)
        mean = self.readout.mean(dropped, targets)
        if self.training and any(self._penalties):
            penalty = self._penalty(y, dropped)
            mean = mean + (penalty - penalty.detach())
        return mean, after

    def _outputs(self, tokens: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Output of the recurrent layers [T, N, H], and the state after the last token."""
        x = self.embedding(tokens)
        if self.training and self.word_dropout.p:
            x = x * self.word_dropout(torch.ones_like(self.embedding.weight[:, :1]))[tokens]
        y, after = self.recurrent(self.embedding_dropout(x), as_hx(state))
        return y, as_tuple(after)

    def _penalty(self, y: Tensor, dropped: Tensor) -> Tensor:
        """Mean squares of the dropped output, and of the output's change from step to step."""
        activation, change = self._penalties
        penalty = activation * dropped.float().square().mean()
        if change and len(y) > 1:
            penalty = penalty + change * y.float().diff(dim=0).square().mean()
        return penalty


def _layers(options: ModelOptions, cell: type[Cell] | None) -> nn.Module:
    """The recurrent layers."""
    if not options.locked_dropout or options.num_layers == 1:
        return build_recurrent(options, options.embedding_size, cell)
    one = replace(options, num_layers=1)
    sizes = [options.embedding_size, *[output_size(options)] * (options.num_layers - 1)]
    return LockedLayers([build_recurrent(one, size, cell) for size in sizes], options.dropout)


def _readout(options: ModelOptions, vocabulary_size: int, embedding: nn.Embedding) -> Readout:
    """The read-out."""
    size = output_size(options)
    if options.adaptive_softmax:
        return AdaptiveSoftmax(size, vocabulary_size, _cutoffs(options, vocabulary_size))
    return TiedSoftmax(size, embedding) if options.tied else Softmax(size, vocabulary_size)


def _cutoffs(options: ModelOptions, vocabulary_size: int) -> list[int]:
    """Tokens at which the clusters of the adaptive softmax end, but for the last.

    Raises:
        UserError: They do not fit the vocabulary, or the output is too small for so many.
    """
    given = list(options.adaptive_cutoffs)
    cutoffs = given or [vocabulary_size // 15, vocabulary_size // 5]
    rising = all(a < b for a, b in pairwise([0, *cutoffs, vocabulary_size]))
    if given and not rising:
        raise UserError(
            "--adaptive-cutoffs: expected rising numbers from 1 to less than the vocabulary's "
            f"{vocabulary_size}, got {', '.join(map(str, given))}"
        )
    if not rising:
        raise UserError(
            f"--adaptive-softmax: expected at least 15 different tokens, got {vocabulary_size}"
        )
    least = 4 ** len(cutoffs)
    if output_size(options) < least:
        raise UserError(
            f"--adaptive-softmax: {len(cutoffs)} clusters of rare tokens need an output of {least} "
            f"units (--hidden-size, --proj-size), got {output_size(options)}"
        )
    return cutoffs


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
    """Refuse a model that the machine's memory cannot hold, or whose sizes do not go together.

    Raises:
        UserError: It is one of these.
    """
    size, output = options.embedding_size, output_size(options)
    if options.adaptive_softmax:
        _cutoffs(options, vocabulary_size)
    others = vocabulary_size * size + (size if options.tied else vocabulary_size) * output
    check_memory(options, size, others, cell)
