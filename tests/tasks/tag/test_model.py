"""The network: padding, batch neighbours, every choice of layers, what is drawn in training."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from unrolled.tasks.tag.features import Features, FeatureSizes
from unrolled.tasks.tag.model import LockedDropout, SparseScores, Tagger, make_inputs
from unrolled.tasks.tag.options import ModelOptions
from unrolled.tasks.tag.schemes import transitions

TAGS = ("O", "B-X", "I-X")
SENTENCES = [("Ann", "met", "Bob", "again"), ("Bob",), ("met", "Ann")]


def tagger(**options: Any) -> tuple[Tagger, Features]:
    sizes = FeatureSizes(
        affixes=2, ngrams=options.pop("ngrams", 1), sparse=options.pop("sparse", None)
    )
    features = Features.count(SENTENCES * 2, sizes)
    torch.manual_seed(0)
    model = Tagger(
        ModelOptions(hidden_size=8, word_size=6, affix_size=3, **options),
        features,
        transitions(TAGS, "iob2"),
    )
    return model, features


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"character_layer": "lstm"},
        {"cell": "gru", "num_layers": 2},
        {"cell": "slstm", "bidirectional": False},
        {"shape_size": 0, "ngrams": 3},
        {"sparse": "word"},
        {"sparse": "character"},
    ],
    ids=str,
)
def test_a_sentence_does_not_depend_on_its_neighbours(options: dict[str, Any]) -> None:
    model, features = tagger(**options)
    model.eval()
    if model.sparse is not None:
        torch.nn.init.normal_(model.sparse.scores.weight[1:])  # scores begin at zero
    together = model(make_inputs(features, SENTENCES))
    for n, sentence in enumerate(SENTENCES):
        alone = model(make_inputs(features, [sentence]))
        torch.testing.assert_close(together[: len(sentence), n], alone[:, 0])


@pytest.mark.parametrize("output", ["crf", "softmax"])
def test_the_loss_is_the_negative_log_likelihood(output: str) -> None:
    model, features = tagger(output=output)
    model.eval()
    inputs = make_inputs(features, SENTENCES)
    tags = torch.tensor([[1, 0, 0], [0, 0, 1], [1, 0, 0], [0, 0, 0]])
    losses = model(inputs, tags)
    emissions = model(inputs)
    if output == "crf":
        expected = model.field.loss(emissions, tags, inputs.lengths)
    else:
        logs = emissions.log_softmax(2).gather(2, tags.unsqueeze(2)).squeeze(2)
        inside = torch.arange(4).unsqueeze(1) < inputs.lengths
        expected = -(logs * inside).sum(0)
    torch.testing.assert_close(losses, expected)
    losses.sum().backward()
    unused = [name for name, p in model.named_parameters() if p.grad is None]
    assert unused == []


def test_words_are_dropped_while_training_only() -> None:
    model, _ = tagger(word_dropout=0.5)
    numbers = torch.ones(1000, dtype=torch.int64)
    assert 400 < int((model._unknown(numbers) == 0).sum()) < 600
    model.eval()
    assert torch.equal(model._unknown(numbers), numbers)


def test_locked_dropout_drops_the_same_features_at_every_step() -> None:
    dropout = LockedDropout(0.5)
    found: Tensor = dropout(torch.ones(5, 3, 40))
    assert torch.equal(found, found[:1].expand_as(found))
    assert not torch.equal(found[:, 0], found[:, 1])


def test_scores_of_handmade_features_are_added_to_those_of_the_layers() -> None:
    model, features = tagger(sparse="word")
    model.eval()
    inputs = make_inputs(features, SENTENCES)
    before = model(inputs)
    assert model.sparse is not None
    number = features.sparse["w=bob"]
    with torch.no_grad():
        model.sparse.scores.weight[number] = torch.tensor([1.0, 2.0, 3.0])
    change = model(inputs) - before
    torch.testing.assert_close(change[2, 0], torch.tensor([1.0, 2.0, 3.0]))
    assert change[1, 0].tolist() == [0, 0, 0]
    assert change[1:, 1].abs().sum() == 0  # the padding after "Bob"


def test_handmade_features_are_dropped_while_training_only() -> None:
    scores = SparseScores(2, 1, 0.25)
    torch.nn.init.ones_(scores.scores.weight)
    rows = torch.ones(100, 10, 40, dtype=torch.int64)
    found = scores(rows)
    assert found.unique().numel() > 5  # each token has its own draws
    torch.testing.assert_close(found.mean(), torch.tensor(40.0), rtol=0.02, atol=0)
    assert bool((scores.eval()(rows) == 40).all())


def test_vectors_of_a_file_are_neither_trained_nor_kept_with_the_weights() -> None:
    features = Features.count(SENTENCES, FeatureSizes(affixes=0))
    features.vectors = {"bob": 1}
    rows = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    model = Tagger(
        ModelOptions(hidden_size=4, word_size=6),
        features,
        transitions(TAGS, "iob2"),
        vectors=rows,
    ).eval()
    x = model.embed(make_inputs(features, [("Bob", "met")]))
    width = 6 + 16
    assert x[0, 0, width : width + 2].tolist() == [3, 4]  # in lower case
    assert x[1, 0, width : width + 2].tolist() == [0, 0]
    assert not any("vectors" in name for name in model.state_dict())


def test_no_sentence_and_no_token() -> None:
    model, features = tagger(sparse="word")
    model.eval()
    assert model(make_inputs(features, [])).shape == (0, 0, 3)
    assert model(make_inputs(features, [(), ()])).shape == (0, 2, 3)
