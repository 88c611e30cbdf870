"""The looks of a run, one JSON object per line, and how they are read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from unrolled.errors import UserError
from unrolled.files import LARGEST_LOG, GrowingFile, open_regular, parse_json, write_file
from unrolled.training.probe.look import Look

_LONGEST = 1 << 24
"""Bytes of a line; a layer takes about ten for each step of a chunk."""


class LookLog:
    """A file to which looks are appended one by one.

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
        self._file = GrowingFile(path)
        self.looks = [look for look in read_looks(path) if look.step <= last_step]
        if self.looks or path.exists():
            write_file(path, b"".join(map(_line, self.looks)))

    def append(self, look: Look) -> None:
        """One more look.

        Raises:
            OSError: The file cannot be written.
        """
        self.looks.append(look)
        self._file.append(_line(look))


def read_looks(path: Path) -> list[Look]:
    """The looks of a file, lines that are none left out; no looks if there is no file.

    Raises:
        UserError: It is not a regular file, or cannot be read.
    """
    if not path.exists():
        return []
    looks = []
    with open_regular(path, LARGEST_LOG) as file:
        while line := file.readline(_LONGEST):
            try:
                looks.append(Look.from_record(parse_json(line, path)))
            except (UserError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
                continue  # cut short by a crash, or edited
    return looks


def _line(look: Look) -> bytes:
    return json.dumps(_rounded(look.record())).encode() + b"\n"


def _rounded(value: Any) -> Any:
    """Five digits are more than any curve shows."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return value
