"""A row's logits and gradients are those of the sequence alone, whatever pads the batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from unrolled.errors import UserError
from unrolled.tasks.classify.model import Ngrams, Pooling, SequenceClassifier, build_model
from unrolled.tasks.classify.options import ModelOptions

POOLINGS = ["last", "mean", "max", "concat", "attention"]
LENGTHS = (7, 4, 1)


def model(pooling: Any = "concat", *, text: bool = False, **more: Any) -> SequenceClassifier:
    torch.manual_seed(0)
    options = ModelOptions(
        hidden_size=5, embedding_size=4, pooling=pooling, **({"convolution": 3} | more)
    )
    made = build_model(options, 3, tokens=9) if text else build_model(options, 3, channels=2)
    return made.eval()


def gradients(network: SequenceClassifier, logits: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(logits.square().sum(), list(network.parameters())))


@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_each_row_is_the_sequence_alone(pooling: str, bidirectional: bool) -> None:
    network = model(pooling, bidirectional=bidirectional)
    x = torch.randn(7, 3, 2)
    lengths = torch.tensor(LENGTHS)
    together = network(x, lengths)
    rows = [
        network(x[:length, row : row + 1], lengths[row : row + 1])
        for row, length in enumerate(LENGTHS)
    ]
    alone = torch.cat(rows)
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
    for one, other in zip(gradients(network, together), gradients(network, alone), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("input_size", [0, 3])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_what_pads_a_series_has_no_effect(pooling: str, input_size: int) -> None:
    network = model(pooling, input_size=input_size)
    x = torch.randn(7, 3, 2)
    lengths = torch.tensor(LENGTHS)
    after = torch.arange(7)[:, None] >= lengths
    spoilt = x.masked_fill(after[..., None], float("nan"))
    clean, dirty = network(x, lengths), network(spoilt, lengths)
    assert torch.equal(clean, dirty)
    for one, other in zip(gradients(network, clean), gradients(network, dirty), strict=True):
        assert torch.equal(one, other)


def test_what_pads_a_text_has_no_effect() -> None:
    network = model(text=True)
    tokens = torch.randint(0, 9, (7, 3))
    lengths = torch.tensor(LENGTHS)
    after = torch.arange(7)[:, None] >= lengths
    spoilt = tokens.masked_fill(after, 10**9)  # outside the vocabulary
    assert torch.equal(network(tokens, lengths), network(spoilt, lengths))


@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_by_hand(pooling: str, length: int) -> None:
    pool = Pooling(pooling, 4, bidirectional=True)
    outputs, lengths = torch.randn(5, 2, 4), torch.tensor([5, length])
    there = torch.arange(5)[:, None] < lengths
    outputs = outputs * there[..., None]
    own = outputs[:length, 1]
    last = torch.cat([own[-1, :2], own[0, 2:]])
    if pooling == "attention":
        assert pool.score is not None
        weights = pool.score(own).softmax(0)
        expected = (weights * own).sum(0)
    else:
        parts = {"last": last, "mean": own.mean(0), "max": own.amax(0)}
        parts["concat"] = torch.cat(list(parts.values()))
        expected = parts[pooling]
    torch.testing.assert_close(pool(outputs, lengths, there)[1], expected)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_sequence_without_steps_is_finite(pooling: str) -> None:
    network = model(pooling)
    logits = network(torch.randn(3, 2, 2), torch.tensor([3, 0]))
    assert logits.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in gradients(network, logits))


def test_dropout_acts_in_training_only() -> None:
    network = model(text=True, token_dropout=0.5, embedding_dropout=0.5)
    tokens, lengths = torch.randint(0, 9, (7, 3)), torch.tensor(LENGTHS)
    assert torch.equal(network(tokens, lengths), network(tokens, lengths))
    network.train()
    assert not torch.equal(network(tokens, lengths), network(tokens, lengths))


def test_noise_acts_in_training_only() -> None:
    network = model(input_noise=0.5, dropout=0.0, embedding_dropout=0.0, token_dropout=0.0)
    x, lengths = torch.randn(7, 3, 2), torch.tensor(LENGTHS)
    assert torch.equal(network(x, lengths), network(x, lengths))
    network.train()
    assert not torch.equal(network(x, lengths), network(x, lengths))


@pytest.mark.parametrize("cell", ["lstm", "rnn", "slstm", "mingru"])
def test_any_cell(cell: str) -> None:
    network = model(cell=cell)
    assert network(torch.randn(7, 3, 2), torch.tensor(LENGTHS)).shape == (3, 3)


def test_a_model_that_memory_cannot_hold_is_refused_at_once() -> None:
    options = ModelOptions(hidden_size=65536, num_layers=1000)
    with pytest.raises(UserError, match="does not fit into memory"):
        build_model(options, 2, tokens=100)


def test_ngrams_are_those_that_end_at_each_step() -> None:
    """Equal n-grams have equal vectors wherever they stand; others, and another order, differ."""
    options = ModelOptions(ngrams=3, ngram_vectors=10_007, ngram_size=4)
    ngrams = Ngrams(options)
    torch.nn.init.normal_(ngrams.vectors.weight)
    tokens = torch.tensor([[5, 1], [6, 5], [7, 6], [5, 7], [6, 6], [7, 5]])
    found = ngrams(tokens)
    assert torch.equal(found[2, 0], found[5, 0])  # 5 6 7 in both places
    assert torch.equal(found[2, 0], found[3, 1])  # and in the other row
    assert not torch.equal(found[3, 1], found[5, 1])
    shorter = Ngrams(replace(options, ngrams=2))
    shorter.load_state_dict(ngrams.state_dict())
    assert torch.equal(shorter(tokens)[3, 1], shorter(tokens[2:4])[1, 1])  # 6 7 alone
    assert not torch.equal(shorter(tokens)[3, 1], found[3, 1])


def test_ngrams_of_each_row_are_of_the_sequence_alone() -> None:
    network = model(text=True, ngrams=3, ngram_vectors=101, ngram_size=3)
    assert network.ngrams is not None
    torch.nn.init.normal_(network.ngrams.vectors.weight)
    tokens = torch.randint(1, 9, (7, 3))
    lengths = torch.tensor(LENGTHS)
    spoilt = tokens.masked_fill(torch.arange(7)[:, None] >= lengths, 8)
    together = network(spoilt, lengths)
    for row, length in enumerate(LENGTHS):
        alone = network(tokens[:length, row : row + 1], lengths[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-5, atol=1e-6)


def test_new_ngrams_say_nothing() -> None:
    """Before training all their vectors are zero, so any n-grams give the same logits."""
    network = model(text=True, ngrams=4)
    assert network.ngrams is not None
    assert not bool(network.ngrams.vectors.weight.any())
