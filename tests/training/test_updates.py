"""Updates alone: weights of batches, clipping, what is carried, numbers that are not finite."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unrolled.training.position import Position
from unrolled.training.task import Loss
from unrolled.training.updates import NotFiniteError, Updates


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
