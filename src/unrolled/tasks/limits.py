"""Limit of a training for which none was given."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from unrolled.training.options import TrainingOptions

UPDATES = 1500
"""Updates for which epochs are chosen where no limit is given."""

_Training = TypeVar("_Training", bound=TrainingOptions)


def limited(training: _Training, items: int, fewest: int, most: int) -> _Training:
    """Training with a limit: one that was given, or so many epochs as make enough updates.

    Args:
        training: The options.
        items: Items, or windows, to train on.
        fewest: Fewest epochs.
        most: Most epochs.
    """
    if (training.max_epochs, training.max_steps, training.max_time) != (None, None, None):
        return training
    batches = -(-items // training.batch_size)
    return replace(training, max_epochs=min(most, max(fewest, -(-UPDATES // batches))))
