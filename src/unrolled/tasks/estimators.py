"""Base of the estimators: tasks with the face of scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

try:
    from sklearn.base import BaseEstimator
    from sklearn.base import ClassifierMixin as ClassifierMixin
    from sklearn.utils.validation import check_is_fitted as check_is_fitted
except ImportError as error:
    raise ImportError(
        "unrolled's estimators need scikit-learn: pip install 'unrolled[baseline]'"
    ) from error

from unrolled.options import OPTIONS
from unrolled.training.task import Task


class TaskEstimator(BaseEstimator):  # type: ignore[misc]
    """A task whose options are the arguments of a constructor.

    A subclass writes out its own arguments; those of `unrolled.options` it takes as ``**options``,
    and shows them by `unrolled.options.with_flags`.
    """

    def _keep(self, given: Mapping[str, Any]) -> None:
        """Make attributes of a constructor's arguments, as scikit-learn wants it.

        Args:
            given: The constructor's ``locals()``.

        Raises:
            TypeError: One of ``options`` is none.
        """
        options = given["options"]
        for name in options:
            if name not in OPTIONS:
                raise TypeError(f"{type(self).__name__}: unknown argument {name!r}")
        kept = {name: options.get(name, option.flag_default) for name, option in OPTIONS.items()}
        hidden = ("self", "options", "__class__")
        kept |= {name: value for name, value in given.items() if name not in hidden}
        for name, value in kept.items():
            setattr(self, name, value)

    def _section(self, section: type, **more: Any) -> Any:
        """A section of the task's options, of the arguments that it has and of more."""
        names = {field.name for field in fields(section)} & self.get_params().keys()
        return section(**{name: getattr(self, name) for name in names} | more)


def trained(task: Task, options: Any, run: Path) -> Any:
    """The predictor of a run that is made here.

    Raises:
        KeyboardInterrupt: A signal ended the training.
        UserError: The options or the data cannot be used.
    """
    from unrolled.training import session

    summary = session.train(task, options, run, quiet=True)
    if summary is not None and summary.stopped_by is not None:
        raise KeyboardInterrupt
    return session.load(task, run)
