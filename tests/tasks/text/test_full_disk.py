"""No log can stop a training; what it cannot do without stops it with one line."""

import errno
import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.tasks.text.test_damaged_runs import within

from unrolled.errors import UserError
from unrolled.files import GrowingFile
from unrolled.tasks import load, resume, train
from unrolled.tasks.text.options import DataOptions, TextOptions, TextTraining
from unrolled.tasks.text.task import TASK
from unrolled.training import session
from unrolled.training.display import Lines, Silent, Spare
from unrolled.training.loop import Training
from unrolled.training.probe import monitor
from unrolled.training.run_folder import tensorboard
from unrolled.training.run_folder.best_effort import BestEffort
from unrolled.training.run_folder.checkpoint import read_tensors

SMALL: dict[str, Any] = {
    "hidden_size": 6,
    "embedding_size": 4,
    "seq_len": 8,
    "batch_size": 4,
    "max_steps": 24,
    "val_every": 8,
    "checkpoint_steps": 4,
    "log_every": 1,
    "lens_every": 2,
    "sample_length": 5,
    "threads": 1,
}


class Notes(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(autouse=True)
def notes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Notes]:
    notes = Notes()
    monkeypatch.setattr(session, "choose_display", lambda **_: notes)
    monkeypatch.setattr(monitor, "BUDGET", 1e9)
    with within(60):
        yield notes


