"""Read-outs and regularisers of the text task's model."""

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from unrolled.errors import UserError
from unrolled.tasks import load, resume, train
from unrolled.tasks.dropout import Dropout
from unrolled.tasks.text.locked import LockedDropout, LockedLayers
from unrolled.tasks.text.model import TextModel
from unrolled.tasks.text.options import ModelOptions
from unrolled.tasks.text.tokens import Characters

from .small import SMALL as TRAINING

V = 40
SMALL = ModelOptions(hidden_size=20, embedding_size=6, dropout=0.0)
READOUTS = {
    "softmax": SMALL,
    "tied": replace(SMALL, tied=True),
    "tied, of one size": replace(SMALL, tied=True, embedding_size=20),
    "adaptive": replace(SMALL, adaptive_softmax=True),
    "adaptive, own clusters": replace(SMALL, adaptive_softmax=True, adaptive_cutoffs=(7,)),
}


def make(options: ModelOptions, seed: int = 0) -> TextModel:
    torch.manual_seed(seed)
    return TextModel(options, V)


def some(steps: int = 9, rows: int = 3) -> tuple[Tensor, Tensor]:
    both = torch.randint(0, V, (2, steps, rows), generator=torch.Generator().manual_seed(1))
    return both[0], both[1]


@pytest.mark.parametrize("options", READOUTS.values(), ids=READOUTS)
def test_nats_and_loss_are_those_of_the_logits(options: ModelOptions) -> None:
    """Where only the target's probability is computed, it is that of the whole distribution."""
    model = make(options).eval()
    tokens, targets = some()
    logits, after = model(tokens)
    nats, same = model.nats(tokens, targets)
    expected = functional.cross_entropy(logits.movedim(-1, 1), targets, reduction="none")
    torch.testing.assert_close(nats, expected)
    torch.testing.assert_close(model(tokens, None, targets)[0], expected.mean())
    torch.testing.assert_close(after, same)
    assert logits.shape == (9, 3, V)
    one, _ = model.nats(tokens[:1, :1], targets[:1, :1])
    torch.testing.assert_close(one, nats[:1, :1])


@pytest.mark.parametrize("options", READOUTS.values(), ids=READOUTS)
def test_a_copy_of_a_model_shares_nothing_with_it(options: ModelOptions) -> None:
    model = make(options).eval()
    tokens, targets = some()
    before = model.nats(tokens, targets)[0]
    other = copy.deepcopy(model)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    torch.testing.assert_close(other.nats(tokens, targets)[0], before)
    assert {*map(id, model.parameters())}.isdisjoint(map(id, other.parameters()))


def test_tied_weights_are_one_parameter_that_both_ends_train() -> None:
    model = make(READOUTS["tied"])
    assert {name for name in model.state_dict() if "read" in name or "emb" in name} == {
        "embedding.weight",
        "readout.map.weight",
        "readout.bias",
    }
    tokens, targets = some()
    model.loss(tokens.clamp(max=9), targets.clamp(max=9))[0].backward()  # type: ignore[no-untyped-call]
    gradient = model.embedding.weight.grad
    assert gradient is not None
    assert gradient[10:].abs().sum() > 0  # never read, only read out


def test_adaptive_softmax_has_less_weights() -> None:
    plain, adaptive = (make(READOUTS[name]).readout for name in ("softmax", "adaptive"))
    assert sum(p.numel() for p in adaptive.parameters()) < sum(
        p.numel() for p in plain.parameters()
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"adaptive_cutoffs": (9, 9)}, r"rising numbers from 1 to less than .* 40, got 9, 9"),
        ({"adaptive_cutoffs": (0, 9)}, r"rising numbers .* got 0, 9"),
        ({"adaptive_cutoffs": (40,)}, r"rising numbers .* got 40"),
        ({"hidden_size": 15}, "2 clusters of rare tokens need an output of 16 units .* got 15"),
    ],
)
def test_clusters_that_do_not_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(replace(READOUTS["adaptive"], **settings))


