"""The lock of a folder: one process at a time writes to it or replaces it, and is named in it.

Two things keep a second process out. On one machine it is the system's lock on the file
(``flock``), which ends with the process that holds it, however that ends. Between machines that
share a file system the system's lock may not reach, so the file's content names the owner, and the
owner touches the file every few seconds for as long as it lives.

What neither can prevent (somebody deletes the file, or the folder, or a machine sleeps so long that
another takes over) the owner notices: it compares the file's content with its own before it writes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from unrolled.errors import RUNTIME, UserError, reason
from unrolled.files import check_regular, parse_json, read_bytes

NAME = ".lock"
TOUCHED_EVERY = 10.0
"""Seconds between two touches by the owner."""
STALE = 60.0
"""Seconds without a touch after which an owner on another machine counts as dead."""
_LARGEST = 1 << 16


@dataclass(frozen=True)
class Owner:
    """The process that a lock belongs to.

    Attributes:
        pid: Its number.
        host: Name of its machine.
        boot: Identity of its machine's kernel since it was started; processes with the same one
            share the system's locks.
        since: Local time at which it took the lock.
        command: Its command line.
        token: Tells two locks of one process apart.
    """

    pid: int
    host: str
    boot: str
    since: str
    command: str
    token: str

    @classmethod
    def myself(cls) -> Owner:
        """This process."""
        command = shlex.join([Path(sys.argv[0] or "python").name, *sys.argv[1:]])
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        return cls(
            os.getpid(), socket.gethostname(), _boot(), since, command[:500], uuid.uuid4().hex
        )

    def __str__(self) -> str:
        """For messages."""
        return f"process {self.pid} on {self.host} since {self.since} ({self.command})"


class FolderLock:
    """A lock on a folder, held from its creation until it is released.

    Args:
        folder: The folder.

    Attributes:
        folder: The same; renamed with ``moved``.

    Raises:
        UserError: Another process holds the folder, or it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._content = json.dumps(asdict(Owner.myself())).encode()
        self._directory: int | None = None
        self._file: int | None = None
        self._released = threading.Event()
        try:
            if hasattr(os, "O_DIRECTORY"):
                self._directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            self._file = self._take(os.O_CREAT)
        except BaseException as error:
            self._close()
            if isinstance(error, OSError):
                raise UserError(f"{folder}: cannot write there: {reason(error)}") from error
            raise
        threading.Thread(target=self._touch, name="lock", daemon=True).start()

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    @property
    def path(self) -> Path:
        """The file of the lock."""
        return self.folder / NAME

    def moved(self, folder: Path) -> None:
        """Go on under the folder's new name."""
        self.folder = folder

    def check(self) -> None:
        """See that the folder still belongs to this process.

        A lock file that was deleted is put back, unless another process was quicker.

        Raises:
            UserError: The folder was replaced or removed, or another process holds it.
        """
        if self._directory is not None:
            try:
                same = os.path.samestat(os.fstat(self._directory), self.folder.stat())
            except (FileNotFoundError, NotADirectoryError):
                same = False
            if not same:
                raise UserError(
                    f"{self.folder}: was replaced or removed by somebody else; this process writes "
                    "nothing more to it",
                    code=RUNTIME,
                )
        if not os.path.lexists(self.path):
            try:
                file = self._take(os.O_CREAT | os.O_EXCL)
            except FileExistsError:
                pass  # the other's content tells, below
            else:
                if self._file is not None:
                    os.close(self._file)
                self._file = file
        content = read_bytes(self.path, _LARGEST)
        if content != self._content:
            who = _owner(content, self.path) or "another process"
            raise UserError(
                f"{self.folder}: was taken over by {who}; this process writes nothing more to it",
                code=RUNTIME,
            )

    def release(self) -> None:
        """Let others have the folder."""
        self._released.set()
        try:
            if self._file is not None and _read(self._file) == self._content:
                _write(self._file, b"")
        finally:
            self._close()

    def _close(self) -> None:
        for handle in (self._file, self._directory):
            if handle is not None:
                os.close(handle)
        self._file = self._directory = None

    def _take(self, flags: int) -> int:
        """Open the lock's file, and make it this process's own."""
        if os.path.lexists(self.path) and not flags & os.O_EXCL:
            check_regular(self.path)
        # A link is not followed: what it leads to would be overwritten.
        flags |= os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        file = os.open(self.path, flags, 0o666)
        try:
            locked = _flock(file)
            content = _read(file)
            owner = _owner(content, self.path)
            if locked is None:
                local = owner is not None and owner.boot == _boot()
                how = f": kill {owner.pid}" if owner is not None and local else ""
                self._refuse(owner, f"wait for it, or stop it{how}")
            # With the system's lock in hand an owner under the same kernel is dead.
            dead = locked and owner is not None and owner.boot == _boot()
            if content and not dead and _now(self.folder) - os.fstat(file).st_mtime < STALE:
                hint = f"if it no longer runs, wait {STALE:.0f} seconds or delete {self.path}"
                self._refuse(owner, hint)
            _write(file, self._content)
        except BaseException:
            os.close(file)
            raise
        return file

    def _refuse(self, owner: Owner | None, hint: str) -> NoReturn:
        who = "another process" if owner is None else str(owner)
        raise UserError(f"{self.folder}: held by {who}; {hint}")

    def _touch(self) -> None:
        """Show other machines that this process lives."""
        while not self._released.wait(TOUCHED_EVERY):
            with contextlib.suppress(OSError):  # if it lasts, the next write finds out why
                os.utime(self.path)


def _flock(file: int) -> bool | None:
    """Take the system's lock: True if ours, None if another has it, False where there is none."""
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    except OSError:  # a file system without
        return False
    return True


def _owner(content: bytes, path: Path) -> Owner | None:
    """The owner that a lock's content names."""
    try:
        record = parse_json(content, path)
        owner = Owner(**record)
        return owner if isinstance(owner.boot, str) else None
    except (UserError, TypeError):
        return None


def _read(file: int) -> bytes:
    os.lseek(file, 0, os.SEEK_SET)
    return os.read(file, _LARGEST)


def _write(file: int, content: bytes) -> None:
    os.ftruncate(file, 0)
    os.lseek(file, 0, os.SEEK_SET)
    os.write(file, content)


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return socket.gethostname()


def _now(folder: Path) -> float:
    """The time by the clock of the folder's file system, which may be another machine's."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime
