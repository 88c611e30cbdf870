"""The network: embedding or linear map, recurrent layers, pooling over time, linear read-out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from unrolled.cells import Cell
from unrolled.tasks.dropout import Dropout
from unrolled.tasks.model_memory import check_memory, within_memory
from unrolled.tasks.recurrent import build_recurrent, output_size

from .options import ModelOptions


class SequenceClassifier(nn.Module):
    """Logits of each label for whole sequences.

    What lies after a sequence's end has no effect on output or gradient, whatever it is.

    Args:
        options: Sizes, cell and pooling.
        labels: Number of labels K.
        tokens: Number of tokens V of texts; None for series.
        channels: Channels C of series; None for texts.
        cell: The class of the user's own cell.

    Shape:
        inputs: int64 [T, N] for texts, float [T, N, C] for series; time first.
        lengths: int64 [N].
        logits: [N, K].
    """

    def __init__(
        self,
        options: ModelOptions,
        labels: int,
        *,
        tokens: int | None = None,
        channels: int | None = None,
        cell: type[Cell] | None = None,
    ) -> None:
        super().__init__()
        self.input_noise = options.input_noise
        size = options.embedding_size if tokens is not None else options.input_size or channels
        assert size is not None
        self.embedding = nn.Embedding(tokens, size) if tokens is not None else None
        mapped = tokens is None and options.input_size > 0
        self.map = nn.Linear(channels or 1, size) if mapped else None
        self.ngrams = Ngrams(options) if tokens is not None and options.ngrams > 1 else None
        if self.ngrams is not None:
            size += options.ngram_size
        self.token_dropout = TokenDropout(options.token_dropout)
        self.embedding_dropout = Dropout(options.embedding_dropout)
        self.convolution = Convolution(size, options.convolution) if options.convolution else None
        self.recurrent = build_recurrent(options, size, cell)
        self.pooling = Pooling(options.pooling, output_size(options), options.bidirectional)
        self.dropout = Dropout(options.dropout)
        shortcut = options.ngram_size if self.ngrams is not None else 0
        self.readout = nn.Linear(self.pooling.output_size + shortcut, labels)

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Logits of each sequence."""
        steps = torch.arange(len(inputs), dtype=torch.int64, device=inputs.device)
        there = steps[:, None] < lengths  # [T, N]
        shortcut = None
        if self.embedding is not None:
            tokens = torch.where(there, inputs, 0)
            x = self.embedding(tokens)
            if self.ngrams is not None:
                found = self.embedding_dropout(self.ngrams(tokens) * there.unsqueeze(-1))
                shortcut = found.sum(0) / lengths.clamp(min=1).unsqueeze(-1).to(x.dtype)
                x = torch.cat([x, found], dim=-1)
        else:
            x = torch.where(there[..., None], inputs, 0)
            if self.training and self.input_noise:
                x = x + self.input_noise * torch.randn_like(x)
            if self.map is not None:
                x = functional.relu(self.map(x))
        x = self.embedding_dropout(self.token_dropout(x))
        if self.convolution is not None:
            x = self.convolution(x, there)
        y = self.recurrent(x, lengths=lengths)[0]
        pooled = self.pooling(y, lengths, there)
        if shortcut is not None:
            pooled = torch.cat([pooled, shortcut], dim=-1)
        logits: Tensor = self.readout(self.dropout(pooled))
        return logits


