"""An exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


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