def test_a_small_vocabulary_has_no_clusters() -> None:
    with pytest.raises(UserError, match="at least 15 different tokens, got 14"):
        TextModel(READOUTS["adaptive"], 14)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tied": True, "adaptive_softmax": True}, "--tied and --adaptive-softmax"),
        ({"adaptive_cutoffs": (3,)}, "--adaptive-cutoffs: only with --adaptive-softmax"),
        ({"word_dropout": 1.0}, "--word-dropout"),
        ({"change_penalty": -1.0}, "--change-penalty"),
    ],
)
def test_options_that_do_not_go_together(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        replace(SMALL, **settings)


# Regularisers -------------------------------------------------------------------------------------


def test_locked_dropout_drops_the_same_at_every_step() -> None:
    torch.manual_seed(0)
    x = torch.ones(50, 30, 40)
    found = LockedDropout(0.25)(x)
    assert (found == found[:1]).all()
    assert found[0].unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert (found[0] == 0).float().mean().item() == pytest.approx(0.25, abs=0.04)
    assert not (found[0, 0] == found[0, 1]).all()  # each row has its own
    assert LockedDropout(0.25).eval()(x) is x


@pytest.mark.parametrize("cell", ["lstm", "gru", "slstm"])
def test_locked_layers_are_the_layers(cell: str) -> None:
    """Without dropout, layers apart are the same layers together, states included."""
    options = replace(SMALL, cell=cell, num_layers=3, locked_dropout=True)
    locked, usual = make(options).eval(), make(replace(options, locked_dropout=False)).eval()
    assert isinstance(locked.recurrent, LockedLayers)
    with torch.no_grad():
        for mine, theirs in zip(locked.parameters(), usual.parameters(), strict=True):
            mine.copy_(theirs)
    tokens, targets = some()
    found, expected = (model.nats(tokens, targets) for model in (locked, usual))
    torch.testing.assert_close(found, expected)
    again = (
        model.nats(tokens, targets, model.nats(tokens, targets)[1]) for model in (locked, usual)
    )
    torch.testing.assert_close(*again)


def test_locked_dropout_is_everywhere() -> None:
    model = make(
        replace(SMALL, num_layers=2, dropout=0.5, embedding_dropout=0.5, locked_dropout=True)
    )
    masks = [module for module in model.modules() if isinstance(module, Dropout) and module.p]
    assert [type(one) for one in masks] == [LockedDropout] * 3  # before, between, after
    tokens, targets = some()
    assert model.nats(tokens, targets)[0].ne(model.eval().nats(tokens, targets)[0]).any()


def test_word_dropout_drops_a_token_wherever_it_stands() -> None:
    model = make(replace(SMALL, word_dropout=0.5))
    seen: list[Tensor] = []
    model.recurrent.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    tokens = torch.arange(V).repeat(4, 2).T
    model.logits(tokens)
    dropped = (seen[0] == 0).all(-1)
    assert 0.2 < dropped.float().mean() < 0.8
    assert (dropped == dropped[:, :1]).all()
    torch.testing.assert_close(seen[0], 2 * model.embedding(tokens) * ~dropped.unsqueeze(-1))
    model.eval().logits(tokens)
    torch.testing.assert_close(seen[1], model.embedding(tokens))


def test_penalties_are_in_the_gradient_and_not_in_the_loss() -> None:
    alpha, beta = 2.0, 3.0
    plain = make(SMALL)
    penalised = make(replace(SMALL, activation_penalty=alpha, change_penalty=beta))
    tokens, targets = some()
    values, gradients = [], []
    for model in (plain, penalised):
        value, _ = model(tokens, None, targets)
        values.append(value.detach())
        gradients.append(torch.autograd.grad(value, [*model.recurrent.parameters()]))
    assert torch.equal(*values)
    nats, y, _ = plain.read(tokens, targets)
    whole = nats.mean() + alpha * (y**2).mean() + beta * ((y[1:] - y[:-1]) ** 2).mean()
    expected = torch.autograd.grad(whole, [*plain.recurrent.parameters()])
    torch.testing.assert_close(gradients[1], expected)
    assert any(not torch.allclose(a, b) for a, b in zip(*gradients, strict=True))
    one, _ = penalised(tokens[:1], None, targets[:1])  # no change in a single step
    assert one.isfinite()


# Training -----------------------------------------------------------------------------------------

AWD: dict[str, Any] = {
    "cell": "lstm",
    "num_layers": 2,
    "tied": True,
    "weight_drop": 0.2,
    "locked_dropout": True,
    "dropout": 0.1,
    "embedding_dropout": 0.1,
    "word_dropout": 0.05,
    "activation_penalty": 0.1,
    "change_penalty": 0.1,
    "ema": 0.9,
}


def test_a_model_with_all_of_it_trains_and_is_loaded_again(prose: Path, tmp_path: Path) -> None:
    run = train("text", prose, out=tmp_path / "r", quiet=True, max_epochs=6, **(TRAINING | AWD))
    score = run.evaluate(prose)
    assert score.nats < 0.8 * math.log(len(run.vocabulary))
    again = resume(tmp_path / "r", max_epochs=7, quiet=True)
    assert load(tmp_path / "r").generate("the", length=9) == again.generate("the", length=9)


def test_adaptive_softmax_needs_tokens_in_order_of_frequency(
    prose: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TRAINING | {"adaptive_softmax": True, "max_epochs": 4}
    with pytest.raises(UserError, match=r"--adaptive-softmax: .* characters"):
        train("text", prose, out=tmp_path / "r", quiet=True, **settings)
    assert not (tmp_path / "r").exists()
    monkeypatch.setattr(Characters, "by_frequency", True)
    run = train("text", prose, out=tmp_path / "r", quiet=True, **settings)
    assert run.evaluate(prose).nats < 0.8 * math.log(len(run.vocabulary))
    assert load(tmp_path / "r").generate("the", length=9) == run.generate("the", length=9)
