"""The command line: options to calls, nothing more.

torch and the like are imported within the commands, so that help pages come at once.
"""

from __future__ import annotations

import codecs
import gc
import io
import json as jsonlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

from cyclopts import App, ArgumentCollection, CycloptsError, Group, Parameter
from cyclopts.config import Dict

from unrolled.bench.options import Options as BenchOptions
from unrolled.bench.options import OptionsError
from unrolled.errors import RUNTIME, USAGE, UserError, reason
from unrolled.importing import importing
from unrolled.page.launch import PORT, PORTS
from unrolled.ranges import COUNT, Range, expected, fits, hints, is_choice, number_kind, read, shown
from unrolled.tasks.lag.options import PROCESSES, LagOptions
from unrolled.tasks.text.options import (
    DataOptions,
    ModelOptions,
    ScoringOptions,
    TextOptions,
    TextTraining,
    WritingOptions,
)
from unrolled.training.duration import format_duration
from unrolled.training.interruption import ending_signals
from unrolled.training.options import TrainingOptions, check_table, read_toml
from unrolled.training.run_folder.folder import RunFolder

if TYPE_CHECKING:
    from unrolled.training.session import Summary

RUN = Group("Run", sort_key=0)
DATA = Group("Data", sort_key=1)
MODEL = Group("Model", sort_key=2)
TRAINING = Group("Training", sort_key=3)
CASES = Group("What to measure", sort_key=4)


