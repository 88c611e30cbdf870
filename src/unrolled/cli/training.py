"""Commands that make models: ``check``, ``train``, ``train --resume``."""

from __future__ import annotations

import difflib
import glob
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from cyclopts import App

from unrolled import tasks as registry
from unrolled.errors import UserError
from unrolled.ranges import flag as spelled
from unrolled.ranges import shown
from unrolled.training.duration import format_duration
from unrolled.training.options import LIMITS, TrainingOptions
from unrolled.training.run_folder.folder import RunFolder
from unrolled.training.task import Inspection, Task

from .flags import RUN, Call, command, flag, flags, group_of, sections, words
from .output import as_json, line, loading, quoted, remark
from .readable import details, scores
from .values import ConfigFile, check_values

if TYPE_CHECKING:
    from unrolled.training.session import Summary


def _run_flag(name: str, hint: Any, text: str) -> inspect.Parameter:
    default = False if hint is bool else None
    return flag(name, hint, text, default=default, group=RUN, switch=True)


_OUT = _run_flag(
    "out", Path | None, "Folder of the run. [default: runs/NAME, after the first file]"
)
_OVERWRITE = _run_flag("overwrite", bool, "Replace an older run in that folder.")
_RESUME = _run_flag(
    "resume",
    Path | None,
    "Go on with this run; only limits (--max-…, --patience) may be given with it.",
)
_CELL = _run_flag(
    "cell",
    str | None,
    "RUN/cell.py:CLASS, to execute the cell that somebody else's run was trained with: it is code, "
    "read it before.",
)
_CONFIG = _run_flag(
    "config",
    Path | None,
    "Options in a TOML file, such as another run's options.toml; flags come first.",
)
_JSON = _run_flag("json", bool, "Print the results as JSON.")
_QUIET = _run_flag("quiet", bool, "Show no progress.")


def train_app(tasks: Mapping[str, Task], arguments: Sequence[str]) -> App:
    """``unrolled train TASK FILE…`` and ``unrolled train --resume RUN``.

    Args:
        tasks: All tasks.
        arguments: Words after ``train``, if it is called.
    """
    app = App(name="train", help="Train a model, or go on with a run.")
    _add_tasks(app, tasks, arguments, _train, _TRAIN_FLAGS, _TRAIN_HELP)
    limits = [
        one for one in flags(TrainingOptions, group=group_of("training")) if one.name in LIMITS
    ]
    parameters = [words("TASK", show=False), *limits, _RESUME, _CELL, _JSON, _QUIET]
    app.default(command(_train_without_task(tasks), parameters))
    return app


_TRAIN_FLAGS = (_OUT, _OVERWRITE, _RESUME, _CONFIG, _JSON, _QUIET)
_TRAIN_HELP = (
    "Everything is written to a run folder: options, weights, log, samples, report. Ctrl-C saves; "
    "--resume goes on."
)


def check_app(tasks: Mapping[str, Task], arguments: Sequence[str]) -> App:
    """``unrolled check TASK FILE…``.

    Args:
        tasks: All tasks.
        arguments: Words after ``check``, if it is called.
    """
    app = App(name="check", help="Look at data before training.")
    _add_tasks(app, tasks, arguments, _check, (_CONFIG, _JSON), _CHECK_HELP)
    app.default(command(_check_without_task(tasks), [words("TASK", show=False)]))
    return app


_CHECK_HELP = (
    "Looks at the data before training: counts, and whatever is wrong or suspicious. The flags are "
    "those of training."
)


def _add_tasks(
    app: App,
    tasks: Mapping[str, Task],
    arguments: Sequence[str],
    make: Callable[[Task], Call],
    more: Iterable[inspect.Parameter],
    text: str,
) -> None:
    """Add a command for the task that is called, or for the help page one for each."""
    called = arguments[0] if arguments and arguments[0] in tasks else None
    if called is None:
        for name, task in tasks.items():
            app.command(command(make(task), ()), name=name, help=task.help)
        return
    task = tasks[called]
    call = command(make(task), [*_options(task), *more])
    config = [check_values, ConfigFile(task.options)]
    app.command(call, name=called, help=f"{task.help}\n\n{text}", config=config)


def _options(task: Task) -> list[inspect.Parameter]:
    """Files and flags of a task's sections."""
    text = "Files to read, the same as --data."
    files = words("FILE", text, group=group_of("data"), hyphen=True)
    return [files, *(one for section in sections(task.options) for one in section.flags())]


def _built(task: Task, files: Sequence[str], given: Mapping[str, Any]) -> Any:
    """A task's options from the values of its flags.

    Raises:
        UserError: A value is outside its range, or no file is given.
    """
    values = {section.name: section.built(given) for section in sections(task.options)}
    values["data"] = replace(values["data"], data=(*files, *values["data"].data))
    if not values["data"].data:
        raise UserError("no data given: name at least one file, as FILE or --data FILE")
    return task.options(**values)


def _train(task: Task) -> Call:
    def call(
        *files: str,
        out: Path | None = None,
        overwrite: bool = False,
        resume: Path | None = None,
        config: Path | None = None,
        json: bool = False,
        quiet: bool = False,
        **given: Any,
    ) -> int:
        if resume is not None:
            _check_limits(given, others=bool(files or out or overwrite))
            return _resume(resume, given, task=task, json=json, quiet=quiet)
        options = _built(task, files, given)
        with loading(f"reading {', '.join(options.data.data)}", quiet=quiet):
            from unrolled.training import session

        if out is None:
            out = Path("runs") / _run_name(options.data.data[0], task)
        summary = session.train(task, options, out, overwrite=overwrite, quiet=quiet)
        return _finish(task, summary, json=json)

    return call


