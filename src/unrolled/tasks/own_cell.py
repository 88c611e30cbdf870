"""A user's own cell: the class from the user's file, kept with the run, run only if trusted.

A run that was trained with ``--cell file.py:MyCell`` holds that file as ``cell.py``. It is code,
and a run may come from anywhere; so it is executed only where its user has trained with it before,
or says so. What is trusted is kept by content in the user's cache folder, as
``trusted_cells/SHA256.py``.
"""

from __future__ import annotations

import copyreg
import hashlib
import os
import re
import stat
import sys
import traceback
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from unrolled.cells import Cell
from unrolled.errors import UserError, reason
from unrolled.files import read_bytes, write_file
from unrolled.ranges import shown

FILE = "cell.py"
"""Name of the cell's source in a run folder."""

LARGEST_SOURCE = 1 << 20
"""Bytes of a file with cells."""

_KEPT = re.compile(r"(?P<rest>.+)@(?P<digest>[0-9a-f]{64})", re.DOTALL)


@dataclass(frozen=True)
class OwnCell:
    """A cell of the user's own as an option names it: ``FILE.py:CLASS``, or ``…@SHA256`` in a run.

    Attributes:
        file: The file's name.
        name: The class's.
        digest: SHA-256 of the file, in hexadecimal; empty for one that is not kept with a run.
    """

    file: str
    name: str
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.name}" + (f"@{self.digest}" if self.digest else "")


def is_own(cell: str) -> bool:
    """Whether an option's value means a file rather than a cell of the library."""
    return ":" in cell or "/" in cell or os.sep in cell or cell.endswith(".py")


def parse(cell: str) -> OwnCell:
    """The parts of an option's value; reads no file.

    Raises:
        UserError: It is not FILE.py:CLASS.
    """
    kept = _KEPT.fullmatch(cell)
    file, colon, name = (kept["rest"] if kept else cell).rpartition(":")
    if not colon or not file.endswith(".py") or not name.isidentifier():
        raise UserError(f"--cell: expected FILE.py:CLASS for a cell of your own, got {shown(cell)}")
    return OwnCell(file, name, kept["digest"] if kept else "")


def load_file(own: OwnCell) -> tuple[type[Cell], bytes]:
    """Execute the user's file.

    Returns:
        The class, and the source that was executed.

    Raises:
        UserError: There is no such file or class, or an exception ended the file's execution.
    """
    path = Path(own.file)
    source = _read(path)
    return _load(source, path, own.name), source


def keep(own: OwnCell, folder: Path) -> OwnCell:
    """Put a user's cell into a new run, and trust it from now on.

    Returns:
        The cell as the run's options name it.

    Raises:
        UserError: As `load_file`; it is another run's; or the trust cannot be kept.
    """
    if own.digest:
        raise UserError(
            f"--cell: {own.file}:{own.name} is kept with a run; to train with it again give "
            f"--cell RUN/{FILE}:{own.name}"
        )
    _, source = load_file(own)
    trust(source)
    write_file(folder / FILE, source)
    return OwnCell(FILE, own.name, digest(source))


def load_kept(own: OwnCell, folder: Path, trusted: str | None = None) -> type[Cell]:
    """The cell of a run.

    Args:
        own: As the run's options name it; whatever file that is, only the run's is read.
        folder: The run.
        trusted: ``FILE.py:CLASS`` that the user has given and so trusts; it must be the run's cell.

    Raises:
        UserError: The file is not there, not the one that the run was trained with, or not trusted;
            or as `load_file`. Nothing was executed, but in the last case.
    """
    path, name = folder / FILE, own.name
    if trusted is not None:
        given = parse(trusted)
        path, name = Path(given.file), given.name
        if name != own.name:
            raise UserError(f"--cell {trusted}: the run's cell is called {own.name}, got {name}")
    elif path.is_symlink():
        raise UserError(f"{path}: expected a file, got a symbolic link")
    source = _read(path)
    if own.digest and digest(source) != own.digest:
        raise UserError(
            f"{path}: not the cell that {folder} was trained with: expected a file with SHA-256 "
            f"{own.digest[:12]}…, got {digest(source)[:12]}…"
        )
    if trusted is None and not is_trusted(source):
        raise UserError(
            f"{path}: this run's cell is code of somebody else; read it, and then give "
            f"--cell {path}:{name} to run it"
        )
    return _load(source, path, name)


