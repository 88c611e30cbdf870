"""An observer sees every step as it is, and what it puts in its place is what goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

import unrolled
from unrolled.compiler.program import Product, Symbol
from unrolled.engine.observer import Observer


class Diary(Observer):
    """Writes everything down."""

    def __init__(self) -> None:
        self.products: list[tuple[int, str]] = []
        self.steps: list[tuple[int, list[Tensor], list[Tensor], Mapping[Symbol, Any]]] = []

    def product(self, t: int, product: Product, operand: Tensor, result: Tensor) -> Tensor:
        self.products.append((t, product.gate))
        return result

    def step(
        self, t: int, before: Sequence[Tensor], values: Mapping[Symbol, Any], after: list[Tensor]
    ) -> list[Tensor]:
        self.steps.append((t, list(before), after, values))
        return after


class Halve(Observer):
    """Puts half of every state in its place."""

    def step(
        self, t: int, before: Sequence[Tensor], values: Mapping[Symbol, Any], after: list[Tensor]
    ) -> list[Tensor]:
        return [state / 2 for state in after]


@pytest.mark.parametrize("bidirectional", [False, True])
def test_every_step_of_every_direction_is_seen_in_its_order(bidirectional: bool) -> None:
    layer = unrolled.GRU(2, 3, num_layers=2, bidirectional=bidirectional)
    x = torch.randn(4, 2, 2)
    diaries: dict[tuple[int, int], Diary] = {}

    def watch(level: int, direction: int) -> Observer:
        return diaries.setdefault((level, direction), Diary())

    alone = layer(x)[0]
    layer.watch = watch
    output = layer(x)[0]
    del layer.watch
    torch.testing.assert_close(output, alone, rtol=1e-5, atol=1e-6)
    assert len(diaries) == 2 * (1 + bidirectional)
    for (level, direction), diary in diaries.items():
        times = [t for t, *_ in diary.steps]
        assert times == ([3, 2, 1, 0] if direction else [0, 1, 2, 3])
        assert diary.products == [(t, gate) for t in times for gate in "rzn"]
        for (_, _, after, _), (_, before, _, _) in zip(diary.steps, diary.steps[1:], strict=False):
            assert all(a is b for a, b in zip(after, before, strict=True))
        if level == 1:
            units = slice(3 * direction, 3 * direction + 3)
            for t, _, after, _ in diary.steps:
                assert torch.equal(after[0], output[t, :, units])


def test_what_it_returns_takes_the_place_of_the_states() -> None:
    layer = unrolled.RNN(2, 3, nonlinearity="identity", dtype=torch.float64)
    x = torch.randn(4, 2, 2, dtype=torch.float64)
    layer.watch = lambda level, direction: Halve()
    output, last = layer(x)
    state = torch.zeros(2, 3, dtype=torch.float64)
    w, u, b, c = layer.parameters()
    for own, found in zip(x, output, strict=True):
        state = (own @ w.T + b + state @ u.T + c) / 2
        torch.testing.assert_close(found, state)
    torch.testing.assert_close(last[0], state)
