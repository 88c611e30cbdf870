"""Fabric: device, precision and loggers."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from lightning_fabric import Fabric
from lightning_fabric.loggers.logger import Logger

from unrolled.errors import UserError
from unrolled.training.device import choose_device
from unrolled.training.options import TrainingOptions
from unrolled.training.run_folder.best_effort import BestEffort
from unrolled.training.run_folder.folder import RunFolder
from unrolled.training.run_folder.log import CsvLog
from unrolled.training.run_folder.tensorboard import TensorBoardLog

_PRECISION = {"32": "32-true", "64": "64-true", "bf16-mixed": "bf16-mixed"}


class SpareLog(Logger):
    """A logger that training can do without.

    Args:
        log: The logger.
        path: Its file.
        best_effort: Calls it.
    """

    def __init__(self, log: Logger, path: Path, best_effort: BestEffort) -> None:
        self._log, self._path, self._best_effort = log, path, best_effort

    @property
    def name(self) -> str | None:
        """Kind of the logger."""
        return self._log.name

    @property
    def version(self) -> int | str | None:
        """The logger's own."""
        return self._log.version

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Hand numbers on."""
        self._best_effort(self._path, lambda: self._log.log_metrics(dict(metrics), step))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the options are in their own file."""

    def finalize(self, status: str) -> None:
        """Let it write what is still to be written."""
        self._best_effort(self._path, lambda: self._log.finalize(status))


@contextmanager
def build_fabric(
    options: TrainingOptions,
    folder: RunFolder,
    start: tuple[Any, dict[str, Any]] | None,
    best_effort: BestEffort,
) -> Iterator[Fabric]:
    """Fabric for one process on one device, logging to the run's folder until the block ends.

    Args:
        options: Device and precision.
        folder: The run.
        start: A checkpoint's content; what was logged after it is dropped.
        best_effort: Calls the loggers.

    Raises:
        UserError: The device is not there.
    """
    device = choose_device(options.device)
    try:
        step = int(start[1]["position"]["step"]) if start is not None else 0
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{folder.checkpoint}: corrupt: it names no step") from error
    if start is None and folder.tensorboard.exists():
        shutil.rmtree(folder.tensorboard)
    loggers: list[Logger] = [
        SpareLog(CsvLog(folder.log, step), folder.log, best_effort),
        SpareLog(TensorBoardLog(folder.tensorboard, step), folder.tensorboard, best_effort),
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
