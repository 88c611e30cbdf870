"""What happens to weights: optimizer, gradient norm, learning rate, moving average."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from unrolled.training.options import TrainingOptions

Course = Literal["cosine", "linear", "constant"]


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
        return torch.optim.AdamW(groups, lr=options.lr, betas=(0.9, options.beta2), fused=fused)
    if options.optimizer == "adam":
        return torch.optim.Adam(groups, lr=options.lr, betas=(0.9, options.beta2), fused=fused)
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


def learning_rate(
    progress: float, *, peak: float, course: Course, warmup: float, final: float
) -> float:
    """Learning rate at a point of the training.

    Progress is the larger of the shares of steps and of time used up, so that a run that is given
    two minutes anneals to the end of its schedule in two minutes, whatever the machine's speed.

    Args:
        progress: Share of the training done, 0 to 1.
        peak: Learning rate at the end of the warm-up.
        course: Shape of the descent from there to ``final * peak`` at progress 1.
        warmup: Share of the training over which the rate rises linearly from zero.
        final: Rate at the end as a share of ``peak``; ``constant`` ignores it.
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < warmup:
        return peak * progress / warmup
    if course == "constant":
        return peak
    rest = (progress - warmup) / (1.0 - warmup)
    height = 0.5 * (1.0 + math.cos(math.pi * rest)) if course == "cosine" else 1.0 - rest
    return peak * (final + (1.0 - final) * height)


class WeightAverage:
    """Averaged copy of a model's parameters: a ← d a + (1 − d) w after each update.

    Early on the decay is lowered to (1 + n) / (10 + n) at update n, so that the initial values do
    not linger.

    Args:
        model: The model whose parameters are averaged.
        decay: d above, between 0 and 1.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.names = [name for name, _ in model.named_parameters()]
        self._weights: list[Tensor] = [p.detach() for p in model.parameters()]
        self.averages: list[Tensor] = [w.clone() for w in self._weights]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after update number ``step``, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.averages, self._weights, 1.0 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the model has the averaged weights; afterwards its own again."""
        own = [weight.clone() for weight in self._weights]
        try:
            _copy(self.averages, self._weights)
            yield
        finally:
            _copy(own, self._weights)

    def state(self) -> dict[str, Tensor]:
        """The averages by parameter name."""
        return dict(zip(self.names, self.averages, strict=True))

    def load(self, state: dict[str, Tensor]) -> None:
        """Take the averages from ``state()`` of another run.

        Raises:
            KeyError: A parameter has no average in ``state``.
        """
        _copy([state[name] for name in self.names], self.averages)


@torch.no_grad()
def _copy(sources: list[Tensor], targets: list[Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)
