"""The numbers of the Learn view: forward, backward, and training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unrolled.compiler.program import reads
from unrolled.lens.chain import Chain
from unrolled.lens.contributions import Parameter, contributions
from unrolled.lens.influence import StrandInfluence, influence
from unrolled.lens.recording import recording
from unrolled.lens.saturation import saturation
from unrolled.lens.terms import StrandContributions
from unrolled.lens.tracing import StrandTrace, Trace, trace
from unrolled.training.batches import Repeated
from unrolled.training.task import Loss
from unrolled.training.updates import NotFiniteError, Update, Updates

from .worked import Network

MANY = 100
"""Steps over which it is seen whether gradients vanish or explode; a word has too few."""


@dataclass(frozen=True)
class Memory:
    """What becomes of gradients in a network.

    Attributes:
        whole: how much of each loss arrives at each earlier state, all states of the cell together,
            ``[t, k]``.
        growth: the factor by which the product of the steps' Jacobians changes in a step, in the
            long run; see `growth`.
        saturated: share of the values of everything squashed that is beyond the bounds of
            saturation; None where nothing is squashed.
    """

    whole: Tensor
    growth: float
    saturated: float | None


@dataclass(frozen=True)
class Run:
    """The word, forward and backward; T steps, C letters, H units.

    Attributes:
        strand: states and gates of every step, ``[T, 1, H]``.
        scores: ``[T, C]``.
        losses: ``[T]``.
        influence: how much of each loss arrives at each earlier state.
        memory: what becomes of it over many steps.
        read: the states whose values before a step stand in its equations.
        contributions: the terms of the gradient of U, or of W where there is no U; explicit is what
            a step adds with the state before it held, implicit the rest, through earlier states.
        norm: of the whole gradient of the sum of all losses, over all weights.
    """

    strand: StrandTrace
    scores: Tensor
    losses: Tensor
    influence: StrandInfluence
    memory: Memory
    read: list[str]
    contributions: StrandContributions
    norm: float


def run(network: Network) -> Run:
    """Everything that is seen at once."""
    traced = trace(network, network.x)
    scores = traced.output.squeeze(1)
    program = network.layer.program
    of: Parameter = "U" if program.rows("U") else "W"
    found = influence(network, network.x, network.loss).nearest
    named = {symbol for instruction in program.instructions for symbol in reads(instruction)}
    return Run(
        strand=next(iter(traced.strands.values())),
        scores=scores,
        losses=network.loss(scores),
        influence=found,
        memory=Memory(found.whole, growth(network), _saturated(traced)),
        read=[state.name for state in program.states if state.previous in named],
        contributions=contributions(network, network.x, network.loss, of=of).nearest,
        norm=gradient_norm(network),
    )


def memory(network: Network) -> Memory:
    """What becomes of gradients, by itself."""
    found = influence(network, network.x, network.loss).nearest
    return Memory(found.whole, growth(network), _saturated(trace(network, network.x)))


def growth(network: Network) -> float:
    """The factor by which the product of the steps' Jacobians changes in a step, in the long run.

    (‖P_100‖ / ‖P_50‖)^(1/50) in the spectral norm, for P_n = ∂s_n/∂s_0 while the network reads its
    word again and again. Where a single loss's way back is short, and begins in a direction of its
    own, this is what decides. NaN where numbers are not finite.
    """
    again = network.x.repeat(-(-MANY // len(network.x)), 1, 1)[:MANY]
    with recording(network, "learn", graph=False) as recorder:
        network(again)
        (strand,) = recorder.strands.values()
        chain = Chain(strand, "learn")
        if not chain.running.all():
            return math.nan
        steps = chain.jacobians(0, MANY, MANY)[:, 0]
    if not steps.isfinite().all():
        return math.nan
    product, log, logs = torch.eye(chain.size, dtype=torch.float64, device="cpu"), 0.0, [0.0]
    for step in steps:
        product = step @ product
        norm = torch.linalg.matrix_norm(product, 2).item()
        if norm == 0:
            return 0.0
        product, log = product / norm, log + math.log(norm)  # whose numbers stay in range
        logs.append(log)
    return math.exp((logs[MANY] - logs[MANY // 2]) / (MANY - MANY // 2))


def _saturated(traced: Trace) -> float | None:
    (gates,) = saturation(traced).values()
    return sum(gate.share for gate in gates.values()) / len(gates) if gates else None


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
    loop = Updates(
        network,
        lambda model, word, carry: Loss(network.loss(model(word)).sum(), 1),
        Repeated(network.x),
        torch.optim.SGD(network.parameters(), lr=rate),
        clip=clip or 0.0,
    )
    made: list[Update] = []
    for _ in range(updates):
        try:
            made.append(loop.next())
        except NotFiniteError as error:
            raise ArithmeticError(
                f"after {len(made)} updates the loss is no finite number any more: take a smaller "
                "rate, or clip"
            ) from error
    with torch.no_grad():
        last = network.loss(network(network.x)).sum().item()
    if not math.isfinite(last):
        raise ArithmeticError("the loss is no finite number any more: take a smaller rate, or clip")
    return Training(
        [*(update.loss for update in made), last],
        [update.norm for update in made],
        [update.clipped for update in made],
    )


def clip_factor(norm: float, clip: float | None) -> float:
    """What clipping by norm multiplies the gradient by: min(1, clip / ‖g‖)."""
    return 1.0 if clip is None or norm <= clip else clip / norm


def _norm(gradients: Sequence[Tensor | None]) -> float:
    norm: float = torch.cat([g.flatten() for g in gradients if g is not None]).norm().item()
    return norm
