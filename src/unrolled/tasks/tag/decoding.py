"""Tags of sentences from a trained model: the best ones, their probability, and the next best."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from unrolled.tasks.crf import Paths

from .data import TagSet
from .features import Features
from .labels import Labels
from .language_model import LanguageModel
from .model import Inputs, Tagger, make_inputs
from .schemes import OUTSIDE, Span, read_spans, write_tags

WINDOW = 1024
"""Sentences that are read ahead, to be sorted by length."""

BATCH_TOKENS = 4096
"""Tokens of a batch, padding included."""


class Tagging(NamedTuple):
    """Predicted tags of a sentence.

    Attributes:
        tags: A tag for each token, in the model's scheme.
        confidence: Probability of each token's part: of its span, exactly as it stands, or of its
            tag outside of spans. Empty where it was not asked for.
        others: The next best tags, each with the probability of the whole sequence.
        probability: Probability of the whole sequence ``tags``; 0 where it was not asked for.
    """

    tags: list[str]
    confidence: list[float]
    others: list[tuple[list[str], float]]
    probability: float


class Decoder:
    """A model and what its numbers stand for.

    Args:
        model: The model; it is used in eval mode.
        features: Vocabularies.
        tags: The tags.
        language_model: Character model whose states are features.
        span_bias: Nats added to the score of each span before the best tags are sought.
    """

    def __init__(
        self,
        model: Tagger,
        features: Features,
        tags: TagSet,
        language_model: LanguageModel | None = None,
        span_bias: float = 0.0,
    ) -> None:
        self.model, self.features, self.labels = model, features, Labels(tags)
        self.tags = tags
        self.language_model, self.span_bias = language_model, span_bias

    def decode(
        self,
        sentences: Iterable[Sequence[str]],
        *,
        confidence: bool = False,
        nbest: int = 1,
        threshold: float = 0.0,
    ) -> Iterator[Tagging]:
        """Tags of sentences in order, in constant memory.

        Args:
            sentences: Their tokens.
            confidence: Whether to compute probabilities.
            nbest: Sequences of tags for each sentence.
            threshold: Spans of a lower probability are left out.
        """
        waiting = iter(sentences)
        while window := list(islice(waiting, WINDOW)):
            found: dict[int, Tagging] = {}
            for numbers in _batches([len(sentence) for sentence in window]):
                some = [window[number] for number in numbers]
                found.update(
                    zip(
                        numbers,
                        self._batch(some, confidence or threshold > 0, nbest, threshold),
                        strict=True,
                    )
                )
            for number in range(len(window)):
                yield found[number]

    @torch.no_grad()
    def _batch(
        self, sentences: Sequence[Sequence[str]], confidence: bool, nbest: int, threshold: float
    ) -> list[Tagging]:
        was = self.model.training
        self.model.eval()
        try:
            inputs = self.inputs(sentences)
            emissions = self.model(inputs)
            field, lengths = self.model.field, inputs.lengths
            best = field.best(self._biased(emissions), lengths, nbest)
            taggings = [
                Tagging(self.labels.decode(best.tags[0, : len(one), n].tolist()), [], [], 0.0)
                for n, one in enumerate(sentences)
            ]
            if nbest > 1:
                # not the scores of the search: they have the bias
                logs = [-field.loss(emissions, tags, lengths) for tags in best.tags]
                found = torch.stack(logs).where(best.scores.isfinite(), -torch.inf)
                shares = found.clamp(max=0.0).exp().tolist()  # nor does rounding exceed 1
                for n, one in enumerate(sentences):
                    others = [
                        (
                            self.labels.decode(best.tags[rank, : len(one), n].tolist()),
                            shares[rank][n],
                        )
                        for rank in range(1, nbest)
                        if shares[rank][n] > 0
                    ]
                    taggings[n] = taggings[n]._replace(others=others, probability=shares[0][n])
            if confidence:
                taggings = self._with_confidence(taggings, emissions, lengths, threshold)
            return taggings
        finally:
            self.model.train(was)

    def inputs(self, sentences: Sequence[Sequence[str]]) -> Inputs:
        """Sentences as the model reads them, on its device."""
        device = next(self.model.parameters()).device
        made = make_inputs(self.features, sentences, self.language_model)
        return Inputs(*(part.to(device) for part in made))

    def _biased(self, emissions: Tensor) -> Tensor:
        if self.span_bias == 0 or self.labels.scheme == "plain":
            return emissions
        # once for each span, however long: taken from O, it would be worth more to longer ones
        first = [number for name, number in self.labels.numbers.items() if name[0] in "BS"]
        bias = emissions.new_zeros(emissions.shape[2])
        bias[first] = self.span_bias
        return emissions + bias

    def _with_confidence(
        self, taggings: list[Tagging], emissions: Tensor, lengths: Tensor, threshold: float
    ) -> list[Tagging]:
        """Taggings with the probability of every part; spans below the threshold left out."""
        marginals = self.model.field.marginals(emissions, lengths)
        rows = marginals.cpu()
        known = self.labels.numbers
        spans: list[tuple[int, Span]] = []
        found = []
        for n, one in enumerate(taggings):
            chosen = torch.tensor(
                self.labels.encode(one.tags), dtype=torch.int64, device="cpu"
            ).unsqueeze(1)
            own = rows[: len(one.tags), n].gather(1, chosen).squeeze(1).tolist()
            found.append(one._replace(confidence=own))
            if self.tags.scheme != "plain":
                spans += [(n, span) for span in read_spans(one.tags, self.tags.scheme)]
        kept: dict[int, list[Span]] = {n: [] for n, _ in spans}
        for (n, span), log in zip(
            spans, self._span_probabilities(spans, emissions, lengths), strict=True
        ):
            probability = math.exp(log)
            here = slice(span.start, span.end)
            if probability >= threshold:
                found[n].confidence[here] = [probability] * (span.end - span.start)
                kept[n].append(span)
            else:
                outside = rows[here, n, known[OUTSIDE]].tolist()
                found[n].confidence[here] = outside
        for n, some in kept.items():
            tags = write_tags(some, len(found[n].tags), self.tags.scheme)
            found[n] = found[n]._replace(tags=tags)
        return found

    def _span_probabilities(
        self, spans: Sequence[tuple[int, Span]], emissions: Tensor, lengths: Tensor
    ) -> list[float]:
        """Log-probability of each span: its tags at its tokens."""
        if not spans:
            return []
        longest = max(span.end - span.start for _, span in spans)
        tags = torch.zeros(longest, len(spans), dtype=torch.int64, device="cpu")
        for place, (_, span) in enumerate(spans):
            numbers = self.labels.span(span.label, span.end - span.start)
            tags[: len(numbers), place] = torch.tensor(numbers, dtype=torch.int64, device="cpu")
        # the rules let nothing follow that would continue it
        after = torch.ones(len(spans), len(self.labels), dtype=torch.bool, device="cpu")
        places = [(n, span.start, span.end - span.start) for n, span in spans]
        row, first, counts = torch.tensor(places, dtype=torch.int64, device="cpu").unbind(1)
        paths = Paths(*(one.to(emissions.device) for one in (row, first, tags, counts, after)))
        found: list[float] = self.model.field.path_probability(emissions, lengths, paths).tolist()
        return found


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Numbers of sentences in batches of similar length and a bounded number of tokens."""
    order = sorted(range(len(lengths)), key=lambda number: lengths[number])
    batch: list[int] = []
    for number in order:
        if batch and (len(batch) + 1) * lengths[number] > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch
