"""Dynamic evaluation and the cache: what learns from a text while it is read."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from unrolled.errors import UserError
from unrolled.tasks import load, train
from unrolled.tasks.text.cache import Cached
from unrolled.tasks.text.dynamic import Dynamic, typical_gradients
from unrolled.tasks.text.model import TextModel
from unrolled.tasks.text.options import ModelOptions, ScoringOptions
from unrolled.tasks.text.predictor import TextPredictor, evaluate
from unrolled.tasks.text.score import predictions, score

V = 11


def make(**more: Any) -> TextModel:
    torch.manual_seed(0)
    options = ModelOptions(hidden_size=9, embedding_size=4, **more)
    return TextModel(options, V).eval()


def some(length: int, seed: int = 0) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    return np.random.default_rng(seed).integers(1, V, length).astype(np.uint8)


def repeating(period: int, times: int) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    return np.tile(some(period, 5), times)


def dynamic(model: TextModel, rate: float, decay: float = 0.02, steps: int = 20) -> Dynamic:
    return Dynamic(model, rate, decay, typical_gradients(model, some(2000, 3), steps))


# The cache ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "weight", "flatness"), [(7, 0.3, 0.5), (100, 0.2, 2.0), (1, 0.5, 0)]
)
def test_the_cache_is_that_of_the_paper(size: int, weight: float, flatness: float) -> None:
    """Every probability written out, over several chunks."""
    model, tokens = make(), some(150)
    both = torch.from_numpy(tokens.astype(np.int64)).unsqueeze(1)
    with torch.no_grad():
        nats, y, _ = model.read(both[:-1], both[1:])
        cached = Cached(model, size, weight, flatness)
        found, state = [], None
        for start, end in [(0, 1), (1, 80), (80, 149)]:
            part, state = cached.nats(both[start:end], both[start + 1 : end + 1], state)
            found.append(part[:, 0])
    h = y[:, 0].double()
    for t, value in enumerate(torch.cat(found).tolist()):
        p = math.exp(-nats[t, 0])
        entries = range(max(0, t - size), t)
        if entries:
            shares = [math.exp(flatness * float(h[t] @ h[i])) for i in entries]
            right = sum(
                s for s, i in zip(shares, entries, strict=True) if tokens[i + 1] == tokens[t + 1]
            )
            p = (1 - weight) * p + weight * right / sum(shares)
        assert value == pytest.approx(-math.log(p), rel=1e-4)


@pytest.mark.parametrize("streams", [1, 5])
def test_a_cache_of_no_weight_changes_nothing(streams: int) -> None:
    model, tokens = make(cell="lstm"), some(3000)
    plain = predictions(model, tokens, streams=streams, warm_up=50)
    cached = predictions(Cached(model, 30, 0.0, 1.0), tokens, streams=streams, warm_up=50)
    for (starts, nats), (same, found) in zip(plain, cached, strict=True):
        assert starts == same
        assert nats.tobytes() == found.tobytes()


def test_a_cache_helps_where_a_text_repeats_itself() -> None:
    model = make()
    cached = Cached(model, 200, 0.5, 5.0)
    assert score(cached, repeating(80, 20)).nats < score(model, repeating(80, 20)).nats - 0.1
    # Cut in streams, which read their context into the cache, it is nearly the same.
    whole, cut = (score(cached, repeating(80, 60), streams=n, warm_up=300).nats for n in (1, 3))
    assert cut == pytest.approx(whole, rel=0.02)


# Dynamic evaluation -------------------------------------------------------------------------------


def test_a_step_is_that_of_the_paper() -> None:
    model, rate, decay = make(), 0.01, 0.1
    tokens = some(41)
    both = torch.from_numpy(tokens.astype(np.int64)).unsqueeze(1)
    usual = typical_gradients(model, some(2000, 3), 20)
    learner = Dynamic(model, rate, decay, usual)
    expected = make()
    weights = list(expected.parameters())
    mean = torch.cat([r.flatten() for r in usual]).mean()
    state = None
    for start in (0, 20):
        given, targets = both[start : start + 20], both[start + 1 : start + 21]
        nats, after = expected.nats(given, targets, state)
        found, _ = learner.nats(given, targets, state)
        torch.testing.assert_close(found, nats)  # before it learns from them
        state = tuple(part.detach() for part in after)
        for weight, r, g, trained in zip(
            weights,
            usual,
            torch.autograd.grad(nats.mean(), weights),
            make().parameters(),
            strict=True,
        ):
            with torch.no_grad():
                weight.sub_(rate * g / (r + 1e-3))
                weight.add_((decay * r / mean).clamp(max=1) * (trained - weight))
        for weight, found in zip(weights, learner.parameters(), strict=True):
            torch.testing.assert_close(found, weight)


def test_a_rate_that_is_too_high_is_told_in_one_line() -> None:
    with pytest.raises(UserError, match=r"--dynamic 1: the model ran away .* a lower rate"):
        score(dynamic(make(cell="lstm", tied=True), 1.0), some(1000), chunk=20)


def test_typical_gradients_are_root_mean_squares_over_chunks() -> None:
    model, tokens = make(), some(64)
    usual = typical_gradients(model, tokens, 63)
    both = torch.from_numpy(tokens.astype(np.int64)).unsqueeze(1)
    loss = functional.cross_entropy(model(both[:-1])[0][:, 0], both[1:, 0])
    for found, g in zip(usual, torch.autograd.grad(loss, [*model.parameters()]), strict=True):
        torch.testing.assert_close(found, g.abs())


def test_a_rate_of_zero_changes_nothing() -> None:
    model, tokens = make(), some(500)
    plain = score(model, tokens, chunk=20)
    assert score(dynamic(model, 0.0), tokens, chunk=20).total == pytest.approx(
        plain.total, rel=1e-6
    )


def test_dynamic_evaluation_helps_where_a_text_repeats_itself_and_leaves_the_model_alone() -> None:
    model = make()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    text = repeating(10, 200)
    plain = score(model, text).nats
    assert score(dynamic(model, 0.01), text, chunk=20).nats < 0.9 * plain
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, before[name])
    assert all(weight.grad is None for weight in model.parameters())
    assert score(model, text).nats == plain


def test_every_token_is_predicted_before_it_is_learned_from() -> None:
    """Nats do not depend on what comes later, not even within a chunk."""
    model, text = make(), some(100)
    other = text.copy()
    other[71:] = some(29, 9)

    def nats(tokens: Any) -> Any:
        learner = Cached(dynamic(model, 0.01), 30, 0.3, 1.0)
        return np.concatenate([b.nats for b in predictions(learner, tokens, chunk=20)])[:, 0]

    np.testing.assert_array_equal(nats(text)[:70], nats(other)[:70])
    assert (nats(text)[70:] != nats(other)[70:]).any()


@pytest.mark.parametrize("more", [{"tied": True}, {"locked_dropout": True, "num_layers": 2}])
def test_it_learns_whatever_the_model_is(more: dict[str, Any]) -> None:
    model, text = make(cell="lstm", **more), repeating(10, 100)
    learner = Cached(dynamic(model, 0.0003), 20, 0.1, 0.3)
    assert score(learner, text, chunk=20).nats < score(model, text).nats


# From the run -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TextPredictor:
    from tests.tasks.conftest import write_prose

    folder = tmp_path_factory.mktemp("adaptation")
    sizes: dict[str, Any] = {
        "hidden_size": 24,
        "embedding_size": 8,
        "seq_len": 16,
        "batch_size": 8,
        "lr": 1e-2,
    }
    prose = write_prose(folder / "prose.txt")
    trained: TextPredictor = train(
        "text", prose, out=folder / "run", quiet=True, max_epochs=2, threads=1, **sizes
    )
    return trained


def test_a_run_learns_from_another_text(run: TextPredictor, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("cell before the remembers; " * 100, encoding="utf-8")
    plain = run.evaluate(other)
    learned = run.evaluate(other, dynamic=0.002)
    remembered = run.evaluate(other, cache=200, cache_weight=0.5, cache_flatness=1.0)
    both = run.evaluate(other, dynamic=0.002, cache=200, cache_weight=0.5, cache_flatness=1.0)
    assert max(learned.nats, remembered.nats) < plain.nats
    assert both.nats < min(learned.nats, remembered.nats)
    assert run.evaluate(other).nats == plain.nats


def test_an_evaluation_says_that_the_text_was_learned_from(
    run: TextPredictor, tmp_path: Path
) -> None:
    other = tmp_path / "other.txt"
    other.write_text("the cell remembers\n" * 20, encoding="utf-8")
    assert len(evaluate(run, [str(other)], ScoringOptions(baseline=False)).notes) == 1
    told = " ".join(evaluate(run, [str(other)], ScoringOptions(dynamic=0.001, cache=9)).notes)
    assert "learned from every 20 tokens" in told
    assert "cache of the last 9 tokens" in told


def test_wrong_choices(run: TextPredictor, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--streams: --dynamic .* expected 1, got 3"):
        run.evaluate(tmp_path / "x", dynamic=0.1, streams=3)
    with pytest.raises(UserError, match="--cache-weight"):
        run.evaluate(tmp_path / "x", cache_weight=1.0)


def test_dynamic_evaluation_needs_the_training_text(run: TextPredictor, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("the cell", encoding="utf-8")
    text = run.folder.cache / "train.npy"
    text.rename(tmp_path / "train.npy")
    try:
        again = load(run.folder.path)
        assert math.isfinite(again.evaluate(other).nats)
        with pytest.raises(UserError, match=r"train\.npy"):
            again.evaluate(other, dynamic=0.1)
    finally:
        (tmp_path / "train.npy").rename(text)
