"""The numbers of the Learn view: forward, backward, and training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..lens.gradients import gradients
from ..lens.influence import StrandInfluence, influence
from ..lens.recording import Recorder, Step, recording
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
        matrix: the weights whose gradient's terms are told: ``"U"``, or ``"W"`` where there is no
            recurrent matrix.
        terms: the norm of the term (t, k) of that gradient, ``[T, T]``.
        explicit: the norm of ∂⁺ℓ_t, in which the state before is held, ``[T]``: the term k = t.
        implicit: the norm of the rest, through earlier states, ``[T]``: the sum over k < t.
        norm: of the whole gradient of the sum of all losses, over all weights.
    """

    strand: StrandTrace
    scores: Tensor
    losses: Tensor
    influence: StrandInfluence
    matrix: str
    terms: Tensor
    explicit: Tensor
    implicit: Tensor
    norm: float


def run(network: Network) -> Run:
    """Everything that is seen at once."""
    traced = trace(network, network.x)
    scores = traced.output.squeeze(1)
    found = influence(network, network.x, network.loss)
    matrix, terms = weight_terms(network)
    size = torch.linalg.vector_norm
    steps = range(len(terms))
    return Run(
        strand=next(iter(traced.strands.values())),
        scores=scores,
        losses=network.loss(scores),
        influence=found.nearest,
        matrix=matrix,
        terms=size(terms, dim=-1),
        explicit=torch.stack([size(terms[t, t]) for t in steps]),
        implicit=torch.stack([size(terms[t, :t].sum(0)) for t in steps]),
        norm=gradient_norm(network),
    )


def weight_terms(network: Network) -> tuple[str, Tensor]:
    """The terms (∂ℓ_t/∂h_k) (∂⁺h_k/∂U) of the gradient of U, all gates in a row: ``[T, T, ·]``.

    Where there is no U, those of W.
    """
    with recording(network, "learn") as recorder:
        losses = network.loss(network(network.x))
        steps = _steps(recorder)
        recurrent = {product.gate for product in steps[0].setting.program.matrix("U")}
        if recurrent:
            pairs = [[(m.result, m.operand) for m in s.products] for s in steps]
        else:
            pairs = [[(gate, s.x) for gate in s.gates.values()] for s in steps]
        nodes = [node for of_step in pairs for node, _ in of_step]
        found = iter(gradients(losses, nodes, range(len(losses))))  # [T, 1, H] each
        terms = [
            torch.cat([(next(found)[:, 0, :, None] * x).flatten(1) for _, x in of_step], dim=-1)
            for of_step in pairs
        ]
    return "U" if recurrent else "W", torch.stack(terms, dim=1).detach()


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
                    weight -= rate * factor * gradient
    with torch.no_grad():
        losses.append(float(network.loss(network(network.x)).sum()))
    if not math.isfinite(losses[-1]):
        raise ArithmeticError("the loss is no finite number any more: take a smaller rate, or clip")
    return Training(losses, norms, [clip_factor(norm, clip) < 1 for norm in norms])


def clip_factor(norm: float, clip: float | None) -> float:
    """What clipping by norm multiplies the gradient by: min(1, clip / ‖g‖)."""
    return 1.0 if clip is None or norm <= clip else clip / norm


def _steps(recorder: Recorder) -> list[Step]:
    (strand,) = recorder.strands.values()
    return strand.steps


def _norm(gradients: Sequence[Tensor | None]) -> float:
    return float(torch.cat([g.flatten() for g in gradients if g is not None]).norm())
