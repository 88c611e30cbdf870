"""Facts and warnings about tagged sentences before training."""

from __future__ import annotations

from unrolled.training.task import Inspection

from .options import DataOptions


def inspect_data(options: DataOptions) -> Inspection:
    """Look at the files of a run.

    Raises:
        UserError: The files cannot be read.
    """
    raise NotImplementedError
