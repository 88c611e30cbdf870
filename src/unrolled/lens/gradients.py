"""The gradients of many losses at once, in blocks as large as memory allows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


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
    cotangents[torch.arange(len(steps)), torch.tensor(steps)] = 1

    def one(cotangent: Tensor) -> tuple[Tensor, ...]:
        found = torch.autograd.grad(
            losses, targets, cotangent, retain_graph=True, allow_unused=True
        )
        return tuple(
            torch.zeros_like(target) if gradient is None else gradient
            for gradient, target in zip(found, targets, strict=True)
        )

    try:
        return list(torch.vmap(one)(cotangents))
    except RuntimeError:
        # The backward of something in the model cannot be batched: then one after the other.
        each = [one(cotangent) for cotangent in cotangents]
        return [torch.stack(of_target) for of_target in zip(*each, strict=True)]
