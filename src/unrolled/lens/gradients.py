"""The gradients of many losses at once, in blocks as large as memory allows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..engine.threads import share, threads_kept
from .losses import Plan
from .recording import Recorder


class Filling(Protocol):
    """What is made of the gradients in one strand."""

    def nodes(self, reach: range) -> Iterator[Tensor]:
        """Where gradients are wanted at some steps."""

    def put(self, block: tuple[int, ...], reach: range, results: Mapping[int, Tensor]) -> None:
        """Take the gradients ``[B, N, ·]`` of a block of losses there, by the node's ``id``."""


def fill(found: Collection[Filling], recorder: Recorder, losses: Tensor, plan: Plan) -> None:
    """Carry a plan out: one backward pass for each block of losses, to all strands together."""
    for block, reach in plan.blocks():
        recorder.limit.end = reach.stop if plan.causal else None
        # directions share their inputs
        nodes = {id(node): node for own in found for node in own.nodes(reach)}
        results = dict(zip(nodes, gradients(losses, list(nodes.values()), block), strict=True))
        for own in found:
            own.put(block, reach, results)


def gradients(losses: Tensor, targets: Sequence[Tensor], steps: Sequence[int]) -> list[Tensor]:
    """The gradient of each of some losses with respect to each target, exactly.

    Args:
        losses: ``[T]``, or ``[T, N]`` of rows that do not see each other.
        targets: tensors on which the losses may depend.
        steps: which of the losses.

    Returns:
        For each target a tensor ``[len(steps), *target.shape]``.
    """
    varying = [target for target in targets if target.requires_grad]
    if not varying:
        return [target.new_zeros(len(steps), *target.shape) for target in targets]
    if len(varying) < len(targets):  # a state that is a number, say
        known = {id(t): g for t, g in zip(varying, gradients(losses, varying, steps), strict=True)}
        return [
            known.get(id(target), target.new_zeros(len(steps), *target.shape)) for target in targets
        ]
    cotangents = losses.new_zeros(len(steps), *losses.shape)
    for number, step in enumerate(steps):
        cotangents[number, step] = 1

    def one(cotangent: Tensor) -> tuple[Tensor, ...]:
        found = torch.autograd.grad(
            losses, targets, cotangent, retain_graph=True, allow_unused=True
        )
        return tuple(
            torch.zeros_like(target) if gradient is None else gradient
            for gradient, target in zip(found, targets, strict=True)
        )

    largest = max(target.numel() * target.shape[-1] for target in targets)
    with threads_kept() as threads:
        share(len(steps) * largest, threads)
        try:
            return list(torch.vmap(one)(cotangents))
        except RuntimeError:
            # The backward of something in the model cannot be batched: then one after the other.
            each = [one(cotangent) for cotangent in cotangents]
            return [torch.stack(of_target) for of_target in zip(*each, strict=True)]
