"""The CSV log, as one of Fabric's loggers, and how it is read back."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import Logger

from unrolled.training.atomic import write_file

COLUMNS = (
    "step", "epoch", "seconds", "train_nats", "val_nats", "lr", "grad_norm", "grad_norm_max",
    "clipped", "per_second",
)  # fmt: skip
"""One row per ``log_every`` updates and one per validation; cells that do not apply are empty.

``seconds`` is training time, ``train_nats`` the mean since the row before, ``grad_norm`` and
``grad_norm_max`` mean and largest norm before clipping since then, ``clipped`` the share of updates
that were clipped, ``per_second`` predictions trained per second.
"""


class CsvLog(Logger):
    """A CSV file to which rows are appended, flushed one by one.

    Args:
        path: The file.
        last_step: Rows of later steps, left by a run that went on after its last checkpoint, are
            dropped, so that the log reads as if the run had never been interrupted.

    Raises:
        OSError: The file cannot be written.
    """

    def __init__(self, path: Path, last_step: int) -> None:
        rows = [row for row in read_log(path) if row["step"] <= last_step]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _cell(row.get(name)) for name in COLUMNS})
        write_file(path, text.getvalue().encode())
        self._file = path.open("a", encoding="utf-8", newline="")
        self._writer = csv.DictWriter(self._file, COLUMNS, lineterminator="\n")

    @property
    def name(self) -> str:
        """Kind of the logger."""
        return "csv"

    @property
    def version(self) -> None:
        """None: a run folder has one log."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append one row, if one of the columns is in it."""
        row = {name: _cell(metrics[name]) for name in COLUMNS if name in metrics}
        if not row:
            return
        self._writer.writerow({**row, "step": step})
        self._file.flush()

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the options are in their own file."""

    def finalize(self, status: str) -> None:
        """Close the file."""
        self._file.close()


def read_log(path: Path) -> list[dict[str, float]]:
    """Rows of a log, cells that are empty or not numbers left out; no rows if there is no file."""
    if not path.exists():
        return []
    rows = []
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for cells in csv.DictReader(file):
            row = {name: _number(cells.get(name)) for name in COLUMNS}
            # A line cut short by a crash has no step, or lacks the newline's worth of cells.
            if not math.isnan(row["step"]) and None not in cells.values():
                rows.append({k: v for k, v in row.items() if not math.isnan(v)})
    return rows


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return str(int(value)) if float(value).is_integer() else f"{value:.6g}"


def _number(text: object) -> float:
    try:
        return float(str(text))
    except ValueError:
        return math.nan