def trust(source: bytes) -> None:
    """Let this user's runs execute a source from now on.

    Raises:
        UserError: The cache folder cannot be written, or others can write to it.
    """
    folder = _trust_folder()
    try:
        write_file(folder / f"{digest(source)}.py", source, private=True)
    except OSError as error:
        raise UserError(
            f"--cell: the trust in a cell of your own cannot be kept: {folder}: {reason(error)}"
        ) from error


def trust_given(cell: str, folder: Path) -> None:
    """Trust the own cell of a run, which the user has read and names: ``RUN/cell.py:CLASS``.

    Raises:
        UserError: The run has no such cell, or the trust cannot be kept.
    """
    source = _read(Path(parse(cell).file))
    if source != _read(folder / FILE):
        raise UserError(
            f"--cell {cell}: not the file that the run was trained with, {folder / FILE}"
        )
    trust(source)


def is_trusted(source: bytes) -> bool:
    """Whether this user has trained with a source, or said that it may be executed.

    Raises:
        UserError: As `trust`.
    """
    path = _trust_folder() / f"{digest(source)}.py"
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or not _is_private(status):
            return False
        return read_bytes(path, LARGEST_SOURCE) == source
    except (OSError, UserError):
        return False


def _trust_folder() -> Path:
    """The folder of trusted sources; nobody but this user can put anything there."""
    from unrolled.engine.cpu.library_cache import UnavailableError, cache_folder

    try:
        folder = cache_folder() / "trusted_cells"
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except UnavailableError as error:
        raise UserError(
            f"--cell: the trust in a cell of your own cannot be kept: {error}. {error.advice}"
        ) from error
    except OSError as error:
        raise UserError(
            f"--cell: the trust in a cell of your own cannot be kept: {reason(error)}"
        ) from error
    if not stat.S_ISDIR(status.st_mode) or not _is_private(status):
        raise UserError(
            f"{folder}: expected a folder that only you can write to (chown, chmod 700)"
        )
    return folder


def _is_private(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _read(path: Path) -> bytes:
    return read_bytes(path, LARGEST_SOURCE)


def digest(source: bytes) -> str:
    """SHA-256 of a source, in hexadecimal."""
    return hashlib.sha256(source).hexdigest()


def _load(source: bytes, path: Path, name: str) -> type[Cell]:
    """A class of a source, which is executed once in a process, whatever file it comes from.

    One source gives one class: cells are equal if their classes are the same, and kernels are found
    by cell.
    """
    module = sys.modules.get(_module_name(source)) or _execute(source, path)
    found = getattr(module, name, None)
    cells = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Cell)
        and value.__module__ == module.__name__
    }
    if name in cells:
        kind = cells[name]
        _see(kind, path)
        copyreg.pickle(kind, partial(_reduced, source, str(path)))
        return kind
    there = f"the cells there are {', '.join(cells)}" if cells else "it defines no cell"
    what = "there is no such class" if found is None else "it is not a cell that is defined there"
    raise UserError(f"{path}: {name}: {what}; {there}")


def _execute(source: bytes, path: Path) -> ModuleType:
    module = ModuleType(_module_name(source))
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), vars(module))  # noqa: S102
    except BaseException as error:
        del sys.modules[module.__name__]
        if isinstance(error, Exception | SystemExit):
            raise UserError(
                f"{_place(error, path)}: while the file was executed: {_words(error)}"
            ) from error
        raise
    return module


def _see(kind: type[Cell], path: Path) -> None:
    """Run the step on symbols, so that a mistake in the equations is found at once.

    Raises:
        UserError: The step is missing or does something that is not an equation.
    """
    from unrolled.compiler.trace import trace
    from unrolled.compiler.traced import TraceError

    try:
        trace(kind())
    except TraceError as error:  # says where
        raise UserError(str(error)) from error
    except (Exception, SystemExit) as error:
        raise UserError(
            f"{_place(error, path)}: the equations of {kind.__name__} cannot be read: "
            f"{_words(error)}"
        ) from error


def _module_name(source: bytes) -> str:
    return f"unrolled_own_cell_{digest(source)[:32]}"


def _words(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _place(error: BaseException, path: Path) -> str:
    """File and line where an exception was raised, as far as the user's file goes."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines.append(error.lineno)
    return f"{path}:{lines[-1]}" if lines and lines[-1] is not None else str(path)


def _reduced(source: bytes, path: str, cell: Cell) -> tuple[Any, ...]:
    """A cell for pickle, with its source: the other process has no module of that name."""
    _, _, choices = cell.__reduce__()
    return _restored, (source, path, type(cell).__name__), choices


def _restored(source: bytes, path: str, name: str) -> Cell:
    return _load(source, Path(path), name)()
