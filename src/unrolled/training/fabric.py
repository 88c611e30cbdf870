"""Fabric: device, precision and loggers."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from lightning_fabric import Fabric
from lightning_fabric.loggers.tensorboard import TensorBoardLogger

from unrolled.training.device import choose_device
from unrolled.training.errors import UserError
from unrolled.training.log import CsvLog
from unrolled.training.options import TrainingOptions
from unrolled.training.run_folder import RunFolder

_PRECISION = {"32": "32-true", "64": "64-true", "bf16-mixed": "bf16-mixed"}


@contextmanager
def build_fabric(
    options: TrainingOptions, folder: RunFolder, start: tuple[Any, dict[str, Any]] | None
) -> Iterator[Fabric]:
    """Fabric for one process on one device, logging to the run's folder until the block ends.

    Args:
        options: Device and precision.
        folder: The run.
        start: A checkpoint's content; what was logged after it is dropped.

    Raises:
        UserError: The device is not there.
    """
    device = choose_device(options.device)
    try:
        step = int(start[1]["position"]["step"]) if start is not None else 0
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder.checkpoint}: corrupt: it names no step") from error
    if start is None and folder.tensorboard.exists():
        shutil.rmtree(folder.tensorboard)
    loggers = [
        CsvLog(folder.log, step),
        TensorBoardLogger(folder.path, name="tensorboard", version="", purge_step=step + 1),
    ]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*GPU available but not used.*")
            fabric = Fabric(
                accelerator=device,
                devices=1,
                precision=cast(Any, _PRECISION[options.precision]),
                loggers=loggers,
            )
        yield fabric
    finally:
        for logger in loggers:
            logger.finalize("finished")
