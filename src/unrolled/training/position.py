"""Where a run is."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from unrolled.training.options import build, check_table

_UNCOUNTED = ("best", "val_nats", "validated", "window")
"""Attributes of a position that may be negative, infinite or None."""


@dataclass
class Window:
    """Sums since the last row of the log."""

    updates: int = 0
    predictions: int = 0
    nats: float = 0.0
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
        chunk: Chunks of the current epoch that are trained.
        seconds: Training time so far.
        validation_seconds: Time spent validating so far.
        best: Lowest validation loss, in nats.
        best_step: The update after which it was reached.
        strikes: Validations since then.
        validated: The update after which the last validation was.
        val_nats: What it gave.
        window: Sums for the log.
    """

    step: int = 0
    epoch: int = 0
    chunk: int = 0
    seconds: float = 0.0
    validation_seconds: float = 0.0
    best: float | None = None
    best_step: int = 0
    strikes: int = 0
    validated: int = -1
    val_nats: float | None = None
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
            *asdict(position.window).items(),
        ]
        for name, value in counted:
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"position: {name} is {value}")
        return position
