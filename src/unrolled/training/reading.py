"""Reading files that somebody else may have put there: regular files only, of a bounded size."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from unrolled.training.errors import UserError, reason

LARGEST = 64 << 20
"""Bytes of a file that is read whole; those that we write ourselves stay far below."""
LARGEST_LOG = 1 << 30
"""Bytes of a log, which grows with the training and is read line by line."""

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_regular(path: Path, largest: int | None = None) -> None:
    """Refuse a path that is no regular file: a pipe is waited for, a device may never end.

    Args:
        path: The file.
        largest: Most bytes that it may have.

    Raises:
        UserError: There is no such file, it is not a regular one, or it is too large.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise UserError(f"{path}: {reason(error)}") from error
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise UserError(f"{path}: expected a file, got {kind}")
    if largest is not None and found.st_size > largest:
        raise UserError(f"{path}: expected at most {largest:,} bytes, got {found.st_size:,}")


def open_regular(path: Path, largest: int | None = None) -> BinaryIO:
    """Open a regular file for reading, in binary.

    Raises:
        UserError: As ``check_regular``, or the file cannot be read.
    """
    check_regular(path, largest)
    try:
        # Not to wait, should a pipe have taken the file's place since.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise UserError(f"{path}: {reason(error)}") from error
    return os.fdopen(handle, "rb")


def read_bytes(path: Path, largest: int = LARGEST) -> bytes:
    """The content of a regular file.

    Raises:
        UserError: As ``open_regular``.
    """
    with open_regular(path, largest) as file:
        try:
            return file.read(largest)  # a file of /proc has no size
        except OSError as error:
            raise UserError(f"{path}: {reason(error)}") from error


def read_json(path: Path) -> Any:
    """A JSON file.

    Raises:
        UserError: As ``read_bytes``, or the file is not JSON in UTF-8.
    """
    try:
        text = read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: corrupt or truncated: {error}") from error
    return parse_json(text, path)


def parse_json(text: str | bytes, path: Path) -> Any:
    """JSON that was read from a file.

    Raises:
        UserError: It is not JSON, or nested deeper than Python can read.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"{path}: corrupt or truncated: {error}") from error
    except RecursionError as error:
        raise UserError(f"{path}: corrupt: nested too deeply") from error
