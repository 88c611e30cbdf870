"""Character models: train on text, write text, score text.

::

    from unrolled.tasks import text

    run = text.train(data=["book.txt"], hidden_size=512, out="runs/book")
    print(run.generate("Once", length=200))
    print(text.load("runs/book").evaluate("other.txt").bits)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # torch is loaded when something is done, not when this is imported
    from unrolled.tasks.text.run import Run

__all__ = ["load", "resume", "train"]


def train(
    data: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    overwrite: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> Run:
    """Train a character model and keep everything in a run folder.

    A first SIGINT, SIGTERM or SIGHUP in the main thread finishes the current update, saves and
    returns.

    Args:
        data: Text files in UTF-8.
        out: The run's folder.
        overwrite: Replace an older run there, unless another process holds it.
        quiet: Show no progress.
        **settings: Any option of the command line, with underscores: ``hidden_size=256``,
            ``max_time="2m"``, …; see ``TextOptions`` for all.

    Returns:
        The run, with its best weights.

    Raises:
        UserError: A setting, the text or the folder cannot be used; or, with code 1, something
            could not be written, such as on a full disk.
    """
    from unrolled.tasks.text.training_run import parse_files
    from unrolled.tasks.text.training_run import train as run_training

    options = _options({**settings, "data": parse_files(data)})
    return run_training(options, Path(out), overwrite=overwrite, quiet=quiet)[0]


def resume(
    path: str | Path,
    *,
    max_epochs: int | None = None,
    max_steps: int | None = None,
    max_time: float | str | None = None,
    patience: int | None = None,
    quiet: bool = False,
) -> Run:
    """Go on with a run from its last checkpoint, with new limits if given.

    Args:
        path: The run's folder.
        max_epochs: New limit on epochs, over the whole run.
        max_steps: New limit on updates.
        max_time: New limit on training time.
        patience: New limit on validations without a better one.
        quiet: Show no progress.

    Returns:
        The run, with its best weights.

    Raises:
        UserError: The folder is not a run, or something in it is corrupt.
    """
    from unrolled.tasks.text.training_run import resume as run_resume

    return run_resume(
        path,
        max_epochs=max_epochs,
        max_steps=max_steps,
        max_time=max_time,
        patience=patience,
        quiet=quiet,
    )[0]


def load(path: str | Path, device: str = "cpu") -> Run:
    """The best model of a run.

    Args:
        path: The run's folder.
        device: Where to put the model.

    Raises:
        UserError: The folder is not a run, or something in it is corrupt.
    """
    from unrolled.tasks.text.run import Run

    return Run(path, device)


def _options(settings: dict[str, Any]) -> Any:
    """Options from flat keywords, each sorted into its section."""
    from unrolled.errors import UserError
    from unrolled.tasks.text.options import DataOptions, ModelOptions, TextOptions
    from unrolled.training.options import TrainingOptions, build, check_table

    sections: dict[str, Any] = {"data": DataOptions, "model": ModelOptions}
    sections["training"] = TrainingOptions
    values: dict[str, dict[str, Any]] = {name: {} for name in sections}
    for key, value in settings.items():
        for name, kind in sections.items():
            if key in {f.name for f in fields(kind)}:
                if value is not None:
                    values[name][key] = value
                break
        else:
            raise UserError(f"{key}: no such setting")
    if isinstance(values["data"].get("val_data"), str | Path):
        values["data"]["val_data"] = (str(values["data"]["val_data"]),)
    return build(TextOptions, check_table(TextOptions, values, "settings"))
