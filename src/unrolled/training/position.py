"""Where a run is."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from unrolled.training.options import build, check_table

_UNCOUNTED = ("best", "validated", "window")
"""Attributes of a position that may be negative, infinite or None."""


@dataclass
class Window:
    """Sums since the last row of the log.

    Attributes:
        updates: Updates made.
        items: What their losses count.
        loss: Sum of the losses of all items.
        norm: Sum of the gradients' norms.
        norm_max: The largest of them.
        clipped: Updates whose gradient was clipped.
        seconds: Training time.
    """

    updates: int = 0
    items: int = 0
    loss: float = 0.0
    norm: float = 0.0
    norm_max: float = 0.0
    clipped: int = 0
    seconds: float = 0.0


@dataclass
class Position:
    """Where a run is; together with the tensors, all that it needs to go on.

    Attributes:
        step: Updates made.
        epoch: Epochs finished.
        index: Batches of the current epoch that are trained.
        seconds: Training time so far.
        validation_seconds: Time spent validating so far.
        best: Best value of the first metric.
        best_step: The update after which it was reached.
        strikes: Validations since then.
        validated: The update after which the last validation was.
        window: Sums for the log.
    """

    step: int = 0
    epoch: int = 0
    index: int = 0
    seconds: float = 0.0
    validation_seconds: float = 0.0
    best: float | None = None
    best_step: int = 0
    strikes: int = 0
    validated: int = -1
    window: Window = field(default_factory=Window)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Position:
        """Read a position back.

        Raises:
            UserError: A key is unknown, or its value has another type.
            ValueError: A value cannot be.
        """
        position = build(cls, check_table(cls, record, "position"))
        counted = [
            *((name, value) for name, value in asdict(position).items() if name not in _UNCOUNTED),
            *((name, value) for name, value in asdict(position.window).items() if name != "loss"),
        ]
        for name, value in counted:
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"position: {name} is {value}")
        return position