def check_values(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Refuse words that are no value of their option, before any is used.

    Raises:
        UserError: A number is none, or outside its option's range; a zero byte is in a word.
    """
    for argument in arguments:
        hint = argument.field_info.annotation
        for word in argument.tokens:
            name = word.keyword or argument.name.removeprefix("--").upper()
            if "\0" in word.value:
                raise UserError(
                    f"{name}: expected text without zero bytes, got {shown(word.value)}"
                )
            value = read(word.value, hint)
            if (is_choice(hint) or number_kind(hint) is not None) and not fits(value, hint):
                raise UserError(f"{name}: expected {expected(hint)}, got {shown(value)}")


app = App(
    name="unrolled",
    config=[check_values],
    help="Recurrent networks: train them, use them.",
    default_parameter=Parameter(consume_multiple=True, negative_iterable=()),
)
train = App(name="train", help="Train a model, or go on with a run.")
app.command(train)
lens = App(name="lens", help="See which past steps still reach the loss, in a browser.")
app.command(lens)

# A subclass inherits annotations as text, which means nothing in its own module.
TextTraining.__init__.__annotations__.update(hints(TextTraining))

LIMITS = ("max_epochs", "max_steps", "max_time", "patience")


def from_config(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Take the values of ``--config FILE`` for options that were not given as flags.

    The file has the sections of a run's ``options.toml``, so that file itself will do.
    """
    path = next((a.tokens[-1].value for a in arguments if a.name == "--config" and a.tokens), None)
    if path is None:
        return
    sections = check_table(TextOptions, read_toml(Path(path)), path)
    sections.pop("task", None)
    given = {a.keys[-1] for a in arguments if a.keys and a.tokens}
    # Both ways to name the text count as the flag.
    if any(a.name in ("FILES", "--data") and a.tokens for a in arguments):
        given.add("data")
    flat = {
        key.replace("_", "-"): list(value) if isinstance(value, tuple) else value
        for section in sections.values()
        for key, value in section.items()
        if key not in given
    }
    Dict(flat, source=path, use_commands_as_keys=False)(app, commands, arguments)


@train.command(name="text", config=[check_values, from_config])
def train_text(
    *files: Annotated[str, Parameter(name="FILE", group=DATA)],
    data: Annotated[DataOptions, Parameter(name="*", group=DATA)] = DataOptions(),  # noqa: B008
    model: Annotated[ModelOptions, Parameter(name="*", group=MODEL)] = ModelOptions(),  # noqa: B008
    training: Annotated[TextTraining, Parameter(name="*", group=TRAINING)] = TextTraining(),  # noqa: B008
    out: Annotated[Path | None, Parameter(group=RUN)] = None,
    overwrite: Annotated[bool, Parameter(group=RUN, negative=())] = False,
    resume: Annotated[Path | None, Parameter(group=RUN)] = None,
    config: Annotated[Path | None, Parameter(group=RUN)] = None,
    json: Annotated[bool, Parameter(group=RUN, negative=())] = False,
    quiet: Annotated[bool, Parameter(group=RUN, negative=())] = False,
) -> int:
    """Train a character model on text.

    Reads the files as one text, keeps its end for validation, and writes everything to a run
    folder: options, weights, log, samples, report. Ctrl-C saves; --resume goes on.

    Args:
        files: Text files, the same as --data.
        data: Which text to read.
        model: The model.
        training: How to train.
        out: Folder of the run. [default: runs/NAME, after the first file]
        overwrite: Replace an older run in that folder.
        resume: Go on with this run; only limits (--max-…, --patience) may be given with it.
        config: Options in a TOML file, such as another run's options.toml; flags come first.
        json: Print the summary as JSON.
        quiet: Show no progress.
    """
    if resume is not None:
        changed = [
            field.name
            for section in (data, model, training)
            for field in fields(section)
            if getattr(section, field.name) != field.default and field.name not in LIMITS
        ]
        if files or out or overwrite or changed:
            what = f"--{changed[0].replace('_', '-')}" if changed else "FILE, --out or --overwrite"
            raise UserError(f"{what}: cannot be changed with --resume, only --max-… and --patience")
        return _resume(resume, training, json=json, quiet=quiet)
    options = TextOptions(
        data=replace(data, data=(*files, *data.data)), model=model, training=training
    )
    with _loading(f"reading {', '.join(options.data.data)}", quiet=quiet):
        from unrolled.tasks import TASKS
        from unrolled.training import session

    if out is None and options.data.data:
        out = Path("runs") / (Path(options.data.data[0]).stem or "text")
    summary = session.train(
        TASKS["text"], options, out or Path("runs/text"), overwrite=overwrite, quiet=quiet
    )
    return _finish(summary, json)


@train.default
def resume_run(
    *,
    resume: Annotated[Path, Parameter(group=RUN)],
    max_epochs: Annotated[int | None, COUNT, Parameter(group=TRAINING)] = None,
    max_steps: Annotated[int | None, COUNT, Parameter(group=TRAINING)] = None,
    max_time: Annotated[float | str | None, Parameter(group=TRAINING)] = None,
    patience: Annotated[int | None, COUNT, Parameter(group=TRAINING)] = None,
    json: Annotated[bool, Parameter(group=RUN, negative=())] = False,
    quiet: Annotated[bool, Parameter(group=RUN, negative=())] = False,
) -> int:
    """Go on with a run from its last checkpoint.

    Args:
        resume: Folder of the run.
        max_epochs: New limit on passes over the data, over the whole run.
        max_steps: New limit on updates.
        max_time: New limit on training time (90s, 2m, 1h30m).
        patience: New limit on validations without a better one.
        json: Print the summary as JSON.
        quiet: Show no progress.
    """
    limits = TrainingOptions(
        max_epochs=max_epochs, max_steps=max_steps, max_time=max_time, patience=patience
    )
    return _resume(resume, limits, json=json, quiet=quiet)


def _resume(run: Path, limits: TrainingOptions, *, json: bool, quiet: bool) -> int:
    RunFolder.existing(run)
    with _loading(f"going on with {run}", quiet=quiet):
        from unrolled.tasks import task_of
        from unrolled.training import session

    given = {name: getattr(limits, name) for name in LIMITS}
    summary = session.resume(task_of(run), run, given, quiet=quiet)
    return _finish(summary, json)


def _finish(summary: Summary | None, json: bool) -> int:
    """Print how a training ended; the exit code is 128 + N after signal N."""
    if summary is None:
        return 0
    if json:
        from dataclasses import asdict

        _print(jsonlib.dumps(asdict(summary)))
    elif summary.stopped_by is not None:
        _print(f"Stopped and saved at step {summary.steps}. Go on with:")
        _print(f"  unrolled train --resume {_quoted(summary.run)}")
    else:
        _print_summary(summary)
    return 0 if summary.stopped_by is None else 128 + summary.stopped_by


def _print_summary(summary: Summary) -> None:
    run = _quoted(summary.run)
    for name, one in summary.metrics.items():
        _print(f"{name}: {one['value']:.4f} (step {summary.best_step})")
    _print(
        f"Training: {summary.training_seconds / 60:.2f} minutes, {summary.steps} updates; "
        f"validation: {format_duration(summary.validation_seconds)}"
    )
    _print(f"Run: {summary.run}")
    _print(f"  unrolled generate {run} --prompt '…'")
    _print(f"  unrolled evaluate {run} --data FILE")
    _print(f"  open {_quoted(str(Path(summary.run) / 'report.html'))}")


@app.command
def generate(
    run: Path,
    *,
    prompt: str = "",
    writing: Annotated[WritingOptions, Parameter(name="*")] = WritingOptions(),  # noqa: B008
    device: Literal["auto", "cpu", "cuda", "mps"] = "cpu",
) -> int:
    """Write text that continues a prompt, character by character.

    Args:
        run: Folder of a run.
        prompt: What to continue; if empty, a new line.
        writing: How to write.
        device: Where to compute.
    """
    RunFolder.existing(run)
    with _loading(f"reading {run}"):
        from unrolled.tasks import load as Run  # noqa: N812

    prompt = _decoded(prompt)
    characters = Run(run, device).stream(
        prompt,
        length=writing.length,
        temperature=writing.temperature,
        top_k=writing.top_k,
        seed=writing.seed,
    )
    sys.stdout.write(prompt)
    for character in characters:
        sys.stdout.write(character)
        sys.stdout.flush()
    sys.stdout.write("\n")
    return 0


@app.command
def evaluate(
    run: Path,
    *,
    data: tuple[str, ...],
    scoring: Annotated[ScoringOptions, Parameter(name="*")] = ScoringOptions(),  # noqa: B008
    json: Annotated[bool, Parameter(negative=())] = False,
    device: Literal["auto", "cpu", "cuda", "mps"] = "cpu",
) -> int:
    """Score text: nats and bits per character.

    Every character but the first is counted once, each predicted from all that stands before it.

    Args:
        run: Folder of a run.
        data: Text files, read as one text.
        scoring: How to score.
        json: Print the result as JSON.
        device: Where to compute.
    """
    RunFolder.existing(run)
    with _loading(f"reading {run}"):
        from unrolled.tasks import load as Run  # noqa: N812

    loaded = Run(run, device)
    result = loaded.evaluate(data, streams=scoring.streams)
    if json:
        _print(
            jsonlib.dumps(
                {
                    "nats_per_character": result.nats,
                    "bits_per_character": result.bits,
                    "perplexity": result.perplexity,
                    "characters": result.characters,
                    "unknown": result.unknown,
                    "streams": result.streams,
                }
            )
        )
        return 0
    _print(
        f"{result.nats:.4f} nats per character, {result.bits:.4f} bits, "
        f"over {result.characters:,} characters"
    )
    if result.unknown:
        _print(f"{result.unknown:,} characters are not in the vocabulary and count as unknown")
    return 0


@app.command
def bench(
    *,
    options: Annotated[BenchOptions, Parameter(name="*", group=CASES)] = BenchOptions(),  # noqa: B008
    check: Annotated[float | None, Range(0, 1e12), Parameter(group=RUN)] = None,
    out: Annotated[Path, Parameter(group=RUN)] = Path("runs/bench"),
    json: Annotated[bool, Parameter(group=RUN, negative=())] = False,
) -> int:
    """Measure the layers' speed beside other libraries.

    Writes bench.json and bench.svg to a folder, and prints tables.

    Args:
        options: What to measure.
        check: Exit with 1 if a ratio to the best peer is below this, or cannot be told.
        out: Folder for the results; those of an earlier run are replaced.
        json: Print the results as JSON.
    """
    from rich.console import Console

    from unrolled.bench import Report, Result, run
    from unrolled.bench.picture import picture
    from unrolled.bench.table import line, tables
    from unrolled.files import write_file

    out.mkdir(parents=True, exist_ok=True)

    def as_json(report: Report) -> str:
        return jsonlib.dumps(report.as_json(), allow_nan=False)

    def progress(report: Report, result: Result, total: int) -> None:
        sys.stderr.write(f"[{len(report.results)}/{total}] {line(result)}\n")
        # whatever ends the run leaves what was measured
        write_file(out / "bench.json", as_json(report).encode())
        write_file(out / "bench.svg", picture(report).encode())

    report = run(options, progress)
    if json:
        _print(as_json(report))
    else:
        console = Console(width=None if sys.stdout.isatty() else 120)
        console.print(tables(report))
    if check is not None and (low := report.below(check)):
        raise UserError(
            f"--check {check:g}: {len(low)} of {len(report.results)} cases are below: "
            + "; ".join(line(result) for result in low),
            code=RUNTIME,
        )
    return 0


@lens.default
def open_lens(
    *runs: Annotated[Path, Parameter(name="RUN")],
    port: Annotated[int, PORTS] = PORT,
    host: str = "127.0.0.1",
    open: bool = True,  # noqa: A002
) -> int:
    """Open the lens: the worked example and, with RUN, what a model that was trained remembers.

    A page in the browser, served by this machine to itself; it needs no network. Ctrl-C ends it.

    Args:
        runs: Folders of runs to inspect; one called lag as ./lag, since `lens lag` is a command.
        port: Where the page is served; 0 for any free port.
        host: Address to bind to; with another than loopback, other machines can reach the page.
        open: Open the browser.
    """
    from unrolled.page.launch import launch

    launch(runs, host=host, port=port, open_browser=open)
    return 0


@lens.command
def lag(
    *,
    options: Annotated[LagOptions, Parameter(name="*", group=CASES)] = LagOptions(),  # noqa: B008
    no_clip: Annotated[bool, Parameter(group=CASES, negative=())] = False,
    out: Annotated[Path, Parameter(group=RUN)] = Path("runs/lag"),
    overwrite: Annotated[bool, Parameter(group=RUN, negative=())] = False,
    processes: Annotated[int | None, PROCESSES, Parameter(group=RUN)] = None,
    quiet: Annotated[bool, Parameter(group=RUN, negative=())] = False,
) -> int:
    """Show how far back cells can learn to remember: success and influence against the lag.

    Trains small models on problems whose lag is a dial, and writes lag.svg, lag.png, report.html
    and results.json. Ctrl-C loses nothing: the same command goes on with what is missing, and one
    with more cells or lags adds them.

    Args:
        options: What to train.
        no_clip: Leave the gradient as it is; the same as --clip 0.
        out: Folder of the results.
        overwrite: Train everything anew.
        processes: Models trained at a time. [default: one for each processor]
        quiet: Show no progress.
    """
    with _loading(f"training in {out}", quiet=quiet):
        from unrolled.tasks.lag import command

    if no_clip:
        options = replace(options, clip=0)
    return command.run(options, out, overwrite=overwrite, processes=processes, quiet=quiet)


@contextmanager
def _loading(what: str, *, quiet: bool = False) -> Iterator[None]:
    """Import in the block what takes seconds; on a terminal a line before it says what is done."""
    if sys.stderr.isatty() and not quiet:
        sys.stderr.write(f"{what} (loading PyTorch …)\n")
        sys.stderr.flush()
    with importing():
        yield


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


def _quoted(path: str) -> str:
    import shlex

    return shlex.quote(path)


def _decoded(word: str) -> str:
    """A word of the command line that is UTF-8, whatever the locale says."""
    try:
        return os.fsencode(word).decode() if any("\udc80" <= c <= "\udcff" for c in word) else word
    except UnicodeError:
        return word


def write_any_character() -> None:
    """Let standard output replace what its encoding lacks, unless the user chose otherwise."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            # in UTF-8 only lone surrogates are lacking: bytes of a file's name that is not UTF-8
            utf8 = codecs.lookup(stream.encoding).name == "utf-8"
            stream.reconfigure(errors="backslashreplace" if utf8 else "replace")


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def run(arguments: Sequence[str]) -> int:
    """Run one command.

    Every problem a user can put right becomes one line on stderr.

    Returns:
        The exit code: 0, 2 for a mistake in what was asked, 1 for what went wrong on the way,
        128 + N after signal N.
    """
    try:
        code: Any = app(
            list(arguments), exit_on_error=False, print_error=False, result_action="return_value"
        )
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except UserError as error:
        return _fail(str(error), error.code)
    except (CycloptsError, OptionsError) as error:
        return _fail(str(UserError(str(error))), USAGE)
    except KeyboardInterrupt:
        return _fail("interrupted", 128 + signal.SIGINT)
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{reason(error)}", RUNTIME)
    except MemoryError:
        return _fail("out of memory", RUNTIME)
    except RuntimeError as error:
        if not _is_short_of_memory(error):
            raise
        return _fail("out of memory", RUNTIME)


def _is_short_of_memory(error: RuntimeError) -> bool:
    """Whether torch could not allocate; of the CPU's memory it says so in words only."""
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"unrolled: {message}\n")
    return code


def main() -> NoReturn:
    """Entry point of the ``unrolled`` command."""
    # Like Ctrl-C, so that a half-built run is cleared away; training has its own way.
    for number in ending_signals():
        if number != signal.SIGINT:
            signal.signal(number, _terminate)
    write_any_character()
    code = run(sys.argv[1:])
    gc.freeze()  # or Python would look through all that torch made once more, for half a second
    sys.exit(code)


if __name__ == "__main__":
    main()
