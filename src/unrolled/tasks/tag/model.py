"""A tagger: features of tokens, recurrent layers over the sentence, a conditional random field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from unrolled.cells import Cell
from unrolled.layers import LSTM
from unrolled.tasks.crf import ConditionalRandomField
from unrolled.tasks.dropout import Dropout
from unrolled.tasks.recurrent import build_recurrent, output_size

from .features import Features
from .language_model import LanguageModel
from .options import ModelOptions
from .schemes import Transitions


class Inputs(NamedTuple):
    """Sentences as a model reads them, time first.

    Attributes:
        forms: Word, shape, affixes and vector of each different token, int64 ``[U, F]``.
        characters: Their characters, from 1, zero in the padding, int64 ``[C, U]``.
        character_counts: Characters of each, int64 ``[U]``.
        places: Which of them stands where, int64 ``[T, N]``.
        ngrams: N-grams around each token, int64 ``[T, N, W]``.
        sparse: Hand-made features of each token, zero in the padding, int64 ``[T, N, M]``.
        lengths: Tokens of each sentence, int64 ``[N]``.
        states: What else is known about each token, ``[T, N, S]``; S may be 0.
    """

    forms: Tensor
    characters: Tensor
    character_counts: Tensor
    places: Tensor
    ngrams: Tensor
    sparse: Tensor
    lengths: Tensor
    states: Tensor


class Batch(NamedTuple):
    """Tagged sentences.

    Attributes:
        inputs: The sentences.
        tags: Numbers of their tags, int64 ``[T, N]``, zero in the padding.
    """

    inputs: Inputs
    tags: Tensor


def make_inputs(
    features: Features,
    sentences: Sequence[Sequence[str]],
    language_model: LanguageModel | None = None,
) -> Inputs:
    """Sentences as a model reads them, on the CPU."""
    steps = max((len(one) for one in sentences), default=0)
    places = np.zeros((steps, len(sentences)), np.int64)
    ngrams = np.zeros((steps, len(sentences), len(features.ngrams)), np.int64)
    seen: dict[str, int] = {}
    for n, sentence in enumerate(sentences):
        for t, token in enumerate(sentence):
            places[t, n] = seen.setdefault(token, len(seen))
        if features.ngrams:
            ngrams[: len(sentence), n] = features.windows(sentence)
    found = [features.form(token) for token in seen]
    counts = np.array([len(characters) for _, characters in found], np.int64)
    read = np.zeros((int(counts.max(initial=1)), len(found)), np.int64)
    if features.sizes.characters:
        for column, (_, characters) in enumerate(found):
            read[: len(characters), column] = characters
    forms = np.array([numbers for numbers, _ in found], np.int64)
    if language_model is None:
        states = torch.zeros(steps, len(sentences), 0, dtype=torch.float32, device="cpu")
    else:
        states = language_model.states(sentences)
    return Inputs(
        torch.from_numpy(forms.reshape(len(found), len(features.columns))),
        torch.from_numpy(read),
        torch.from_numpy(counts),
        torch.from_numpy(places),
        torch.from_numpy(ngrams),
        torch.from_numpy(_sparse(features, sentences, steps)),
        torch.from_numpy(np.array([len(one) for one in sentences], np.int64)),
        states,
    )


def _sparse(
    features: Features, sentences: Sequence[Sequence[str]], steps: int
) -> npt.NDArray[np.int64]:
    """Numbers of hand-made features, ``[T, N, M]``."""
    if not features.sizes.sparse:
        return np.zeros((steps, len(sentences), 0), np.int64)
    rows = [features.sparse_rows(sentence) for sentence in sentences]
    most = max([1, *(len(row) for sentence in rows for row in sentence)])
    found = np.zeros((steps, len(sentences), most), np.int64)
    for n, sentence in enumerate(rows):
        for t, row in enumerate(sentence):
            found[t, n, : len(row)] = row
    return found


class SparseScores(nn.Module):
    """Scores of tags from hand-made features: a score of each feature for each tag, summed.

    They begin at zero, so a feature is worth what training found in it, and one that the training
    data lacks nothing.

    Args:
        features: Number of features, padding included.
        tags: Number of tags.
        dropout: Share of each token's features that is left out while training.

    Shape:
        features: int64 ``[T, N, M]``, 0 for none; output ``[T, N, tags]``.
    """

    def __init__(self, features: int, tags: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.scores = nn.Embedding(features, tags, padding_idx=0)
        nn.init.zeros_(self.scores.weight)

    def forward(self, features: Tensor) -> Tensor:
        """The sum of the scores of each token's features."""
        scale = 1.0
        if self.training and self.dropout:
            draws = torch.rand(features.shape, dtype=torch.float32, device=features.device)
            features = features.where(draws >= self.dropout, 0)
            scale = 1 / (1 - self.dropout)
        found = functional.embedding_bag(
            features.flatten(0, 1), self.scores.weight, mode="sum", padding_idx=0
        )
        return scale * found.view(*features.shape[:2], found.shape[1])


