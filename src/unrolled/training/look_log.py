"""The looks of a run, one JSON object per line, and how they are read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from unrolled.training.atomic import write_file
from unrolled.training.look import Look


class LookLog:
    """A file to which looks are appended, flushed one by one.

    Args:
        path: The file.
        last_step: Looks at later steps, left by a run that went on after its last checkpoint, are
            dropped.

    Attributes:
        looks: All that it holds.

    Raises:
        OSError: The file cannot be written.
    """

    def __init__(self, path: Path, last_step: int) -> None:
        self.path = path
        self.looks = [look for look in read_looks(path) if look.step <= last_step]
        if self.looks or path.exists():
            write_file(path, "".join(map(_line, self.looks)).encode())

    def append(self, look: Look) -> None:
        """One more look."""
        self.looks.append(look)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(look))


def read_looks(path: Path) -> list[Look]:
    """The looks of a file, lines that are none left out; no looks if there is no file."""
    if not path.exists():
        return []
    looks = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            looks.append(Look.from_record(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # cut short by a crash
    return looks


def _line(look: Look) -> str:
    return json.dumps(_rounded(look.record())) + "\n"


def _rounded(value: Any) -> Any:
    """Five digits are more than any curve shows."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return value
