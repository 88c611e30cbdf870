"""Optimizers, and the gradient's norm."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unrolled.training.options import TrainingOptions

_BETAS = (0.9, 0.99)
# Squared gradients are averaged over a hundred updates, not a thousand: the schedule moves faster.


def build_optimizer(model: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    """The optimizer for a model, with weight decay on its weight matrices only.

    Biases and embeddings are exempt: pulling them towards zero says nothing about complexity.

    torch's fused implementations are used: one pass over the parameters instead of one per
    operation, which for Adam on a CPU takes a quarter of the time.
    """
    embeddings = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, nn.Embedding)
        for parameter in module.parameters(recurse=False)
    }
    decayed: list[nn.Parameter] = []
    exempt: list[nn.Parameter] = []
    for parameter in model.parameters():
        matrix = parameter.dim() >= 2 and id(parameter) not in embeddings
        (decayed if matrix else exempt).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": options.weight_decay},
        {"params": exempt, "weight_decay": 0.0},
    ]
    fused = all(parameter.device.type in ("cpu", "cuda", "mps") for parameter in model.parameters())
    if options.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=options.lr, betas=_BETAS, fused=fused)
    if options.optimizer == "adam":
        return torch.optim.Adam(groups, lr=options.lr, betas=_BETAS, fused=fused)
    return torch.optim.SGD(groups, lr=options.lr, momentum=0.9, nesterov=True, fused=fused)


def clip_gradients(parameters: list[nn.Parameter], limit: float) -> float:
    """Scale the gradients so that their joint norm is at most ``limit``; 0 leaves them alone.

    Returns:
        The norm before scaling. If it is not finite the gradients are left as they are.
    """
    gradients: list[Tensor] = [p.grad for p in parameters if p.grad is not None]
    total = torch.nn.utils.get_total_norm(gradients)
    norm = float(total)
    if 0 < limit < norm < float("inf"):
        # Only now is another pass over the gradients worth its time.
        torch._foreach_mul_(gradients, limit / norm)
    return norm
