"""Updates, and the same loop written out plainly: equal to the bit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.tasks.conftest import write_prose
from torch import Tensor, nn
from torch.nn import functional

import unrolled
from unrolled.tasks.text.model import build_model
from unrolled.training.loop import NotFiniteError, Updates
from unrolled.training.position import Position
from unrolled.training.task import Loss

# The loop as anyone would write it ---------------------------------------------------------------

N, T, EPOCHS, RATE, CLIP, DECAY, WARMUP, FINAL = 3, 8, 2, 0.02, 0.4, 0.3, 0.25, 0.1


def plain(model: nn.Module, tokens: np.ndarray[Any, Any]) -> tuple[int, int]:
    """Train on aligned streams; returned are the updates, and those that were clipped."""
    length = (len(tokens) - 1) // N
    inputs = torch.tensor(tokens[: N * length].astype(np.int64)).view(N, length).t()
    targets = torch.tensor(tokens[1 : N * length + 1].astype(np.int64)).view(N, length).t()

    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    matrices = [p for p in model.parameters() if p.dim() >= 2 and id(p) not in embeddings]
    others = [p for p in model.parameters() if p.dim() < 2 or id(p) in embeddings]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": DECAY},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.99), fused=True)

    starts = range(0, length, T)
    step, clipped, total = 0, 0, EPOCHS * len(starts)
    model.train()
    for _ in range(EPOCHS):
        state: tuple[Tensor, ...] | None = None
        for start in starts:
            x, y = inputs[start : start + T], targets[start : start + T]
            logits, state = model(x, state)
            state = tuple(part.detach() for part in state)
            loss = functional.cross_entropy(logits.flatten(0, 1), y.flatten())
            torch.autograd.backward(loss * (len(x) / T))  # a short chunk weighs less
            gradients = [p.grad for p in model.parameters() if p.grad is not None]
            norm = float(torch.nn.utils.get_total_norm(gradients))
            if norm > CLIP:
                clipped += 1
                for gradient in gradients:
                    gradient.mul_(CLIP / norm)
            step += 1
            done = step / total
            if done < WARMUP:
                rate = RATE * done / WARMUP
            else:
                fall = 0.5 * (1 + math.cos(math.pi * ((done - WARMUP) / (1 - WARMUP))))
                rate = RATE * (FINAL + (1 - FINAL) * fall)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad()
    return step, clipped


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_training_is_the_plain_loop_bit_for_bit(tmp_path: Path, cell: str, layers: int) -> None:
    run = unrolled.train(
        "text", write_prose(tmp_path / "prose.txt", words=120), out=tmp_path / "run", quiet=True,
        cell=cell, num_layers=layers, hidden_size=10, embedding_size=6, dropout=0.25, seed=11,
        batch_size=N, seq_len=T, max_epochs=EPOCHS, lr=RATE, clip=CLIP, weight_decay=DECAY,
        warmup=WARMUP, final_lr=FINAL, random_boundaries=False, val_fraction=0.0,
        sample_length=0, threads=1, device="cpu",
    )  # fmt: skip
    tokens = np.load(tmp_path / "run" / "cache" / "train.npy")
    torch.manual_seed(11)
    model = build_model(run.options.model, len(run.vocabulary), tmp_path / "run")
    steps, clipped = plain(model, tokens)
    assert steps % 2 == 0
    assert (len(tokens) - 1) // N % T  # the last chunk of an epoch is short
    assert 5 < clipped < steps
    expected, found = model.state_dict(), run.model.state_dict()
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name


# Updates alone -----------------------------------------------------------------------------------


class Numbers:
    """Batches that are written down: of each epoch a list."""

    window: int | None = None

    def __init__(self, *epochs: Sequence[Any]) -> None:
        self.epochs = epochs

    def count(self, epoch: int) -> int:
        return len(self.epochs[epoch % len(self.epochs)])

    def batch(self, epoch: int, index: int) -> Any:
        return self.epochs[epoch % len(self.epochs)][index]


class Scale(nn.Module):
    """w x, with w = 1 in the beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones((), dtype=torch.float64, device="cpu"))

    def forward(self, x: float) -> Tensor:
        return self.w * x


def product(model: nn.Module, batch: Any, carry: Any) -> Loss:
    """The loss w x of a batch (x, count), so that the gradient is x."""
    x, count = batch
    loss: Tensor = model(x)
    return Loss(loss, count, {"last": (loss, [loss * 2])})


