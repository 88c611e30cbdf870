"""Files that other processes and other people touch, too.

They are written so that they are the old ones or the new ones whenever the process dies, and read
only if they are regular and of a bounded size.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from unrolled.errors import UserError, reason

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


def write_file(
    path: Path,
    data: bytes,
    *,
    ready: Callable[[], None] = lambda: None,
    private: bool = False,
) -> None:
    """Replace a file by new content in one step, as ``replacing`` does.

    Args:
        path: The file.
        data: Its new content.
        ready: Called right before the rename; if it raises, the old file stays.
        private: Let nobody else read or write it, whatever the process's umask says.

    Raises:
        OSError: The folder cannot be written, or the disk is full; the old file is untouched.
    """
    with replacing(path, ready=ready, private=private) as file:
        file.write(data)


@contextmanager
def replacing(
    path: Path, *, ready: Callable[[], None] = lambda: None, private: bool = False
) -> Iterator[BinaryIO]:
    """A file to write that takes a name when the block ends, in one step.

    The content goes to a temporary file in the same folder, is flushed to the disk, takes the name
    by a rename (atomic within one file system), and the folder's entry is flushed in turn. A crash
    leaves the old content or the new, and at worst a stray ``.NAME.*.tmp`` that
    ``remove_strays`` clears.

    Args:
        path: The name.
        ready: Called right before the rename; if it raises, the old file stays.
        private: Let nobody else read or write it, whatever the process's umask says.

    Raises:
        OSError: The folder cannot be written, or the disk is full; the old file is untouched.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if not private and hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), 0o666 & ~_umask())  # mkstemp's 0600 is for secrets
        ready()
        Path(temporary).replace(path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk does not say for which file
        raise
    sync_folder(path.parent)


class GrowingFile:
    """A file that is only appended to; what a full disk refuses is kept for the next time.

    It is open only while it is written to, and nothing is left to close.

    Args:
        path: The file.
    """

    KEPT = 1 << 24
    """Bytes kept at most; what is appended beyond is lost."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pending = b""

    def append(self, data: bytes) -> None:
        """Append what is still to be written, and this.

        Raises:
            OSError: It cannot be written, or in part only.
        """
        if len(self._pending) + len(data) <= self.KEPT:
            self._pending += data
        if not self._pending:
            return
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)
        with os.fdopen(os.open(self.path, flags, 0o666), "wb", buffering=0) as file:
            while self._pending:
                self._pending = self._pending[file.write(self._pending) :]


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, where the system can do that."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_strays(folder: Path) -> None:
    """Remove temporary files that a killed writer left in a folder and those within it."""
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.startswith(".") and name.endswith(".tmp"):
                Path(parent, name).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