class Ngrams(nn.Module):
    """Vectors of the n-grams of tokens that end at each step, of 2 tokens and more, summed.

    An n-gram's vector is found by a hash of its tokens, so that none has to be counted before
    (Bojanowski et al., 2017, arXiv:1607.04606); a few share one. They begin at zero, so an n-gram
    that training never met says nothing.

    Args:
        options: Longest n-gram, number of vectors and their size.

    Shape:
        tokens: int64 [T, N], 0 after a sequence's end.
        vectors: [T, N, ngram_size].
    """

    _FACTORS = (0x9E3779B1, 0x85EBCA6B)
    """Odd constants of 32 bits that spread the sums (of xxHash)."""

    def __init__(self, options: ModelOptions) -> None:
        super().__init__()
        self.longest, self.count = options.ngrams, options.ngram_vectors
        self.vectors = nn.Embedding(self.count, options.ngram_size)
        nn.init.zeros_(self.vectors.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        """The sum of the vectors of all n-grams that end at each step."""
        total: Tensor | int = 0
        key = tokens
        first, second = self._FACTORS
        for n in range(1, self.longest):
            before = functional.pad(tokens, (0, 0, n, 0))[: len(tokens)]  # the token n steps ago
            key = (key * first + before + n) % (1 << 31)
            total = total + self.vectors((key * second % (1 << 31)) % self.count)
        assert isinstance(total, Tensor)
        return total


class TokenDropout(nn.Module):
    """Zeroes whole vectors of some steps while training, and scales the others to make up for it.

    Args:
        p: Share of the steps, 0 ≤ p < 1.

    Shape:
        [T, N, F], in and out.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """The input, some of its steps zero."""
        if not self.training or self.p == 0:
            return x
        kept = torch.rand(x.shape[:2], dtype=x.dtype, device=x.device) >= self.p
        return x * (kept / (1 - self.p)).unsqueeze(-1).to(x.dtype)


class Convolution(nn.Module):
    """Adds to each step what a convolution finds around it; sequences end in zeros.

    Args:
        size: Features F.
        width: Steps that it sees, the step itself in the middle.

    Shape:
        x: [T, N, F], in and out.
        there: bool [T, N], whether the step belongs to the sequence.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.filters = nn.Conv1d(size, size, width, padding="same")

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """Each step and its neighbours."""
        inside = torch.where(there.unsqueeze(-1), x, 0)
        found = functional.relu(self.filters(inside.permute(1, 2, 0))).permute(2, 0, 1)
        return inside + found


class Pooling(nn.Module):
    """One vector for each sequence, from the outputs of its steps.

    - ``last``: the output of the last step; of the reverse direction that of the first, where it
      ends.
    - ``mean`` and ``max``: over the steps, for each feature.
    - ``concat``: last, mean and max side by side.
    - ``attention``: a weighted mean; a step's weight is the softmax of a learned score.

    A sequence without steps gives zeros.

    Args:
        kind: One of these.
        size: Features F of the outputs, of both directions together.
        bidirectional: Whether the second half of them is the reverse direction's.

    Shape:
        outputs: [T, N, F].
        lengths: int64 [N].
        there: bool [T, N], whether the step belongs to the sequence.
        pooled: [N, F], [N, 3 F] of concat.
    """

    def __init__(self, kind: str, size: int, bidirectional: bool) -> None:
        super().__init__()
        self.kind, self.bidirectional = kind, bidirectional
        self.output_size = 3 * size if kind == "concat" else size
        self.score: nn.Sequential | None = None
        if kind == "attention":
            self.score = nn.Sequential(nn.Linear(size, size), nn.Tanh(), nn.Linear(size, 1))

    def forward(self, outputs: Tensor, lengths: Tensor, there: Tensor) -> Tensor:
        """One vector for each sequence."""
        if self.kind == "last":
            return self._last(outputs, lengths)
        if self.kind == "mean":
            return self._mean(outputs, lengths)
        if self.kind == "max":
            return self._max(outputs, there)
        if self.kind == "concat":
            parts = [self._last(outputs, lengths), self._mean(outputs, lengths)]
            return torch.cat([*parts, self._max(outputs, there)], dim=-1)
        assert self.score is not None
        scores = self.score(outputs).squeeze(-1)
        # The lowest number, not −∞: a sequence without steps would make NaN.
        lowest = torch.finfo(scores.dtype).min
        weights = scores.masked_fill(~there, lowest).softmax(0) * there
        pooled: Tensor = (weights.unsqueeze(-1) * outputs).sum(0)
        return pooled

    def _last(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        rows = torch.arange(outputs.shape[1], dtype=torch.int64, device=outputs.device)
        last = outputs[(lengths - 1).clamp(min=0), rows]
        if not self.bidirectional:
            return last
        half = outputs.shape[-1] // 2
        return torch.cat([last[:, :half], outputs[0, :, half:]], dim=-1)

    def _mean(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        # Outputs after a sequence's end are zero.
        pooled: Tensor = outputs.sum(0) / lengths.clamp(min=1).unsqueeze(-1).to(outputs.dtype)
        return pooled

    def _max(self, outputs: Tensor, there: Tensor) -> Tensor:
        lowest = torch.finfo(outputs.dtype).min
        largest = outputs.masked_fill(~there.unsqueeze(-1), lowest).amax(0)
        pooled: Tensor = torch.where(there[:1].mT, largest, 0)
        return pooled


def build_model(
    options: ModelOptions,
    labels: int,
    *,
    tokens: int | None = None,
    channels: int | None = None,
    cell: type[Cell] | None = None,
) -> SequenceClassifier:
    """The model of some options, with fresh weights.

    Raises:
        UserError: It does not fit into memory.
    """
    size = options.embedding_size if tokens is not None else options.input_size or channels or 1
    features = output_size(options) * (3 if options.pooling == "concat" else 1)
    others = (tokens or channels or 0) * size + features * labels + options.convolution * size**2
    if tokens is not None and options.ngrams > 1:
        others += options.ngram_vectors * options.ngram_size
        size += options.ngram_size
    others += features**2 if options.pooling == "attention" else 0
    check_memory(options, size, others, cell)
    with within_memory(options):
        return SequenceClassifier(options, labels, tokens=tokens, channels=channels, cell=cell)
