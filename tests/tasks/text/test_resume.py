"""A run stopped at any moment and continued ends with the same bits."""

import csv
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from unrolled.errors import UserError
from unrolled.tasks import load, resume, train
from unrolled.tasks.text.options import DataOptions, ModelOptions, TextOptions, TextTraining
from unrolled.tasks.text.task import TASK
from unrolled.training.loop import Training
from unrolled.training.run_folder.checkpoint import read_tensors
from unrolled.training.session import create

OPTIONS: dict[str, Any] = {
    "hidden_size": 12,
    "num_layers": 2,
    "embedding_size": 5,
    "dropout": 0.3,
    "seq_len": 16,
    "batch_size": 4,
    "max_steps": 150,
    "val_every": 37,
    "checkpoint_steps": 11,
    "log_every": 10,
    "ema": 0.9,
    "sample_length": 20,
    "threads": 1,
    "seed": 5,
}


def assert_same_run(one: Path, other: Path) -> None:
    for name in ("weights.safetensors", "checkpoint.safetensors"):
        first, second = load_file(one / name), load_file(other / name)
        assert first.keys() == second.keys()
        for key in first:
            assert first[key].dtype == second[key].dtype
            assert first[key].numpy().tobytes() == second[key].numpy().tobytes(), key
    mine, other_position = (
        read_tensors(p / "checkpoint.safetensors")[1]["position"] for p in (one, other)
    )
    for timed in ("seconds", "validation_seconds"):
        mine.pop(timed), other_position.pop(timed)
    mine["window"].pop("seconds"), other_position["window"].pop("seconds")
    assert mine == other_position
    logs = []
    for path in (one, other):
        with (path / "log.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            row.pop("seconds"), row.pop("per_second")
        logs.append(rows)
    assert logs[0] == logs[1]
    samples = [{f.name: f.read_text() for f in (p / "samples").iterdir()} for p in (one, other)]
    assert samples[0] == samples[1]


MODEL = ("cell", "hidden_size", "num_layers", "embedding_size", "dropout")


class Stopped(BaseException):
    """As sudden as a kill, within one process."""


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_stopped_and_resumed_is_the_same(
    prose: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: str
) -> None:
    settings = OPTIONS | {"cell": cell}
    train("text", prose, out=tmp_path / "whole", quiet=True, **settings)
    step = Training._step
    for stop in (3, 25, 118):

        def crash(self: Training, at: int = stop) -> None:
            step(self)
            if self.position.step == at:
                raise Stopped

        monkeypatch.setattr(Training, "_step", crash)
        if not (tmp_path / "parts").exists():
            start(prose, tmp_path / "parts", **settings)
        with pytest.raises(Stopped):
            resume(tmp_path / "parts", quiet=True)
    monkeypatch.setattr(Training, "_step", step)
    prose.unlink()  # a run keeps what it needs
    resume(tmp_path / "parts", quiet=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_extended_is_the_same_as_long_from_the_start(
    prose: Path, tmp_path: Path, optimizer: str
) -> None:
    # With a constant rate the limit has no say in the updates.
    settings = OPTIONS | {"optimizer": optimizer, "schedule": "constant", "warmup": 0.0, "ema": 0.0}
    train("text", prose, out=tmp_path / "long", quiet=True, **(settings | {"max_steps": 74}))
    train("text", prose, out=tmp_path / "short", quiet=True, **(settings | {"max_steps": 37}))
    resume(tmp_path / "short", max_steps=74, quiet=True)
    assert_same_run(tmp_path / "long", tmp_path / "short")


def start(prose: Path, out: Path, **more: Any) -> None:
    settings = OPTIONS | {"max_steps": 4000, "val_every": 0, "checkpoint_steps": 50} | more
    model = {k: settings.pop(k) for k in MODEL if k in settings}
    create(
        TASK,
        TextOptions(
            data=DataOptions(data=(str(prose),)),
            model=ModelOptions(**model),
            training=TextTraining(**settings),
        ),
        out,
    )


def resumed(out: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "unrolled.cli", "train", "--resume", str(out)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    checkpoint = out / "checkpoint.safetensors"
    before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
    deadline = time.monotonic() + 60
    while not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    return process


def test_killed_at_random_moments_and_resumed_is_the_same(prose: Path, tmp_path: Path) -> None:
    draw = random.Random(os.getpid())
    out = tmp_path / "killed"
    start(prose, out, max_steps=100_000, schedule="constant", warmup=0.0)
    for _ in range(2):
        process = resumed(out)
        time.sleep(draw.random() * 0.4)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        read_tensors(out / "checkpoint.safetensors")  # it loads
    steps = read_tensors(out / "checkpoint.safetensors")[1]["position"]["step"] + 60
    resume(out, max_steps=steps, quiet=True)
    whole = tmp_path / "whole"
    start(prose, whole, max_steps=steps, schedule="constant", warmup=0.0)
    resume(whole, quiet=True)
    assert_same_run(whole, out)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_saves_and_says_how_to_go_on(prose: Path, tmp_path: Path, number: int) -> None:
    out = tmp_path / "run"
    start(prose, out, max_steps=100_000, checkpoint_steps=5)
    process = resumed(out)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert f"unrolled train --resume {out}" in stdout
    assert "Traceback" not in stderr
    step = read_tensors(out / "checkpoint.safetensors")[1]["position"]["step"]
    assert f"saved at step {step}" in stdout
    assert (out / "report.html").exists()
    # A run that was never validated can write already, with its last weights.
    assert len(load(out).generate("the", length=5)) == 5


def test_two_processes_cannot_train_one_run(prose: Path, tmp_path: Path) -> None:
    from unrolled.training.run_folder.folder import RunFolder

    out = tmp_path / "run"
    start(prose, out)
    with (
        RunFolder(out).writing(),
        pytest.raises(UserError, match=f"held by process {os.getpid()} on"),
    ):
        resume(out, quiet=True)


def test_a_number_that_is_not_finite_stops_with_one_line(prose: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(UserError) as caught:
        train(
            "text",
            prose,
            out=out,
            quiet=True,
            **(OPTIONS | {"lr": 1e38, "clip": 0.0, "optimizer": "sgd", "checkpoint_steps": 1}),
        )
    message = str(caught.value)
    assert caught.value.code == 1
    assert re.search(r"stopped at step \d+: the (loss|gradient norm) is (nan|inf)", message)
    assert "\n" not in message
    assert "weight" in message or "output of layer" in message or "gradient of" in message
    checkpoint = out / "checkpoint.safetensors"
    if checkpoint.exists():
        assert all(bool(t.isfinite().all()) for t in read_tensors(checkpoint)[0].values())


def test_time_limit_and_early_stopping(prose: Path, tmp_path: Path) -> None:
    settings = OPTIONS | {"max_steps": None, "max_time": 0.3}
    run = train("text", prose, out=tmp_path / "timed", quiet=True, **settings)
    record = read_tensors(run.folder.checkpoint)[1]["position"]
    assert 0.3 <= record["seconds"] < 3
    settings = OPTIONS | {"patience": 2, "val_every": 3, "lr": 1e-12, "max_steps": 5000, "ema": 0.0}
    run = train("text", prose, out=tmp_path / "early", quiet=True, **settings)
    record = read_tensors(run.folder.checkpoint)[1]["position"]
    assert record["strikes"] == 2
    assert record["step"] < 100
