"""Jobs for recurrent networks: each has its data, its model, its metrics and its use.

::

    import unrolled

    book = unrolled.train("text", "book.txt", out="runs/book", hidden_size=512)
    print(book.generate("Once", length=200))
    again = unrolled.load("runs/book")

Importing this loads no torch; training and loading do.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.errors import UserError
from unrolled.ranges import shown

if TYPE_CHECKING:
    from unrolled.training.task import Task

_HOMES = {
    "classify": "unrolled.tasks.classify.task:TASK",
    "forecast": "unrolled.tasks.forecast.task:TASK",
    "music": "unrolled.tasks.music.task:TASK",
    "tag": "unrolled.tasks.tag.task:TASK",
    "text": "unrolled.tasks.text.task:TASK",
}


class _Tasks(Mapping[str, "Task"]):
    """The tasks by name, each imported when it is asked for."""

    def __getitem__(self, name: str) -> Task:
        module, attribute = _HOMES[name].split(":")
        task: Task = getattr(importlib.import_module(module), attribute)
        return task

    def __iter__(self) -> Iterator[str]:
        return iter(_HOMES)

    def __len__(self) -> int:
        return len(_HOMES)


TASKS: Mapping[str, Task] = _Tasks()
"""Every task by its name."""


def task_of(path: str | Path) -> Task:
    """The task of a run.

    Raises:
        UserError: The folder is not a run, or its task is not one of these.
    """
    from unrolled.training.options import read_toml
    from unrolled.training.run_folder.folder import RunFolder

    options = RunFolder.existing(path).options
    name = read_toml(options).get("task")
    if not isinstance(name, str) or name not in _HOMES:
        known = ", ".join(_HOMES)
        raise UserError(f"{options}: task: expected one of {known}, got {shown(name)}")
    return TASKS[name]


def train(
    task: str,
    data: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    overwrite: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> Any:
    """Train a model on files and keep everything in a run folder.

    A first SIGINT, SIGTERM or SIGHUP in the main thread finishes the current update, saves and
    returns.

    Args:
        task: Name of the task: ``text``, …
        data: One file or several.
        out: The run's folder.
        overwrite: Replace an older run there, unless another process holds it.
        quiet: Show no progress.
        **settings: Any option of ``unrolled train TASK``, with underscores: ``hidden_size=256``,
            ``val_data="other.txt"``, ``max_time="2m"``, …

    Returns:
        The predictor with the best weights, as `load` gives it; None in all processes but the
        first, where several train.

    Raises:
        UserError: A setting, the data or the folder cannot be used; or, with code 1, something
            could not be written, such as on a full disk.
    """
    from unrolled.training import session

    found = _task(task)
    options = options_from(found, {**settings, "data": data})
    summary = session.train(found, options, Path(out), overwrite=overwrite, quiet=quiet)
    return None if summary is None else session.load(found, out)


def resume(path: str | Path, *, quiet: bool = False, cell: str | None = None, **limits: Any) -> Any:
    """Go on with a run from its last checkpoint, with new limits if given.

    Args:
        path: The run's folder.
        quiet: Show no progress.
        cell: As `load` takes it.
        **limits: ``max_epochs``, ``max_steps``, ``max_time``, ``patience``, over the whole run.

    Returns:
        As `train`.

    Raises:
        UserError: The folder is not a run, something in it is corrupt, or a number stopped being
            finite.
    """
    from unrolled.training import session

    task = task_of(path)
    if cell is not None:
        trust(cell, path)
    summary = session.resume(task, path, limits, quiet=quiet)
    return None if summary is None else session.load(task, path)


def load(path: str | Path, device: str = "cpu", *, cell: str | None = None) -> Any:
    """The best model of a run, ready for use.

    Args:
        path: The run's folder.
        device: Where to put the model.
        cell: ``RUN/cell.py:CLASS``, to execute the cell that somebody else's run was trained with.
            That file is code: read it before. Not needed for runs of one's own.

    Returns:
        A predictor of the run's task.

    Raises:
        UserError: The folder is not a run, or something in it is corrupt.
    """
    from unrolled.training import session

    task = task_of(path)
    if cell is not None:
        trust(cell, path)
    return session.load(task, path, device)


def trust(cell: str, run: str | Path) -> None:
    """Let this user's programs execute the cell that a run was trained with, from now on.

    Args:
        cell: ``RUN/cell.py:CLASS``: a file of code, which the user has read.
        run: The run's folder.

    Raises:
        UserError: The run has no such cell.
    """
    from unrolled.tasks.own_cell import trust_given

    trust_given(cell, Path(run))


def options_from(task: Task, settings: Mapping[str, Any]) -> Any:
    """A task's options from flat keywords, each sorted into its section.

    Raises:
        UserError: A name is no option of the task, or a value has the wrong type or range.
    """
    from unrolled.ranges import hints
    from unrolled.training.options import build, check_table

    kinds = {name: kind for name, kind in hints(task.options).items() if name != "task"}
    values: dict[str, dict[str, Any]] = {name: {} for name in kinds}
    for key, value in settings.items():
        section = next(
            (name for name, kind in kinds.items() if key in {f.name for f in fields(kind)}), None
        )
        if section is None:
            raise UserError(f"{key}: no such setting")
        if value is not None:
            values[section][key] = _names(value) if key in ("data", "val_data") else value
    return build(task.options, check_table(task.options, values, "settings"))


def _names(files: str | Path | Sequence[str | Path]) -> tuple[str, ...]:
    """Names of one file or several."""
    if isinstance(files, str | Path):
        return (str(files),)
    return tuple(str(name) for name in files)


def _task(name: str) -> Task:
    if name not in _HOMES:
        raise UserError(f"task: expected one of {', '.join(_HOMES)}, got {shown(name)}")
    return TASKS[name]
