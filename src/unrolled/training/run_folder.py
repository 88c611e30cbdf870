"""The folder of one run: what lies where, how it comes into being, who may write to it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unrolled.training.atomic import remove_strays, sync_folder
from unrolled.training.errors import UserError, reason


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

    @classmethod
    def existing(cls, path: Path | str) -> RunFolder:
        """An existing run.

        Raises:
            UserError: There is no such folder, or it is not a run.
        """
        folder = cls(path)
        if not folder.path.exists():
            raise UserError(f"{folder.path}: no such run")
        if not folder.path.is_dir():
            raise UserError(f"{folder.path}: expected the folder of a run, got a file")
        if not folder.options.is_file():
            raise UserError(f"{folder.path}: not a run: it has no {folder.options.name}")
        return folder

    @classmethod
    def check_new(cls, path: Path | str, *, overwrite: bool) -> None:
        """Refuse, before any work, a place where a new run cannot be put.

        Raises:
            UserError: Something is there already (with ``overwrite``: something that is not a
                run), or the folder above cannot be written.
        """
        folder = cls(path)
        if folder.path.exists() or folder.path.is_symlink():
            if not overwrite:
                raise UserError(
                    f"{folder.path}: already exists; choose another --out, "
                    f"give --overwrite, or continue it with --resume {folder.path}"
                )
            if not folder.options.is_file():
                raise UserError(
                    f"{folder.path}: not a run, so --overwrite leaves it alone; "
                    "choose another --out"
                )
        try:
            folder.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder.path}: cannot create the folder: {reason(error)}") from error

    @contextmanager
    def building(self) -> Iterator[RunFolder]:
        """Fill a new run in a hidden folder beside it, which takes its name when the block ends.

        An older run of that name gives way at that moment. If the block raises, nothing remains.

        Raises:
            UserError: The folder cannot be created.
        """
        name = self.path.name
        draft = RunFolder(self.path.parent / f".{name}.{os.getpid()}.draft")
        old = self.path.parent / f".{name}.{os.getpid()}.old"
        try:
            draft.path.mkdir()
        except OSError as error:
            raise UserError(f"{self.path}: cannot create the folder: {reason(error)}") from error
        try:
            yield draft
            if self.path.exists():
                self.path.rename(old)
            draft.path.rename(self.path)
            sync_folder(self.path.parent)
        finally:
            shutil.rmtree(draft.path, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the run for one training process; the system lets go of it if the process dies.

        Raises:
            UserError: Another process trains this run, or the folder cannot be written.
        """
        try:
            import fcntl
        except ImportError:  # Windows: without the lock
            yield
            return
        try:
            file = (self.path / ".lock").open("w")
        except OSError as error:
            raise UserError(f"{self.path}: cannot write there: {reason(error)}") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UserError(f"{self.path}: another process is training this run") from error
            remove_strays(self.path)
            yield
