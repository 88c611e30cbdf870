"""The decay of influence from the answers of a model back through its states."""

from __future__ import annotations

import copy
from functools import partial

import torch
from torch import Generator, Tensor

from unrolled.lens import Decay, decay_of_influence, influence

from .model import LagModel
from .problems import Problem

ROWS = 16


def decay(model: LagModel, problem: Problem, lag: int, generator: Generator) -> Decay:
    """The decay of the influence of past states on the loss of the answers.

    ‖∂ℓ_t/∂s_k‖ for every answer t, s all states of the layer together, in float64; its mean over
    answers and rows against t - k.
    """
    exact = copy.deepcopy(model).double()
    x, target = problem.draw(lag, ROWS, generator)
    found = influence(
        exact,
        x.double(),
        partial(_losses, problem, target, len(x)),
        steps=range(len(x) - problem.answers, len(x)),
        memory="8GB",
    )
    (strand,) = found.strands.values()
    rows = zip(strand.whole, found.steps, strict=True)  # [T, rows] each
    lags = len(x) - problem.answers
    by_lag = torch.stack([strand.by_distance(row, t)[:lags] for row, t in rows]).mean((0, 2))
    return decay_of_influence(by_lag)


def _losses(problem: Problem, target: Tensor, steps: int, given: Tensor) -> Tensor:
    """A loss for each step ``[T, N]``, zero where none is asked."""
    own = problem.losses(given, target)
    return torch.cat([own.new_zeros(steps - len(own), own.shape[1]), own])
