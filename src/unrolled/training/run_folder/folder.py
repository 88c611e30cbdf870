"""The folder of one run: what lies where, how it comes into being, who may write to it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from unrolled.errors import RUNTIME, UserError, reason
from unrolled.files import remove_strays, sync_folder, write_file
from unrolled.training.run_folder.lock import NAME, STALE, FolderLock

_HIDDEN = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{12}\.(?P<kind>draft|old)")
"""Names of the folders beside a run while it is set up (draft) or gives way to a new one (old)."""


class RunFolder:
    """Paths of one run.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.options = self.path / "options.toml"
        self.weights = self.path / "weights.safetensors"
        self.checkpoint = self.path / "checkpoint.safetensors"
        self.log = self.path / "log.csv"
        self.lens = self.path / "lens.jsonl"
        self.tensorboard = self.path / "tensorboard"
        self.samples = self.path / "samples"
        self.summary = self.path / "summary.json"
        self.report = self.path / "report.html"
        self.cache = self.path / "cache"
        self._lock: FolderLock | None = None

    @classmethod
    def existing(cls, path: Path | str) -> RunFolder:
        """An existing run.

        Raises:
            UserError: There is no such folder, or it is not a run.
        """
        folder = cls(path)
        if not folder.path.exists():
            sweep(_place(folder.path))  # a kill may have left it under its hidden name
        if not folder.path.exists():
            raise UserError(f"{folder.path}: no such run")
        if not folder.path.is_dir():
            raise UserError(f"{folder.path}: expected the folder of a run, got a file")
        if not folder.options.is_file():
            raise UserError(f"{folder.path}: not a run: it has no {folder.options.name}")
        return folder

    @classmethod
    @contextmanager
    def created(
        cls, path: Path | str, fill: Callable[[RunFolder], None], *, overwrite: bool = False
    ) -> Iterator[RunFolder]:
        """A new run, held by this process until the block ends.

        It is filled in a hidden folder beside its place, which then takes its name; an older run
        gives way at that moment and not before. At any moment a run of that name is there, or the
        next process that asks for it puts the old one back. If ``fill`` raises, nothing remains.

        Args:
            path: The folder.
            fill: Writes the run's files to the folder that it is given.
            overwrite: Let an older run give way.

        Raises:
            UserError: Something is there already (with ``overwrite``: something that is not a
                run, or a run that another process holds), or the folder cannot be created.
        """
        folder = cls(path)
        place = _place(folder.path)
        sweep(place)
        folder._check_free(overwrite=overwrite)
        with FolderLock(place) if place.exists() else contextlib.nullcontext() as older:
            lock = _put(place, fill, older)
        with folder._holding(lock):
            yield folder

    def _check_free(self, *, overwrite: bool) -> None:
        if self.path.exists() or self.path.is_symlink():
            if not overwrite:
                raise UserError(
                    f"{self.path}: already exists; choose another --out, "
                    f"give --overwrite, or continue it with --resume {self.path}"
                )
            if not self.options.is_file():
                raise UserError(
                    f"{self.path}: not a run, so --overwrite leaves it alone; choose another --out"
                )
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.path}: cannot create the folder: {reason(error)}") from error

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the run for this process.

        Raises:
            UserError: Another process holds it, or the folder cannot be written.
        """
        with self._holding(FolderLock(self.path)):
            remove_strays(self.path)
            sweep(_place(self.path))
            yield

    @contextmanager
    def _holding(self, lock: FolderLock) -> Iterator[None]:
        self._lock = lock
        try:
            with lock:
                yield
        finally:
            self._lock = None

    def check(self) -> None:
        """See that the run is still this process's own; nothing to see if it never held it.

        Raises:
            UserError: It was replaced, removed, or taken over by another process.
        """
        if self._lock is None:
            return
        self._lock.check()
        if not self.options.exists():
            raise UserError(f"{self.path}: its files were removed by somebody else", code=RUNTIME)

    def write(self, path: Path, data: bytes) -> None:
        """Replace one of the run's files in one step, if the run is still this process's own.

        Raises:
            UserError: As ``check``.
            OSError: The folder cannot be written, or the disk is full.
        """
        self.check()
        write_file(path, data, ready=self.check)


def sweep(place: Path) -> None:
    """Put right what killed processes left beside a run: hidden folders that nobody holds.

    A run that was about to give way to a new one gets its name back if nothing has taken it; all
    else is removed.

    Args:
        place: The run; folders of other runs beside it are treated alike.
    """
    with contextlib.suppress(OSError):  # not ours to tidy up, or being tidied up by another
        for path in place.parent.iterdir():
            found = _HIDDEN.fullmatch(path.name)
            if found is not None and not path.is_symlink() and path.is_dir():
                _sweep_one(path, path.with_name(found["name"]), found["kind"])


def _sweep_one(path: Path, place: Path, kind: str) -> None:
    mark = path / NAME
    if not (mark.exists() and mark.stat().st_size) and time.time() - path.stat().st_mtime < STALE:
        return  # about to be held by the process that made it
    try:
        lock = FolderLock(path)
    except UserError:
        return  # in use
    with lock:
        if kind == "draft":
            shutil.rmtree(path, ignore_errors=True)
        elif os.path.lexists(place):
            _remove(path)
        else:
            path.rename(place)


def _put(place: Path, fill: Callable[[RunFolder], None], older: FolderLock | None) -> FolderLock:
    """Set up a run and put it in its place; an older one, whose lock is given, gives way.

    Returns:
        The new run's lock, held.
    """
    draft, old = (_hidden(place, kind) for kind in ("draft", "old"))
    lock: FolderLock | None = None
    try:
        draft.mkdir()
        lock = FolderLock(draft)
        fill(RunFolder(draft))
        if older is not None:
            older.check()
            place.rename(old)
        draft.rename(place)
        lock.moved(place)
        sync_folder(place.parent)
    except BaseException as error:
        if old.exists() and not place.exists():
            old.rename(place)
        if lock is not None:
            lock.release()
        shutil.rmtree(draft, ignore_errors=True)
        if isinstance(error, OSError) and error.filename in (str(draft), str(place)):
            raise UserError(f"{place}: cannot create the folder: {reason(error)}") from error
        raise
    _remove(old)
    return lock


def _remove(path: Path) -> None:
    """Remove a run that gave way; half removed, it must not look like one to be put back."""
    if path.exists():
        doomed = path.with_name(path.name.removesuffix("old") + "draft")
        path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _hidden(place: Path, kind: str) -> Path:
    return place.with_name(f".{place.name}.{uuid.uuid4().hex[:12]}.{kind}")


def _place(path: Path) -> Path:
    """Where a run really lies: not a link to it, and with a name even for ``.``."""
    return Path(os.path.realpath(path))
