"""Files that are either the old ones or the new ones, whenever the process dies, and logs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def write_file(path: Path, data: bytes, *, ready: Callable[[], None] = lambda: None) -> None:
    """Replace a file by new content in one step.

    The content goes to a temporary file in the same folder, is flushed to the disk, takes the name
    by a rename (atomic within one file system), and the folder's entry is flushed in turn. A crash
    leaves the old content or the new, and at worst a stray ``.NAME.*.tmp`` that
    ``remove_strays`` clears.

    Args:
        path: The file.
        data: Its new content.
        ready: Called right before the rename; if it raises, the old file stays.

    Raises:
        OSError: The folder cannot be written, or the disk is full; the old file is untouched.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if hasattr(os, "fchmod"):
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
