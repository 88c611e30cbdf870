"""The learning rate as a function of progress."""

from __future__ import annotations

import math
from typing import Literal

Course = Literal["cosine", "linear", "constant"]


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
