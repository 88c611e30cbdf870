"""The folder of compiled kernels: what is loaded from it was put there by this user, whole.

A library is called ``KEY.DIGEST.so``: what it was made of, and what it holds. So one rename makes
it appear, complete, whoever else makes the same at the same time; and what was cut off or changed
afterwards has the wrong name.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ABANDONED = 86400
"""Seconds after which a workshop is one of a process that was killed."""

_NAME_ANOTHER = "Name another folder in $UNROLLED_CACHE"


class UnavailableError(Exception):
    """There is no kernel; says why, and what the user can do about it."""

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(reason)
        self.advice = advice


def cache_folder() -> Path:
    """The folder, made if need be.

    ``$UNROLLED_CACHE``, or ``unrolled`` in the user's folder of caches.

    Raises:
        UnavailableError: if it cannot be made, or others can put files into it.
    """
    named = os.environ.get("UNROLLED_CACHE")
    try:
        folder = Path(named).absolute() if named else _caches() / "unrolled"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except (OSError, RuntimeError) as error:  # without a home there is a RuntimeError
        raise UnavailableError(
            f"there is no folder for compiled kernels: {error}", _NAME_ANOTHER
        ) from None
    if not _ours(status):
        raise UnavailableError(
            f"others can write in {folder}, where compiled kernels are kept",
            f"{_NAME_ANOTHER}, or make this one yours alone (chown, chmod 700)",
        )
    return folder


def cached(folder: Path, key: str) -> Path | None:
    """The library of a key, if it is there, whole, and nobody else's."""
    for path in sorted(folder.glob(f"{key}.*.so")):
        try:
            status = path.lstat()
            regular = stat.S_ISREG(status.st_mode) and _ours(status)
            named = regular and path.name == _name(key, path.read_bytes())
            whole = named and is_whole(path)
        except OSError:
            continue
        if whole:
            return path
        if named:  # kept by mistake, and no other file will ever take its name
            forget(path)
    return None


def is_whole(library: Path) -> bool:
    """Whether a library is there from its first byte to its last.

    To load a part of one ends the process: what lies past the file's end cannot be read. An ELF
    file has its table of sections at the end, and says at the beginning where that is.
    """
    try:
        data = library.read_bytes()
    except FileNotFoundError:
        return False
    if data[:4] != b"\x7fELF":
        return sys.platform != "linux" and len(data) > 0
    if len(data) < 64:
        return False
    if data[4:6] != b"\x02\x01":  # not of 64 bits, the lowest byte first
        return True
    table: int = struct.unpack_from("<Q", data, 40)[0]
    size, count = struct.unpack_from("<HH", data, 58)
    return len(data) >= table + int(size) * int(count)


def forget(library: Path) -> None:
    """Remove a library that cannot be loaded."""
    try:
        library.unlink(missing_ok=True)
    except OSError as error:
        raise UnavailableError(
            f"a compiled kernel cannot be loaded, nor removed: {error}", _NAME_ANOTHER
        ) from None


@contextmanager
def workshop(folder: Path) -> Iterator[Path]:
    """A place to make a library in, on the cache's own file system; gone afterwards.

    Raises:
        UnavailableError: if nothing can be written there.
    """
    try:
        _sweep(folder)
        place = Path(tempfile.mkdtemp(prefix="making-", dir=folder))
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)
    except OSError as error:
        reason = f"compiled kernels cannot be kept: {error}"
        raise UnavailableError(reason, _NAME_ANOTHER) from None


def keep(folder: Path, key: str, made: Path) -> Path:
    """Put a finished library into the cache."""
    made.chmod(0o700)  # a liberal umask let others write
    return made.replace(folder / _name(key, made.read_bytes()))


def _name(key: str, content: bytes) -> str:
    return f"{key}.{hashlib.sha256(content).hexdigest()[:32]}.so"


def _ours(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _caches() -> Path:
    """The user's folder of caches, as the system has it."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    if Path(given).is_absolute():
        return Path(given)
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")


def _sweep(folder: Path) -> None:
    """Remove the workshops of processes that were killed."""
    for place in folder.glob("making-*"):
        try:
            if time.time() - place.stat().st_mtime > _ABANDONED:
                shutil.rmtree(place, ignore_errors=True)
        except OSError:  # somebody else was quicker
            continue
