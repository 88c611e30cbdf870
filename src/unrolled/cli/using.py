"""Commands that use models: ``evaluate``, ``predict`` and the other verbs that tasks declare.

A verb's flags depend on the task of the run. So the run is found among the words of the command
first; then the command is made from that task's dataclass.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from unrolled import tasks as registry
from unrolled.errors import UserError
from unrolled.ranges import THREADS, hints
from unrolled.ranges import flag as spelled
from unrolled.training.run_folder.folder import RunFolder
from unrolled.training.task import Evaluation, Task, Verb

from .flags import ARGUMENTS, Call, command, flag, flags, given_of, words
from .output import Format, as_json, check_out, line, loading, records, remark
from .readable import details, scores
from .values import decoded

HELP = ("--help", "-h")

_STANDARD = {
    "predict": "Apply a trained model to files or standard input, item by item.",
    "evaluate": "Measure how good a trained model is on some data.",
}
"""Help of the verbs that every task has, as long as the task is not known."""

_DATA = flag("data", tuple[str, ...], "Files to measure on.", default=())
_JSON = flag("json", bool, "Print the results as JSON.", default=False, switch=True)
_OUT = flag(
    "out",
    Path | None,
    "File to write instead of standard output, whole or not at all.",
    default=None,
)
_FORMAT = flag("format", Format, "Format of records: lines of JSON, or a table.", default="jsonl")
_CELL = flag(
    "cell",
    str | None,
    "RUN/cell.py:CLASS, to execute the cell that somebody else's run was trained with: it is code, "
    "read it before.",
    default=None,
)
_DEVICE = flag("device", Literal["auto", "cpu", "cuda", "mps"], "Where to compute.", default="cpu")
_THREADS = flag(
    "threads", Annotated[int, THREADS], "Threads for the CPU; 0 leaves it to PyTorch.", default=0
)


def verb_apps(tasks: Mapping[str, Task], arguments: Sequence[str]) -> Iterator[App]:
    """A command for each verb of any task; the one that is called has the flags of its run's task.

    Args:
        tasks: All tasks.
        arguments: Words of the command line.

    Raises:
        UserError: A verb is called without a run, or on one whose task does not have it.
    """
    for name in dict.fromkeys(name for task in tasks.values() for name in task.verbs):
        if arguments and arguments[0] == name:
            yield _called(name, tasks, arguments[1:])
        else:
            yield _general(name, tasks)


def _general(name: str, tasks: Mapping[str, Task]) -> App:
    """A verb whose task is not known: its help page has what all tasks have in common."""
    own = {task.name: task.verbs[name] for task in tasks.values() if name in task.verbs}
    text = _STANDARD.get(name) or next(iter(own.values())).help
    more = [f"More options depend on the task of the run (unrolled {name} RUN --help):"]
    more += [f"  {task}: {_listed(verb)}" for task, verb in own.items()]
    app = App(name=name, help=text, help_epilogue="\n".join(more), help_format="plaintext")
    app.default(command(_refuse(name), _parameters(name, ())))
    return app


def _listed(verb: Verb) -> str:
    return " ".join(spelled(field.name) for field in fields(verb.options)) or "none"


def _refuse(name: str) -> Call:
    def call(*words: str, **given: Any) -> int:
        raise UserError(f"{name}: expected the folder of a run first: unrolled {name} RUN")

    return call


def _called(name: str, tasks: Mapping[str, Task], arguments: Sequence[str]) -> App:
    """A verb of the run that is named.

    Raises:
        UserError: There is none, or its task does not have the verb.
    """
    run = named_run(arguments)
    if run is None:
        if any(word in HELP for word in arguments):
            return _general(name, tasks)
        raise UserError(f"{name}: expected the folder of a run first: unrolled {name} RUN")
    RunFolder.existing(run)
    task = registry.task_of(run)
    if name not in task.verbs:
        listed = ", ".join(task.verbs)
        raise UserError(f"{name}: {run} is a run of the task {task.name}, which has {listed}")
    verb = task.verbs[name]
    app = App(name=name, help=verb.help)
    app.default(command(_use(name, task, verb, run), _parameters(name, flags(verb.options))))
    return app


def named_run(arguments: Sequence[str]) -> Path | None:
    """The run among the words of a verb: after ``--run``, or the first that is no flag.

    After a flag that we do not know yet a word may be its value, so a folder with options goes
    first, then a word that follows no flag.
    """
    for i, word in enumerate(arguments):
        if word.startswith("--run="):
            return Path(word.partition("=")[2])
        if word == "--run":
            return Path(arguments[i + 1]) if i + 1 < len(arguments) else None
    plain = [i for i, word in enumerate(arguments) if not word.startswith("-")]
    if plain and plain[0] > 0:
        safe = [i for i in plain if "\0" not in arguments[i]]
        plain = [
            *(i for i in safe if RunFolder(arguments[i]).options.is_file()),
            *(i for i in plain if i == 0 or not arguments[i - 1].startswith("-")),
        ]
    return Path(arguments[plain[0]]) if plain else None


def _parameters(name: str, own: Sequence[inspect.Parameter]) -> list[inspect.Parameter]:
    """Parameters of a verb: the run, files, the task's flags, and those for all tasks.

    Where both have a flag of the same name, the task's stays.
    """
    how = Parameter(help="Folder of a run.", group=ARGUMENTS)
    run = inspect.Parameter(
        "run", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Annotated[Path, how]
    )
    if name == "evaluate":
        files = words("FILE", "Files to measure on, the same as --data.", hyphen=True)
        common = [_DATA, _JSON, _DEVICE, _THREADS, _CELL]
    else:
        usual = " Standard input where none is given, or for -." if name == "predict" else ""
        files = words("FILE", f"Files to read.{usual}", hyphen=True)
        common = [_OUT, _FORMAT, _DEVICE, _THREADS, _CELL]
    taken = {one.name for one in own}
    return [run, files, *own, *(one for one in common if one.name not in taken)]


def _use(name: str, task: Task, verb: Verb, named: Path) -> Call:
    """The call of one verb on a run of one task."""
    own = {field.name for field in fields(verb.options)}

    def call(run: str, *files: str, **given: Any) -> int:
        if Path(run) != named:
            raise UserError(f"{name}: expected the run as the first word, got {run} beside {named}")
        options = verb.options(**_decoded(verb.options, given_of(verb.options, given)))
        common = {key: value for key, value in given.items() if key not in own}
        out, form = common.get("out"), common.get("format", "jsonl")
        names = (*files, *common.get("data", ()))
        if name == "evaluate" and not names and "data" not in own:
            raise UserError("--data: expected at least one file to measure on, got none")
        if name == "predict" and not names:
            names = ("-",)
        check_out(out, names)
        with loading(f"reading {run}"):
            import torch

            from unrolled.training import session
        if cell := common.get("cell"):
            registry.trust(cell, run)
        device = getattr(options, "device", common.get("device", "cpu"))
        if threads := getattr(options, "threads", common.get("threads", 0)):
            torch.set_num_threads(threads)
        if names == ("-",) and sys.stdin.isatty():
            remark("reading standard input, an item a line; Ctrl-D ends it")
        result = verb.run(session.load(task, run, device), names, options)
        if isinstance(result, Evaluation):
            _print_evaluation(task, result, json=common.get("json", False))
        else:
            with records(out, form) as writer:
                for piece in result:
                    writer.write(piece)
        return 0

    return call


def _decoded(kind: type, given: dict[str, Any]) -> dict[str, Any]:
    """Options whose text is UTF-8, whatever the locale says; names of files are no ``str``."""
    text = {name for name, hint in hints(kind).items() if hint is str}
    return {name: decoded(value) if name in text else value for name, value in given.items()}


def _print_evaluation(task: Task, result: Evaluation, *, json: bool) -> None:
    metrics = {name: estimate._asdict() for name, estimate in result.metrics.items()}
    baseline = {name: estimate._asdict() for name, estimate in result.baseline.items()}
    if json:
        line(
            as_json({"task": task.name, "metrics": metrics, "baseline": baseline, **result.details})
        )
        return
    for text in (*scores(metrics, baseline), *details(result.details), *result.notes):
        line(text)
