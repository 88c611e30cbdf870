"""Decoding: exact probabilities of spans, thresholds, next best tags, order, bias."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import pytest
import torch

from unrolled.tasks.tag.data import TagSet
from unrolled.tasks.tag.decoding import Decoder
from unrolled.tasks.tag.features import Features, FeatureSizes
from unrolled.tasks.tag.labels import Labels
from unrolled.tasks.tag.model import Tagger
from unrolled.tasks.tag.options import ModelOptions
from unrolled.tasks.tag.schemes import invalid_places, read_spans

SENTENCES = [("Ann", "met", "Bob"), ("Bob",), (), ("Ann", "Bob", "met", "Ann")]


def decoder(scheme: str = "iob2", span_bias: float = 0.0) -> Decoder:
    spans = scheme == "iob2"
    names = ("O", "B-P", "I-P", "B-Q", "I-Q") if spans else ("DET", "NOUN", "VERB")
    tags = TagSet(names, "iob2" if spans else "plain", "word")
    features = Features.count(SENTENCES, FeatureSizes(affixes=1))
    torch.manual_seed(1)
    rules = Labels(tags).rules
    model = Tagger(ModelOptions(hidden_size=5, word_size=4), features, rules).double()
    for parameter in model.parameters():
        parameter.data.mul_(3)
    return Decoder(model.eval(), features, tags, span_bias=span_bias)


def every_sequence(found: Decoder, sentence: tuple[str, ...]) -> dict[tuple[str, ...], float]:
    """Probability of each valid sequence of tags."""
    known = found.tags.tags
    inputs = found.inputs([sentence])
    emissions = found.model(inputs)
    scores = {}
    for tags in itertools.product(known, repeat=len(sentence)):
        if invalid_places(tags, found.tags.scheme):
            continue
        numbers = torch.tensor(found.labels.encode(tags)).unsqueeze(1)
        loss = found.model.field.loss(emissions, numbers, inputs.lengths)
        scores[tags] = math.exp(-loss.item())
    assert sum(scores.values()) == pytest.approx(1)
    return scores


@pytest.mark.parametrize("scheme", ["iob2", "plain"])
def test_confidence_is_the_probability_of_enumeration(scheme: str) -> None:
    found = decoder(scheme)
    for sentence, tagging in zip(
        SENTENCES, found.decode(SENTENCES, confidence=True, nbest=3), strict=True
    ):
        assert len(tagging.tags) == len(tagging.confidence) == len(sentence)
        if not sentence:
            continue
        every = every_sequence(found, sentence)
        ranked = sorted(every, key=lambda tags: -every[tags])[:3]
        assert [tuple(tagging.tags), *(tuple(tags) for tags, _ in tagging.others)] == ranked
        shares = [tagging.probability, *(share for _, share in tagging.others)]
        assert shares == pytest.approx([every[tags] for tags in ranked])
        spans = set() if scheme == "plain" else set(read_spans(tagging.tags, "iob2"))
        for place, tag in enumerate(tagging.tags):
            span = next((s for s in spans if s.start <= place < s.end), None)
            fits = (
                (lambda tags, place=place, tag=tag: tags[place] == tag)
                if span is None
                else (lambda tags, span=span: span in read_spans(tags, "iob2"))
            )
            share = sum(p for tags, p in every.items() if fits(tags))
            assert tagging.confidence[place] == pytest.approx(share)


def test_spans_below_the_threshold_are_left_out() -> None:
    found = decoder(span_bias=3.0)
    sure = list(found.decode(SENTENCES, confidence=True))
    values = sorted(
        tagging.confidence[span.start]
        for tagging in sure
        for span in read_spans(tagging.tags, "iob2")
    )
    assert len(values) > 2
    threshold = (values[0] + values[1]) / 2
    left = list(found.decode(SENTENCES, threshold=threshold))
    kept = sum(len(read_spans(tagging.tags, "iob2")) for tagging in left)
    assert kept == len(values) - 1


def test_bias_finds_more_spans_and_leaves_probabilities_alone() -> None:
    plain, biased = decoder(span_bias=-50.0), decoder(span_bias=50.0)
    nothing, everything = (list(one.decode(SENTENCES)) for one in (plain, biased))
    assert all(set(tagging.tags) <= {"O"} for tagging in nothing)
    assert all("O" not in tagging.tags for tagging in everything)
    every = every_sequence(biased, SENTENCES[0])
    tagging = next(biased.decode(SENTENCES[:1], nbest=2))
    assert tagging.probability == pytest.approx(every[tuple(tagging.tags)])


@pytest.mark.parametrize("bias", [0.5, 1.0, 2.0, 4.0])
def test_bias_counts_once_for_each_span_however_long(bias: float) -> None:
    biased = decoder(span_bias=bias)
    for sentence, tagging in zip(SENTENCES, biased.decode(SENTENCES), strict=True):
        every = every_sequence(biased, sentence)
        values = {
            tags: math.log(share) + bias * len(read_spans(tags, "iob2"))
            for tags, share in every.items()
        }
        assert values[tuple(tagging.tags)] == pytest.approx(max(values.values()))


def test_sentences_come_in_order_and_are_read_in_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unrolled.tasks.tag.decoding.WINDOW", 3)
    monkeypatch.setattr("unrolled.tasks.tag.decoding.BATCH_TOKENS", 4)
    found = decoder()
    read = []

    def sentences() -> Iterator[tuple[str, ...]]:
        for sentence in SENTENCES * 3:
            read.append(sentence)
            yield sentence

    taggings = found.decode(sentences())
    first = next(taggings)
    assert len(read) == 3
    alone = [next(found.decode([sentence])) for sentence in SENTENCES * 3]
    assert [first, *taggings] == alone
