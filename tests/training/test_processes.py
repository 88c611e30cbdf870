"""Several processes train as one does; whatever happens to one of them, all end, with one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tests.tasks.conftest import write_prose
from tests.training.sharing import TEXT, toy
from tests.training.toy import write

import unrolled
from unrolled.errors import UserError
from unrolled.training.processes import Processes, reported_once
from unrolled.training.run_folder.checkpoint import read_tensors

ROOT = Path(__file__).parents[2]
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")


def command(*words: object) -> subprocess.Popen[str]:
    """A Python process in a group of its own."""
    variables = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "WORLD_SIZE")}
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=variables | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code and output; what hangs is killed, all of it."""
    try:
        out, err = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise AssertionError(f"hangs: {process.communicate()}") from None
    return process.returncode, out, err


def assert_close(one: Path, other: Path) -> None:
    """The weights of two runs are the same, but for the order in which numbers were added."""
    first, second = (read_tensors(path / "checkpoint.safetensors")[0] for path in (one, other))
    names = [name for name in first if name.startswith("model.")]
    assert names
    for name in names:
        torch.testing.assert_close(first[name], second[name], rtol=1e-4, atol=1e-5)


def assert_same(one: Path, other: Path) -> None:
    """The checkpoints of two runs are the same bit for bit, random numbers of all included."""
    first, second = (read_tensors(path / "checkpoint.safetensors")[0] for path in (one, other))
    assert first.keys() == second.keys()
    assert {"random.0.cpu", "random.1.cpu", "carry.0.0", "carry.1.0"} <= first.keys()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def steps(run: Path) -> list[str]:
    return [line.split(",")[0] for line in (run / "log.csv").read_text().splitlines()[1:]]


@pytest.mark.parametrize("way", ["torchrun", "--processes"])
def test_two_processes_train_as_one(tmp_path: Path, way: str) -> None:
    prose, toys = write_prose(tmp_path / "prose.txt", words=300), write(tmp_path / "toy.txt", 41)
    assert toys.exists()
    unrolled.train("text", prose, out=tmp_path / "alone", **TEXT)
    toy(tmp_path, tmp_path / "toy-alone")
    program = (ROOT / "tests/training/sharing.py", tmp_path)
    words = (*TORCHRUN, *program, 1) if way == "torchrun" else (*program, 2)
    code, out, err = finished(command(*words))
    assert code == 0, err
    assert "Traceback" not in out + err
    assert_close(tmp_path / "alone", tmp_path / "text")
    assert_close(tmp_path / "toy-alone", tmp_path / "toy")
    assert steps(tmp_path / "text") == steps(tmp_path / "alone")  # each row once
    assert steps(tmp_path / "toy") == steps(tmp_path / "toy-alone")
    assert_same(tmp_path / "stopped", tmp_path / "whole")  # SIGTERM to one, and resumed
    lines = out.splitlines()
    expected = "now there are 2; go on with as many" if way == "torchrun" else "none.txt: no such"
    assert sum(expected in line for line in lines) == 1
    assert sum("start the program again" in line for line in lines) == 1
    assert [line[:2] for line in lines if ": " in line] == ["0:", "0:"]  # the first one speaks
    assert {"0 is done", "1 is done"} <= set(lines)
    assert not (tmp_path / "none").exists()


def started(out: Path, words: list[object]) -> subprocess.Popen[str]:
    """A training that has written a new checkpoint."""
    checkpoint = out / "checkpoint.safetensors"
    before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
    process = command("-m", "unrolled.cli", "train", *words)
    deadline = time.monotonic() + 200
    while not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    return process


def test_killed_stopped_and_resumed_by_the_command_line(tmp_path: Path) -> None:
    prose, out = write_prose(tmp_path / "prose.txt", words=300), tmp_path / "run"
    flags = {k: v for k, v in TEXT.items() if v is not None and k not in ("quiet", "max_steps")} | {
        "dropout": 0.3,
        "checkpoint_steps": 3,
        "schedule": "constant",
        "processes": 2,
    }
    words: list[object] = ["text", prose, "--out", out, "--max-steps", 100_000]
    for name, value in flags.items():
        words += [f"--{name.replace('_', '-')}", value]
    process = started(out, words)
    os.killpg(process.pid, signal.SIGKILL)  # both processes at once
    process.communicate()
    process = started(out, ["--resume", out])
    process.terminate()  # the first one only
    code, said, err = finished(process)
    assert code == 128 + signal.SIGTERM, err
    assert "Traceback" not in err
    record = read_tensors(out / "checkpoint.safetensors")[1]["position"]
    assert f"saved at step {record['step']}" in said
    assert said.count("Go on with:") == 1


@pytest.mark.parametrize("rank", ["0", "1"])
def test_the_first_process_reports_an_error(monkeypatch: pytest.MonkeyPatch, rank: str) -> None:
    for name in ("NODE_RANK", "WORLD_SIZE", "MASTER_PORT"):
        monkeypatch.setenv(name, "2")
    monkeypatch.setenv("LOCAL_RANK", rank)
    caught: list[Exception] = []
    for error in (UserError("wrong"), RuntimeError("gloo: Connection closed by peer")):
        try:
            with reported_once():
                raise error
        except UserError as found:
            caught.append(found)
    words = ["wrong", "another process of this training ended; --resume goes on from the last "
             "checkpoint"]  # fmt: skip
    assert [str(error) for error in caught] == (words if rank == "0" else [])
    with pytest.raises(RuntimeError, match="a bug"), reported_once():
        raise RuntimeError("a bug")


def test_a_block_of_one_process_fails_as_it_is() -> None:
    with pytest.raises(UserError, match="wrong"), Processes().together():
        raise UserError("wrong")
    with Processes().together():
        pass
