"""The logs of a run: a CSV file of its own, and its copy for TensorBoard."""

from __future__ import annotations

import csv
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from unrolled.files import LARGEST_LOG, GrowingFile, open_regular, write_file
from unrolled.training.run_folder.best_effort import BestEffort
from unrolled.training.run_folder.folder import RunFolder
from unrolled.training.run_folder.tensorboard import TensorBoardLog

GENERAL = ("lr", "grad_norm", "grad_norm_max", "clipped", "per_second")
"""Columns of every run's log, after ``step``, ``epoch``, ``seconds`` and what the task measures.

There is one row per ``log_every`` updates and one per validation; cells that do not apply are
empty. ``seconds`` is training time, ``train_…`` the mean loss since the row before, ``val_…`` a
metric of a validation, ``grad_norm`` and ``grad_norm_max`` mean and largest norm before clipping
since the row before, ``clipped`` the share of updates that were clipped, ``per_second`` what the
loss counts (characters, sequences) trained per second.
"""

_LONGEST = 1 << 14
"""Bytes of a row; ours take some hundred."""


class Logs:
    """Both logs of a run, written to as far as that is possible.

    Args:
        folder: The run.
        measured: Columns of what the task measures.
        last_step: The update from which the run goes on; what was logged after it is dropped.
        best_effort: Writes; None in a process that writes nothing.
    """

    def __init__(
        self,
        folder: RunFolder,
        measured: Sequence[str],
        last_step: int,
        best_effort: BestEffort | None,
    ) -> None:
        self._best_effort = best_effort
        if best_effort is None:
            return
        if last_step == 0 and folder.tensorboard.exists():
            shutil.rmtree(folder.tensorboard)
        columns = ("step", "epoch", "seconds", *measured, *GENERAL)
        self._csv = CsvLog(folder.log, columns, last_step)
        self._tensorboard = TensorBoardLog(folder.tensorboard, last_step)

    def row(self, step: int, numbers: Mapping[str, float]) -> None:
        """One more row, in both logs."""
        if self._best_effort is not None:
            self._best_effort(self._csv.path, lambda: self._csv.append({"step": step, **numbers}))
        self.scalars(numbers, step)

    def scalars(self, numbers: Mapping[str, float], step: int) -> None:
        """Numbers for TensorBoard alone."""
        if self._best_effort is not None:
            self._best_effort(
                self._tensorboard.folder, lambda: self._tensorboard.append(numbers, step)
            )

    def close(self) -> None:
        """Write what a full disk refused before."""
        if self._best_effort is not None:
            self._best_effort(self._csv.path, self._csv.flush)
            self._best_effort(self._tensorboard.folder, self._tensorboard.flush)


class CsvLog:
    """A CSV file to which rows are appended one by one.

    Args:
        path: The file.
        columns: Its columns; others that turn up, there or in a row, are added.
        last_step: Rows of later steps, left by a run that went on after its last checkpoint, are
            dropped, so that the log reads as if the run had never been interrupted.

    Raises:
        OSError: The file cannot be written.
    """

    def __init__(self, path: Path, columns: Sequence[str], last_step: int) -> None:
        self.path = path
        self._file = GrowingFile(path)
        self._columns = tuple(columns)
        self._rewrite([row for row in read_log(path) if row["step"] <= last_step])

    def append(self, row: Mapping[str, float]) -> None:
        """Append one row.

        Raises:
            OSError: The file cannot be written.
        """
        if not row.keys() <= set(self._columns):
            self._rewrite(read_log(self.path), row)
        self._file.append(self._line(row))

    def flush(self) -> None:
        """Write what is still to be written.

        Raises:
            OSError: The file cannot be written.
        """
        self._file.append(b"")

    def _rewrite(self, rows: Sequence[Mapping[str, float]], *more: Mapping[str, float]) -> None:
        found = (name for row in (*rows, *more) for name in row)
        self._columns = tuple(dict.fromkeys((*self._columns, *found)))
        header = (",".join(self._columns) + "\n").encode()
        write_file(self.path, header + b"".join(map(self._line, rows)))

    def _line(self, row: Mapping[str, float]) -> bytes:
        return (",".join(_cell(row.get(name)) for name in self._columns) + "\n").encode()


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
                row = {name: value for name, value in found if _kept(name, value)}
                if "step" in row:
                    rows.append(row)
    return rows


def _cells(line: bytes) -> list[str]:
    try:
        return next(csv.reader([line.decode("utf-8", "replace")]))
    except (csv.Error, StopIteration):
        return []


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
    """Whether a cell means something: only what a validation measures can be infinite."""
    return math.isfinite(value) or (name.startswith("val_") and value == math.inf)