@contextmanager
def full_disk() -> Iterator[None]:
    """No file can grow beyond its beginning."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def full(*arguments: object, **keywords: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def at_step(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[Training], None]) -> None:
    step = Training._step

    def patched(self: Training) -> None:
        step(self)
        if self.position.step == number:
            act(self)

    monkeypatch.setattr(Training, "_step", patched)


def test_tensorboard_is_no_reason_to_stop(
    prose: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notes: Notes
) -> None:
    out = tmp_path / "run"
    at_step(monkeypatch, 3, lambda _: monkeypatch.setattr(tensorboard, "_record", full))
    train("text", prose, out=out, **SMALL)
    assert read_tensors(out / "checkpoint.safetensors")[1]["position"]["step"] == 24
    warnings = [line for line in notes.lines if line.startswith("warning: ")]
    assert warnings == [
        f"warning: {out}/tensorboard: no space left on device; training goes on without it"
    ]


@pytest.mark.parametrize(
    ("owner", "name", "file"),
    [
        (GrowingFile, "append", "log.csv"),
        (GrowingFile, "append", "lens.jsonl"),
        (Training, "_write_sample", "samples"),
        (session, "write_report", "report.html"),
    ],
)
def test_a_log_that_fails_is_told_at_the_end(
    prose: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notes: Notes,
    owner: Any, name: str, file: str,
) -> None:  # fmt: skip
    out = tmp_path / "run"
    real = getattr(owner, name)

    def fail(self: Any, *arguments: Any, **keywords: Any) -> None:
        if owner is not GrowingFile or self.path.name == file:
            full()
        real(self, *arguments, **keywords)

    at_step(monkeypatch, 3, lambda _: monkeypatch.setattr(owner, name, fail))
    with pytest.raises(UserError) as caught:
        train("text", prose, out=out, **SMALL)
    assert caught.value.code == 1
    message = f"trained and saved to {out}, but {out}/{file}: no space left on device"
    assert str(caught.value) == message
    assert sum(line.startswith("warning: ") for line in notes.lines) == 1
    assert read_tensors(out / "checkpoint.safetensors")[1]["position"]["step"] == 24
    assert len(load(out).generate("the", length=5)) == 5


def test_a_log_that_fails_for_a_while_is_complete_in_the_end(
    prose: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notes: Notes
) -> None:
    out = tmp_path / "run"
    step = Training._step

    def patched(self: Training) -> None:
        step(self)
        if 12 <= self.position.step < 16:
            with full_disk():
                self._log()

    monkeypatch.setattr(Training, "_step", patched)
    train("text", prose, out=out, **SMALL | {"log_every": 100})
    steps = [row.split(",")[0] for row in (out / "log.csv").read_text().splitlines()[1:]]
    assert steps == ["8", "12", "13", "14", "15", "16", "24"]
    assert [line for line in notes.lines if line.startswith("warning: ")] == [
        f"warning: {out}/log.csv: file too large; training goes on without it",
        f"warning: {out}/tensorboard: file too large; training goes on without it",
    ]


def test_a_full_disk_stops_it_with_the_last_checkpoint_whole(
    prose: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    kept: list[bytes] = []
    disk = full_disk()

    def fill(self: Training) -> None:
        kept.append(self.folder.checkpoint.read_bytes())
        disk.__enter__()

    at_step(monkeypatch, 14, fill)
    try:
        with pytest.raises(UserError) as caught:
            train("text", prose, out=out, **SMALL)
    finally:
        disk.__exit__(None, None, None)
    assert caught.value.code == 1
    assert str(caught.value).endswith(
        f"safetensors: file too large; the last good checkpoint is {out}/checkpoint.safetensors"
    )
    assert str(caught.value).startswith("stopped at step 17: ")
    assert (out / "checkpoint.safetensors").read_bytes() == kept[0]
    monkeypatch.undo()
    resume(out, quiet=True)
    assert read_tensors(out / "checkpoint.safetensors")[1]["position"]["step"] == 24


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_whatever_its_logs_do(
    prose: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def act(self: Training) -> None:
        monkeypatch.setattr(tensorboard, "_record", full)
        monkeypatch.setattr(GrowingFile, "append", full)
        os.kill(os.getpid(), number)

    at_step(monkeypatch, 5, act)
    session.create(
        TASK,
        TextOptions(
            data=DataOptions(data=(str(prose),)),
            training=TextTraining(seq_len=8, batch_size=4, threads=1, log_every=1),
        ),
        tmp_path / "run",
    )
    summary = session.resume(TASK, tmp_path / "run")
    assert summary is not None
    assert (summary.stopped_by, summary.steps) == (number, 5)
    record = read_tensors(tmp_path / "run" / "checkpoint.safetensors")[1]
    assert record["position"]["step"] == 5


# The run is taken away --------------------------------------------------------------------------


def test_a_run_that_is_being_trained_is_not_replaced(
    prose: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    said: list[str] = []

    def replace(self: Training) -> None:
        with pytest.raises(UserError) as caught:
            train("text", prose, out=out, overwrite=True, **SMALL)
        said.append(str(caught.value))
        with pytest.raises(UserError) as caught:
            resume(out)
        said.append(str(caught.value))

    at_step(monkeypatch, 10, replace)
    train("text", prose, out=out, **SMALL)
    assert all(f"{out}: held by process {os.getpid()} on " in line for line in said)
    assert read_tensors(out / "checkpoint.safetensors")[1]["position"]["step"] == 24
    assert [path.name for path in tmp_path.glob("*run*")] == ["run"]


def test_a_training_whose_run_was_replaced_stops_and_writes_nothing(
    prose: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"

    def replace(self: Training) -> None:
        shutil.rmtree(out)
        out.mkdir()
        (out / "options.toml").write_text("another's")

    at_step(monkeypatch, 10, replace)
    with pytest.raises(UserError, match="was replaced or removed by somebody else") as caught:
        train("text", prose, out=out, **SMALL)
    assert caught.value.code == 1
    assert [path.name for path in out.iterdir()] == ["options.toml"]


# The parts --------------------------------------------------------------------------------------


def test_best_effort() -> None:
    said: list[str] = []
    best_effort = BestEffort(said.append, lambda: None)
    writes: list[Callable[[], object]] = [full, full, lambda: None, full, lambda: 1 / 0]
    for write in writes:
        best_effort(Path("log"), write)
    assert said == ["warning: log: no space left on device; training goes on without it"]
    assert best_effort.failed == {Path("log"): "ZeroDivisionError('division by zero')"}
    best_effort(Path("log"), lambda: None)
    assert best_effort.failed == {}

    def lost() -> None:
        raise UserError("lost")

    with pytest.raises(UserError, match="lost"):
        BestEffort(said.append, lost)(Path("log"), lambda: None)


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "gone"), ValueError("closed"), BrokenPipeError()]
)
def test_a_display_that_fails_shows_nothing_more(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    calls: list[str] = []

    def fail(text: str) -> None:
        calls.append(text)
        raise error

    monkeypatch.setattr("sys.stderr.write", fail)
    display = Spare(Lines(0.0))
    display.note("one")
    display.note("two")
    display.progress(0.5, "three")
    display.close()
    assert calls == ["one\n"]


def test_no_logger_waits_for_a_thread(prose: Path, tmp_path: Path) -> None:
    import threading

    before, seen = set(threading.enumerate()), set[str]()
    step = Training._step
    with pytest.MonkeyPatch.context() as patch:

        def count(self: Training) -> None:
            step(self)
            seen.update(thread.name for thread in set(threading.enumerate()) - before)

        patch.setattr(Training, "_step", count)
        train("text", prose, out=tmp_path / "run", **SMALL)
    assert seen == {"lock"}
