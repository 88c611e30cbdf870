"""One look through time at a model that is being trained: how far back its loss reaches."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from unrolled.lens.recording import Strand, recording

REACH = 0.99
"""Share of the influence that lies within the reach."""


@dataclass(frozen=True)
class LayerLook:
    """What a look finds in one direction of one layer.

    Attributes:
        influence: mean norm ‖∂ℓ/∂h‖ of the loss at the last step with respect to the layer's
            output so many steps back, by lag from 0; the mean is over the rows.
    """

    influence: list[float]

    @property
    def reach(self) -> int:
        """Steps back, the present one counted, within which 99 % of the influence lies."""
        within, total = 0.0, sum(self.influence)
        for lag, norm in enumerate(self.influence):
            within += norm
            if within >= REACH * total:
                return lag + 1
        return len(self.influence)


def look(model: nn.Module, losses: Callable[[], Tensor]) -> dict[str, LayerLook]:
    with torch.random.fork_rng(_devices(model)), recording(model, "Monitor", values=True) as seen:
        found = losses()
        seen.check_used("Monitor")
        strands = list(seen.strands.values())
        ends = _ends(strands[-1], found)
        last = found[-1].sum() if ends is None else found.gather(0, ends[None] - 1).sum()
        nodes = [step.after[0] for strand in strands for step in strand.steps]
        gradients = iter(torch.autograd.grad(last, nodes, allow_unused=True))
        return {
            strand.name: LayerLook([
                0. if g is None else float(g.norm(dim=-1).mean()) for g in [next(gradients) for _ in strand.steps]][::-1])
            for strand in strands
        }
def _devices(model):
    return {p.device.index for p in model.parameters() if p.is_cuda}

def _ends(strand, losses):
    return None