def updates(batches: Numbers, **more: Any) -> tuple[Updates, nn.Parameter]:
    model = Scale()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    return Updates(model, product, batches, optimizer, **more), model.w


def test_a_batch_weighs_as_much_as_it_counts() -> None:
    made, w = updates(Numbers([(4.0, 2), (4.0, 1)]), usual_count=2.0)
    first, second = made.next(), made.next()
    assert (first.loss, first.count, first.norm, first.clipped) == (4.0, 2, 4.0, False)
    assert (second.loss, second.count, second.norm) == (-4.0, 1, 2.0)
    assert w.item() == 1 - 0.5 * 4 - 0.5 * 2
    assert w.grad is None


def test_without_a_usual_count_all_batches_weigh_the_same() -> None:
    made, w = updates(Numbers([(4.0, 2), (4.0, 1)]))
    made.next(), made.next()
    assert w.item() == 1 - 0.5 * 8


def test_a_batch_that_counts_nothing_is_left_out() -> None:
    made, w = updates(Numbers([(math.nan, 0), (4.0, 2)]), usual_count=2.0)
    update = made.next()
    assert (update.loss, update.count, update.norm, update.clipped) == (0.0, 0, 0.0, False)
    assert w.item() == 1
    assert made.position == Position(step=1, index=1)
    made.next()
    assert w.item() == -1


def test_clipping() -> None:
    made, w = updates(Numbers([(4.0, 1), (0.5, 1)]), clip=1.0)
    first, second = made.next(), made.next()
    assert (first.norm, first.clipped) == (4.0, True)
    assert (second.norm, second.clipped) == (0.5, False)
    assert w.item() == 1 - 0.5 * (1 + 0.5)


def test_what_is_carried_is_detached_and_ends_with_the_epoch() -> None:
    seen: list[Any] = []

    def loss(model: nn.Module, batch: Any, carry: Any) -> Loss:
        seen.append(carry)
        return product(model, batch, carry)

    model = Scale()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    made = Updates(model, loss, Numbers([(1.0, 1), (2.0, 1)], [(3.0, 1)]), optimizer)
    for _ in range(4):
        made.next()
    assert [None if c is None else c["last"][0].item() for c in seen] == [None, 1.0, None, None]
    assert isinstance(seen[1]["last"], tuple)
    assert seen[1]["last"][1][0].item() == 2.0
    assert not seen[1]["last"][0].requires_grad
    assert (made.position.step, made.position.epoch, made.position.index) == (4, 2, 1)
    assert made.carry is not None


def test_it_begins_where_it_is_told_to() -> None:
    made, _ = updates(Numbers([(1.0, 1), (2.0, 1)]), position=Position(step=7, epoch=3, index=1))
    assert made.next().loss == 2.0
    assert (made.position.step, made.position.epoch, made.position.index) == (8, 4, 0)


@pytest.mark.parametrize("skip", [False, True])
def test_a_loss_that_is_not_finite_raises_and_changes_nothing(skip: bool) -> None:
    made, w = updates(Numbers([(math.inf, 1)]), skip=skip)
    with pytest.raises(NotFiniteError, match="the loss is inf") as caught:
        made.next()
    assert caught.value.batch == (math.inf, 1)
    assert w.item() == 1
    assert made.position == Position()


class Root(nn.Module):
    """√w at w = 0: a finite loss whose gradient is not."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros((), dtype=torch.float32, device="cpu"))

    def forward(self, x: float) -> Tensor:
        return self.w.sqrt() * x


def test_a_gradient_that_is_not_finite_raises_or_is_skipped() -> None:
    for skip in (False, True):
        model = Root()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        made = Updates(model, product, Numbers([(1.0, 1)]), optimizer, skip=skip, clip=1.0)
        if skip:
            update = made.next()
            assert (update.loss, update.norm, update.clipped) == (0.0, math.inf, True)
            assert made.position.step == 1
        else:
            with pytest.raises(NotFiniteError, match="the gradient norm is inf"):
                made.next()
        assert model.w.item() == 0


def test_the_rate_of_the_updates_to_come() -> None:
    made, w = updates(Numbers([(1.0, 1)]))
    made.set_rate(0.25)
    made.next()
    assert w.item() == 0.75
