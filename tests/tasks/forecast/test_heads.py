"""Losses and quantiles against SciPy's distributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unrolled.tasks.forecast.heads import Head, normal_quantiles, student_quantiles

LEVELS = (0.01, 0.05, 0.1, 0.3, 0.5, 0.8, 0.975)
stats = pytest.importorskip("scipy.stats")


def test_quantiles_of_distributions() -> None:
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    assert np.allclose(normal_quantiles(levels), stats.norm.ppf(LEVELS))
    for freedom in (2.0, 2.5, 4.0, 8.0, 50.0):
        found = student_quantiles(levels, torch.tensor([[freedom]], dtype=torch.float64))[0]
        assert np.allclose(found, stats.t.ppf(LEVELS, freedom), rtol=2e-3)


def test_losses_are_negative_log_likelihoods() -> None:
    y = torch.tensor([0.3, -1.0, 7.0], dtype=torch.float64)
    placed = torch.tensor([[0.1, 0.7, 3.5]] * 3, dtype=torch.float64)
    student = Head("student", LEVELS).loss(placed, y)
    assert np.allclose(student, -stats.t.logpdf(y.numpy(), 3.5, loc=0.1, scale=0.7))
    normal = Head("normal", LEVELS).loss(placed[:, :2], y)
    assert np.allclose(normal, -stats.norm.logpdf(y.numpy(), loc=0.1, scale=0.7))


def test_the_pinball_loss_is_least_at_the_quantiles() -> None:
    """Of many draws the quantiles have a lower loss than any that are moved a little."""
    draws = torch.from_numpy(np.random.default_rng(0).standard_normal(20000))
    head = Head("quantiles", LEVELS)
    exact = normal_quantiles(torch.tensor(LEVELS, dtype=torch.float64))

    def loss(quantiles: torch.Tensor) -> float:
        return float(head.loss(quantiles.expand(len(draws), -1), draws).mean())

    assert all(loss(exact) < loss(exact + shift) for shift in (-0.1, 0.1))


def test_quantiles_that_cross_are_sorted() -> None:
    head = Head("quantiles", (0.1, 0.5, 0.9))
    placed = torch.tensor([[2.0, 1.0, 3.0]])
    assert head.quantiles(placed).tolist() == [[1.0, 2.0, 3.0]]
    assert head.point(placed).item() == 2.0