def _run_name(file: str, task: Task) -> str:
    """A name for the run of some data: the file's, where it has one to give."""
    name = Path(file).stem
    return task.name if name in ("", "-") or glob.has_magic(name) else name


def _check_limits(given: Mapping[str, Any], *, others: bool) -> None:
    """Refuse whatever cannot be changed when a run is resumed.

    Raises:
        UserError: More than limits is given.
    """
    changed = [name for name in given if name not in LIMITS]
    if others or changed:
        what = spelled(changed[0]) if changed else "FILE, --out or --overwrite"
        raise UserError(f"{what}: cannot be changed with --resume, only --max-… and --patience")


def _train_without_task(tasks: Mapping[str, Task]) -> Call:
    def call(
        *unknown: str,
        resume: Path | None = None,
        cell: str | None = None,
        json: bool = False,
        quiet: bool = False,
        **limits: Any,
    ) -> int:
        if unknown:
            _refuse_task("train", unknown[0], tasks)
        if resume is None:
            raise UserError(f"train: expected a task ({', '.join(tasks)}) or --resume RUN")
        if cell is not None:
            registry.trust(cell, resume)
        return _resume(resume, limits, json=json, quiet=quiet)

    return call


def _resume(
    run: Path, limits: Mapping[str, Any], *, json: bool, quiet: bool, task: Task | None = None
) -> int:
    """Go on with a run.

    Raises:
        UserError: It is no run, or one of another task than the one given.
    """
    RunFolder.existing(run)
    own = registry.task_of(run)
    if task is not None and task.name != own.name:
        raise UserError(f"{run}: expected a run of {task.name}, got one of {own.name}")
    TrainingOptions(**limits)  # a wrong limit is found before torch is loaded
    with loading(f"going on with {run}", quiet=quiet):
        from unrolled.training import session

    return _finish(own, session.resume(own, run, limits, quiet=quiet), json=json)


def _finish(task: Task, summary: Summary | None, *, json: bool) -> int:
    """Print how a training ended; the exit code is 128 + N after signal N."""
    if summary is None:  # of several processes the first one speaks
        return 0
    if json:
        line(as_json(asdict(summary)))
    elif summary.stopped_by is not None:
        line(f"Stopped and saved at step {summary.steps}. Go on with:")
        line(f"  unrolled train --resume {quoted(summary.run)}")
    else:
        _print_summary(task, summary)
    return 0 if summary.stopped_by is None else 128 + summary.stopped_by


def _print_summary(task: Task, summary: Summary) -> None:
    if summary.metrics:
        measured = "" if summary.part == "validation" else f", measured on the {summary.part} part"
        line(f"Best validation (step {summary.best_step}){measured}:")
        for row in scores(summary.metrics, summary.baseline):
            line(f"  {row}")
    for note in summary.notes:
        line(note)
    line(
        f"Training: {summary.training_seconds / 60:.2f} minutes, {summary.steps} updates; "
        f"validation: {format_duration(summary.validation_seconds)}"
    )
    line(f"Run: {summary.run}")
    run = quoted(summary.run)
    more = {"evaluate": " --data FILE", "predict": " FILE"}
    for verb in task.verbs:
        line(f"  unrolled {verb} {run}{more.get(verb, '')}")
    line(f"  open {quoted(Path(summary.run) / 'report.html')}")


def _check(task: Task) -> Call:
    def call(*files: str, config: Path | None = None, json: bool = False, **given: Any) -> int:
        options = _built(task, files, given)
        remark(f"reading {', '.join(options.data.data)}")
        found = _with_time(task, options, task.inspect(options))
        if json:
            line(as_json({"task": task.name, **found._asdict()}))
        else:
            _print_inspection(found)
        return 0

    return call


def _with_time(task: Task, options: Any, found: Inspection) -> Inspection:
    """The inspection with the time that training would take, or a warning if it would not train."""
    from unrolled.training.session import expected_seconds

    try:
        seconds = expected_seconds(task, options)
    except UserError as error:
        return found._replace(warnings=[*found.warnings, f"cannot be trained on: {error}"])
    minutes = float(f"{seconds / 60:.2g}") if seconds < 600 else round(seconds / 60)
    return found._replace(facts={**found.facts, "minutes of training to be expected": minutes})


def _print_inspection(found: Inspection) -> None:
    for row in details(found.facts):
        line(row)
    for warning in found.warnings:
        line(f"warning: {warning}")
    if not found.warnings:
        line("no warnings")


def _check_without_task(tasks: Mapping[str, Task]) -> Call:
    def call(*unknown: str) -> int:
        _refuse_task("check", unknown[0] if unknown else None, tasks)

    return call


def _refuse_task(command: str, word: str | None, tasks: Mapping[str, Task]) -> NoReturn:
    """Say which tasks there are.

    Raises:
        UserError: Always.
    """
    listed = ", ".join(tasks)
    if word is None:
        raise UserError(f"{command}: expected a task ({listed})")
    near = difflib.get_close_matches(word, tasks, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise UserError(f"{command}: expected a task ({listed}), got {shown(word)}{hint}")