class LockedDropout(nn.Module):
    """Dropout of the same features at every step of a sequence (Gal & Ghahramani, 2016).

    Args:
        p: Share of the features dropped.

    Shape:
        ``[T, N, *]``; one mask for each row.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """The input, part of its features dropped."""
        if not self.training or self.p == 0:
            return x
        return x * functional.dropout(torch.ones_like(x[:1]), self.p)

    def extra_repr(self) -> str:
        """For the module's printed form."""
        return f"p={self.p}"


class CharacterCNN(nn.Module):
    """The largest response of each filter over a token's characters (Ma & Hovy, 2016).

    Args:
        characters: Number of different characters, padding included.
        size: Size of a character's vector.
        filters: Number of filters, and of features.
        dropout: Share of the characters' features dropped.

    Shape:
        characters: int64 ``[C, U]``; output ``[U, filters]``.
    """

    WIDTH = 3

    def __init__(self, characters: int, size: int, filters: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, size, padding_idx=0)
        self.dropout = Dropout(dropout)
        self.filters = nn.Linear(self.WIDTH * size, filters)

    def forward(self, characters: Tensor, counts: Tensor) -> Tensor:
        """Features of each token."""
        x = self.dropout(self.embedding(characters))
        # a neighbour's vector for each place: one product, which a CPU does faster than conv1d
        edge = x.new_zeros(1, *x.shape[1:])
        x = torch.cat([edge, x, edge])
        x = torch.cat([x[:-2], x[1:-1], x[2:]], 2)
        inside = _inside(counts, len(characters)).unsqueeze(2)
        found: Tensor = self.filters(x).masked_fill(~inside, -torch.inf).amax(0).relu()
        return found


