"""Where a run is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


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
            TypeError: The record is not one.
        """
        return cls(**{**record, "window": Window(**record["window"])})
