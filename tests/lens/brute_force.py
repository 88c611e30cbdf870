"""Jacobians by autograd through a recorded run, one number after the other."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from unrolled.lens.recording import call, recording


def whole_jacobian(model: nn.Module, x: Any, strand: str, t: int, k: int) -> Tensor:
    """∂s_t/∂s_k of a strand, ``[N, D, D]``, every state of every unit on its own."""
    with recording(model, "test") as recorder:
        call(model, x)
        steps = recorder.strands[strand].steps
        late, early = steps[t].after, steps[k].after
        size = sum(state.shape[-1] for state in late)
        found = late[0].new_zeros(len(late[0]), size, size)
        for n in range(len(found)):
            numbers = torch.cat([state[n] for state in late])
            for i, number in enumerate(numbers):
                parts = torch.autograd.grad(
                    number, early, retain_graph=True, allow_unused=True, materialize_grads=True
                )
                found[n, i] = torch.cat([part[n] for part in parts])
        return found


class Own(nn.Module):
    """A model of a user's, with torch's layer in it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.encoder = layer
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.encoder(x)[0][..., :3])
        return y


class Ragged(nn.Module):
    """A layer with lengths or resets."""

    def __init__(self, layer: nn.Module, **more: Any) -> None:
        super().__init__()
        self.rnn, self.more = layer, more

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.rnn(x, **self.more)[0]
        return y
