"""All commands in one application."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cyclopts import App, Parameter

import unrolled
from unrolled.training.task import Task

from .bench import bench
from .flags import ARGUMENTS
from .lens import lens_app
from .training import check_app, train_app
from .using import verb_apps
from .values import check_values


def application(tasks: Mapping[str, Task], arguments: Sequence[str] = ()) -> App:
    """The command line of some tasks.

    Args:
        tasks: Tasks by name.
        arguments: The words that it will be called with. Only the command that they name has its
            flags; those of a verb depend on its run.

    Raises:
        UserError: The words name a run that is none, or one whose task does not have the verb.
    """
    app = App(
        name="unrolled",
        config=[check_values],
        version=unrolled.__version__,
        group_arguments=ARGUMENTS,
        help="Recurrent networks: train them, use them.",
        default_parameter=Parameter(consume_multiple=True, negative_iterable=()),
    )
    word, rest = (arguments[0], arguments[1:]) if arguments else ("", ())
    app.command(check_app(tasks, rest if word == "check" else ()))
    app.command(train_app(tasks, rest if word == "train" else ()))
    app.command(bench)
    app.command(lens_app())
    if word not in ("check", "train", "bench", "lens"):  # they need no verbs of any task
        for verb in verb_apps(tasks, arguments):
            app.command(verb)
    return app
