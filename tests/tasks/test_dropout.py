"""Dropout: as torch's in distribution, repeatable, and gone in evaluation."""

from __future__ import annotations

import pytest
import torch

from unrolled.tasks.dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.25, 0.9])
@pytest.mark.parametrize("shape", [(1,), (7, 3), (64, 32, 33)], ids=str)
def test_values_are_dropped_or_scaled(p: float, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.ones(shape, requires_grad=True)
    y = Dropout(p)(x)
    kept = y != 0
    torch.testing.assert_close(y[kept], torch.full_like(y[kept], 1 / (1 - p)), rtol=1e-3, atol=0)
    if x.numel() > 10_000:
        assert abs(kept.float().mean() - (1 - p)) < 0.01
        assert abs(y.mean() - 1) < 0.05
        # neighbours are decided apart from each other
        both = (kept.flatten()[1:] & kept.flatten()[:-1]).float().mean()
        assert abs(both - (1 - p) ** 2) < 0.01
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach())


def test_a_seed_repeats_the_mask() -> None:
    x = torch.ones(50, 3)
    layer = Dropout(0.5)
    masks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks.append(layer(x))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_evaluation_drops_nothing() -> None:
    x = torch.randn(5, 5)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x
