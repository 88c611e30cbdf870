"""The CSV log, as one of Fabric's loggers, and how it is read back."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import Logger

from unrolled.files import LARGEST_LOG, GrowingFile, open_regular, write_file

COLUMNS = (
    "step", "epoch", "seconds", "train_nats", "val_nats", "lr", "grad_norm", "grad_norm_max",
    "clipped", "per_second",
)  # fmt: skip
"""One row per ``log_every`` updates and one per validation; cells that do not apply are empty.

``seconds`` is training time, ``train_nats`` the mean since the row before, ``grad_norm`` and
``grad_norm_max`` mean and largest norm before clipping since then, ``clipped`` the share of updates
that were clipped, ``per_second`` predictions trained per second.
"""

_LONGEST = 4096
"""Bytes of a row; ours take a hundred."""


class CsvLog(Logger):
    """A CSV file to which rows are appended one by one.

    Args:
        path: The file.
        last_step: Rows of later steps, left by a run that went on after its last checkpoint, are
            dropped, so that the log reads as if the run had never been interrupted.

    Raises:
        OSError: The file cannot be written.
    """

    def __init__(self, path: Path, last_step: int) -> None:
        rows = [row for row in read_log(path) if row["step"] <= last_step]
        write_file(path, b",".join(map(str.encode, COLUMNS)) + b"\n" + b"".join(map(_line, rows)))
        self._file = GrowingFile(path)

    @property
    def name(self) -> str:
        """Kind of the logger."""
        return "csv"

    @property
    def version(self) -> None:
        """None: a run folder has one log."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append one row, if one of the columns is in it."""
        if any(name in metrics for name in COLUMNS):
            self._file.append(_line({**metrics, "step": step}))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the options are in their own file."""

    def finalize(self, status: str) -> None:
        """Write what is still to be written."""
        self._file.append(b"")


def read_log(path: Path) -> list[dict[str, float]]:
    """Rows of a log, cells that are empty or not numbers left out; no rows if there is no file.

    Lines that are no rows are left out, too: cut short by a crash or a full disk, or edited.

    Raises:
        UserError: It is not a regular file, or cannot be read.
    """
    if not path.exists():
        return []
    rows = []
    names: list[str] | None = None
    with open_regular(path, LARGEST_LOG) as file:
        whole = True  # whether a line begins here
        while line := file.readline(_LONGEST):
            begins, whole = whole, line.endswith(b"\n")
            if not (begins and whole):
                continue
            cells = _cells(line)
            if names is None:
                names = cells
            elif len(cells) == len(names):
                found = zip(names, map(_number, cells), strict=True)
                row = {
                    name: value for name, value in found if name in COLUMNS and _kept(name, value)
                }
                if "step" in row:
                    rows.append(row)
    return rows


def _cells(line: bytes) -> list[str]:
    try:
        return next(csv.reader([line.decode("utf-8", "replace")]))
    except (csv.Error, StopIteration):
        return []


def _line(row: Mapping[str, float | None]) -> bytes:
    return (",".join(_cell(row.get(name)) for name in COLUMNS) + "\n").encode()


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return str(int(value)) if float(value).is_integer() else f"{value:.6g}"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _kept(name: str, value: float) -> bool:
    """Whether a cell means something: only a validation's loss can be infinite."""
    return math.isfinite(value) or (name == "val_nats" and value == math.inf)
