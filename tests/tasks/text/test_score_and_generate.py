import math
from itertools import islice

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from unrolled.errors import UserError
from unrolled.tasks.text.generate import draw, generate
from unrolled.tasks.text.model import TextModel
from unrolled.tasks.text.options import ModelOptions
from unrolled.tasks.text.score import Block, default_streams, predictions, score, score_of
from unrolled.tasks.text.tokens import Characters

CELLS = [
    ModelOptions(cell="lstm", hidden_size=9, num_layers=2, embedding_size=4),
    ModelOptions(cell="gru", hidden_size=9, num_layers=1, embedding_size=4),
    ModelOptions(cell="gru", hidden_size=9, num_layers=2, embedding_size=4, reset_after=False),
    ModelOptions(cell="rnn", hidden_size=9, num_layers=1, embedding_size=4, nonlinearity="relu"),
    ModelOptions(cell="rnn", hidden_size=9, num_layers=1, embedding_size=4, nonlinearity="sigmoid"),
]
IDS = ["lstm", "gru", "gru-original", "rnn-relu", "rnn-sigmoid"]


def make(options: ModelOptions, vocabulary_size: int = 11) -> TextModel:
    torch.manual_seed(0)
    return TextModel(options, vocabulary_size).eval()


class OneStep(torch.nn.Module):
    """A model that remembers one token."""

    def nats(
        self, tokens: Tensor, targets: Tensor, state: tuple[Tensor, ...] | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        before = torch.zeros(1, tokens.shape[1]) if state is None else state[0]
        previous = torch.cat([before, tokens.float()])[:-1]
        logits = torch.stack([previous, tokens.float(), previous * tokens], dim=1) / 10
        nats = functional.cross_entropy(logits, targets, reduction="none")
        return nats, (tokens[-1:].float(),)


@pytest.mark.parametrize("options", CELLS, ids=IDS)
def test_one_stream_is_the_whole_text_at_once(options: ModelOptions) -> None:
    model = make(options)
    tokens = np.random.default_rng(0).integers(1, 11, 2500).astype(np.uint8)
    with torch.no_grad():
        logits, _ = model(torch.from_numpy(tokens[:-1].astype(np.int64)).unsqueeze(1))
    expected = functional.cross_entropy(logits[:, 0], torch.from_numpy(tokens[1:].astype(np.int64)))
    result = score(model, tokens)
    assert result.nats == pytest.approx(expected.item(), rel=1e-5)
    assert result.bits == pytest.approx(result.nats / math.log(2))
    assert result.nats_per_token == result.nats  # a token is a character
    assert (result.characters, result.tokens) == (2499, 2499)
    assert (result.unknown, result.streams) == (0, 1)


@pytest.mark.parametrize("streams", [2, 3, 7, 64, 10_000])
def test_several_streams_count_each_character_once_in_context(streams: int) -> None:
    """With warm-up, every number of streams gives a model of short memory the same sum."""
    tokens = np.random.default_rng(0).integers(0, 3, 300).astype(np.uint8)
    exact = score(OneStep(), tokens)
    several = score(OneStep(), tokens, streams=streams, warm_up=4)
    assert several.tokens == exact.tokens
    assert several.nats == pytest.approx(exact.nats, rel=1e-6)
    cold = score(OneStep(), tokens, streams=64, warm_up=0)
    assert cold.nats != pytest.approx(exact.nats, rel=1e-6)


@pytest.mark.parametrize("streams", [1, 3, 64])
def test_blocks_say_where_in_the_text_their_tokens_are(streams: int) -> None:
    tokens = np.random.default_rng(0).integers(0, 3, 3000).astype(np.uint8)
    (_, exact), *rest = predictions(OneStep(), tokens[:1000])
    assert not rest
    found = np.full(3000, np.nan)
    for starts, nats in predictions(OneStep(), tokens, streams=streams, warm_up=4):
        for start, column in zip(starts, nats.T, strict=True):
            assert np.isnan(found[start : start + len(column)]).all()  # none is told twice
            found[start : start + len(column)] = column
    assert np.isnan(found[0])  # nothing precedes it
    assert np.isfinite(found[1:]).all()
    np.testing.assert_allclose(found[1:1000], exact[:, 0], rtol=1e-5)


def test_a_mixture_is_scored_from_the_nats_of_each_block() -> None:
    tokens = np.random.default_rng(0).integers(0, 3, 300).astype(np.uint8)
    blocks = predictions(OneStep(), tokens, streams=7)
    uniform = (Block(b.starts, np.full_like(b.nats, math.log(3))) for b in blocks)
    result = score_of(uniform, tokens, streams=7, characters=598)
    assert (result.tokens, result.characters, result.streams) == (299, 598, 7)
    assert result.perplexity == pytest.approx(3)
    assert result.nats == pytest.approx(math.log(3) / 2)


def test_default_streams() -> None:
    assert default_streams(2) == 1
    assert default_streams(1_000_001) == 1
    assert default_streams(1_000_002) == 2


@pytest.mark.parametrize("options", CELLS, ids=IDS)
def test_writing_is_reproducible_and_greedy_at_zero(options: ModelOptions) -> None:
    vocabulary = Characters("\nabcdefghi")
    model = make(options)

    def write(temperature: float, seed: int = 0, top_k: int = 0) -> str:
        return "".join(
            generate(
                model,
                vocabulary,
                "abc",
                length=40,
                temperature=temperature,
                seed=seed,
                top_k=top_k,
            )
        )

    assert write(1.0) == write(1.0)
    assert write(1.0) != write(1.0, seed=1)
    assert write(0.0) == write(0.0, seed=1) == write(1.0, top_k=1) == write(1e-6)
    # Step by step with a carried state is the same as reading everything again for each character.
    text = "abc"
    for _ in range(10):
        with torch.no_grad():
            logits, _ = model(torch.tensor(vocabulary.encode(text).astype("int64")).unsqueeze(1))
        text += vocabulary.decode(draw(logits[-1, 0], 0.0, 0, torch.Generator()))
    assert text[3:] == write(0.0)[:10]


def test_the_unknown_is_never_written_and_top_k_holds() -> None:
    random = torch.Generator().manual_seed(0)
    logits = torch.tensor([100.0, 3.0, 2.0, 1.0])
    drawn = {draw(logits.clone(), 1.0, 0, random) for _ in range(200)}
    assert drawn == {1, 2, 3}
    assert {draw(logits.clone(), 1.0, 2, random) for _ in range(200)} == {1, 2}
    assert draw(logits.clone(), 0.0, 0, random) == 1


def test_it_writes_as_it_goes_and_leaves_no_mode_on() -> None:
    characters = generate(make(CELLS[0]), Characters("\nabcdefghi"), "", length=10**9)
    assert len(list(islice(characters, 3))) == 3
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": -1}, "--length"),
        ({"temperature": -0.1}, "--temperature"),
        ({"temperature": math.nan}, "--temperature"),
        ({"top_k": -1}, "--top-k"),
        ({"seed": -1}, "--seed"),
    ],
)
def test_wrong_numbers(settings: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        generate(make(CELLS[0]), Characters("a"), "a", **({"length": 3} | settings))  # type: ignore[arg-type]


def test_unseen_characters_are_named() -> None:
    with pytest.raises(UserError, match=r"never seen 'X' \(U\+0058\) '한' \(U\+D55C\);"):
        generate(make(CELLS[0]), Characters("abc"), "aXb한X", length=3)