class CharacterLSTM(nn.Module):
    """Last states of an LSTM over a token's characters, from both ends (Lample et al., 2016).

    Args:
        characters: Number of different characters, padding included.
        size: Size of a character's vector.
        features: Number of features, of both directions together.
        dropout: Share of the characters' features dropped.

    Shape:
        characters: int64 ``[C, U]``; output ``[U, features]``.
    """

    def __init__(self, characters: int, size: int, features: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, size, padding_idx=0)
        self.dropout = Dropout(dropout)
        self.recurrent = LSTM(size, features // 2, bidirectional=True)

    def forward(self, characters: Tensor, counts: Tensor) -> Tensor:
        """Features of each token."""
        x = self.dropout(self.embedding(characters))
        _, (last, _) = self.recurrent(x, lengths=counts)
        return torch.cat([last[0], last[1]], 1)


class Tagger(nn.Module):
    """Scores of the tags of sentences.

    Args:
        options: Sizes and layers.
        features: Vocabularies.
        rules: Tags that may follow each other.
        vectors: Vectors from a file, float32 ``[vectors + 1, D]``; the first, of zeros, stands for
            words that the file does not have. They are not trained and not part of the weights.
        state_size: Features of `Inputs.states`.
        cell: The class of the user's own cell.

    Shape:
        T steps, N sentences, K tags; emissions ``[T, N, K]``.
    """

    vectors: Tensor | None

    def __init__(
        self,
        options: ModelOptions,
        features: Features,
        rules: Transitions,
        *,
        vectors: Tensor | None = None,
        state_size: int = 0,
        cell: type[Cell] | None = None,
    ) -> None:
        super().__init__()
        words, shapes, *affixes, known = features.columns
        tags = len(rules.start)
        self.word_dropout = options.word_dropout
        self.words = nn.Embedding(words, options.word_size)
        self.shapes = nn.Embedding(shapes, options.shape_size) if options.shape_size else None
        self.affixes = nn.ModuleList(nn.Embedding(one, options.affix_size) for one in affixes)
        self.ngrams = nn.ModuleList(
            nn.Embedding(len(one) + 1, options.ngram_size, padding_idx=0) for one in features.ngrams
        )
        for one in self.modules():
            if isinstance(one, nn.Embedding):
                with torch.no_grad():
                    one.weight.mul_(0.25)  # vectors of rare words stay small
        self.characters: nn.Module | None = None
        if features.sizes.characters:
            kind = CharacterLSTM if options.character_layer == "lstm" else CharacterCNN
            self.characters = kind(
                len(features.characters) + 2,
                options.character_size,
                options.character_features,
                options.character_dropout,
            )
        self.register_buffer("vectors", vectors, persistent=False)
        if vectors is not None and len(vectors) != known:
            raise ValueError(f"expected {known} vectors, got {len(vectors)}")
        width = 0 if vectors is None else vectors.shape[1]
        size = input_size(options, features, width + state_size)
        self.input_dropout = Dropout(options.input_dropout)
        self.locked_input_dropout = LockedDropout(options.locked_dropout)
        self.recurrent = build_recurrent(options, size, cell)
        self.dropout = Dropout(options.dropout)
        self.locked_dropout = LockedDropout(options.locked_dropout)
        self.readout = nn.Linear(output_size(options), tags)
        self.sparse: SparseScores | None = None
        if features.sizes.sparse:
            self.sparse = SparseScores(len(features.sparse) + 1, tags, options.sparse_dropout)
        self.learned = options.output == "crf"
        masks = (rules.next, rules.start, rules.end)
        self.field = ConditionalRandomField(tags, *masks, learned=self.learned)

    def forward(self, inputs: Inputs, tags: Tensor | None = None) -> Tensor:
        """Emissions; or, where tags ``[T, N]`` are given, the loss of each sentence in nats, [N].

        Both go through this method, which a wrapper for several processes needs.
        """
        emissions = self.emissions(inputs)
        if tags is None:
            return emissions
        if self.learned:
            return self.field.loss(emissions, tags, inputs.lengths)
        return token_losses(emissions, tags, inputs.lengths).sum(0)

    def emissions(self, inputs: Inputs) -> Tensor:
        """Scores of each tag at each token."""
        x = self.input_dropout(self.locked_input_dropout(self.embed(inputs)))
        y, _ = self.recurrent(x, lengths=inputs.lengths)
        scores: Tensor = self.readout(self.dropout(self.locked_dropout(y)))
        if self.sparse is not None:
            scores = scores + self.sparse(inputs.sparse)
        return scores

    def embed(self, inputs: Inputs) -> Tensor:
        """A vector for each token, ``[T, N, ·]``."""
        words = inputs.forms[:, 0][inputs.places]
        by_form = []
        if self.shapes is not None:
            by_form.append(self.shapes(inputs.forms[:, 1]))
        for k, one in enumerate(self.affixes):
            by_form.append(one(inputs.forms[:, 2 + k]))
        if self.vectors is not None:
            by_form.append(self.vectors[inputs.forms[:, -1]].to(self.words.weight.dtype))
        if self.characters is not None:
            by_form.append(self.characters(inputs.characters, inputs.character_counts))
        parts = [self.words(self._unknown(words))]
        if by_form:
            both = torch.cat(by_form, 1)
            parts.append(functional.embedding(inputs.places, both))
        for k, one in enumerate(self.ngrams):
            parts.append(one(self._unknown(inputs.ngrams[:, :, k])))
        if inputs.states.shape[2]:
            parts.append(inputs.states.to(parts[0].dtype))
        return torch.cat(parts, 2)

    def _unknown(self, numbers: Tensor) -> Tensor:
        """Some numbers replaced by that of the unknown while training."""
        if not self.training or self.word_dropout == 0:
            return numbers
        draws = torch.rand(numbers.shape, dtype=torch.float32, device=numbers.device)
        return numbers.where(draws >= self.word_dropout, 0)


def token_losses(emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
    """Cross-entropy of each token in nats, ``[T, N]``; zero in the padding."""
    losses = functional.cross_entropy(
        emissions.float().movedim(2, 1)
        if emissions.dtype.itemsize < 4
        else emissions.movedim(2, 1),
        tags,
        reduction="none",
    )
    return losses.where(_inside(lengths, len(tags)), 0.0)


def input_size(options: ModelOptions, features: Features, others: int = 0) -> int:
    """Features of a token as the recurrent layers read it.

    Args:
        options: Sizes.
        features: Vocabularies.
        others: Size of what stands beside them: vectors of a file, states.
    """
    return (
        options.word_size
        + options.shape_size
        + options.affix_size * len(features.affixes)
        + options.ngram_size * len(features.ngrams)
        + (options.character_features if features.sizes.characters else 0)
        + others
    )


def _inside(lengths: Tensor, steps: int) -> Tensor:
    """Which steps are no padding, ``[T, N]``."""
    times = torch.arange(steps, dtype=lengths.dtype, device=lengths.device)
    return times.unsqueeze(1) < lengths
