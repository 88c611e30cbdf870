"""The numbers of the Learn view: forward, backward, and training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..lens.contributions import Parameter, contributions
from ..lens.influence import StrandInfluence, influence
from ..lens.terms import StrandContributions
from ..lens.tracing import StrandTrace, trace
from .worked import Network


@dataclass(frozen=True)
class Run:
    """The word, forward and backward; T steps, C letters, H units.

    Attributes:
        strand: states and gates of every step, ``[T, 1, H]``.
        scores: ``[T, C]``.
        losses: ``[T]``.
        influence: how much of each loss arrives at each earlier state.
        contributions: the terms of the gradient of U, or of W where there is no U; explicit is what
            a step adds with the state before it held, implicit the rest, through earlier states.
        norm: of the whole gradient of the sum of all losses, over all weights.
    """

    strand: StrandTrace
    scores: Tensor
    losses: Tensor
    influence: StrandInfluence
    contributions: StrandContributions
    norm: float


def run(network: Network) -> Run:
    """Everything that is seen at once."""
    traced = trace(network, network.x)
    scores = traced.output.squeeze(1)
    of: Parameter = "U" if network.layer.program.rows("U") else "W"
    return Run(
        strand=next(iter(traced.strands.values())),
        scores=scores,
        losses=network.loss(scores),
        influence=influence(network, network.x, network.loss).nearest,
        contributions=contributions(network, network.x, network.loss, of=of).nearest,
        norm=gradient_norm(network),
    )


def gradient_norm(network: Network) -> float:
    """The norm of the gradient of all losses, over all weights."""
    loss = network.loss(network(network.x)).sum()
    found = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)
    return _norm(found)


@dataclass(frozen=True)
class Training:
    """Some updates by plain gradient descent.

    Attributes:
        losses: the sum of all steps' losses before each update, and at last after all of them.
        norms: the gradient's norm before clipping, at each update.
        clipped: whether it was clipped.
    """

    losses: list[float]
    norms: list[float]
    clipped: list[bool]


def train(network: Network, updates: int, rate: float, clip: float | None) -> Training:
    """Train the network on its word: w ← w - rate · g · min(1, clip / ‖g‖).

    Raises:
        ArithmeticError: if a loss or a gradient is no finite number any more.
    """
    weights = list(network.parameters())
    losses, norms = [], []
    for update in range(updates):
        loss = network.loss(network(network.x)).sum()
        found = torch.autograd.grad(loss, weights, allow_unused=True)
        norm = _norm(found)
        if not math.isfinite(loss.item() + norm):
            raise ArithmeticError(
                f"after {update} updates the loss is no finite number any more: take a smaller "
                "rate, or clip"
            )
        losses.append(loss.item())
        norms.append(norm)
        factor = clip_factor(norm, clip)
        with torch.no_grad():
            for weight, gradient in zip(weights, found, strict=True):
                if gradient is not None:
                    weight.sub_(rate * factor * gradient)
    with torch.no_grad():
        losses.append(network.loss(network(network.x)).sum().item())
    if not math.isfinite(losses[-1]):
        raise ArithmeticError("the loss is no finite number any more: take a smaller rate, or clip")
    return Training(losses, norms, [clip_factor(norm, clip) < 1 for norm in norms])


def clip_factor(norm: float, clip: float | None) -> float:
    """What clipping by norm multiplies the gradient by: min(1, clip / ‖g‖)."""
    return 1.0 if clip is None or norm <= clip else clip / norm


def _norm(gradients: Sequence[Tensor | None]) -> float:
    norm: float = torch.cat([g.flatten() for g in gradients if g is not None]).norm().item()
    return norm
