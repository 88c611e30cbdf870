"""Several processes train as one does; whatever happens to one of them, all end, with one line."""

from __future__ import annotations

import os
import shutil
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


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, and the runs of one process."""
    folder = tmp_path_factory.mktemp("alone")
    write_prose(folder / "prose.txt", words=300)
    write(folder / "toy.txt", 41)
    unrolled.train("text", folder / "prose.txt", out=folder / "alone", **TEXT)
    toy(folder, folder / "toy-alone")
    return folder


def shared(alone: Path, folder: Path, *words: object) -> tuple[Path, str]:
    """The same folder with the runs of two processes, and what their program has printed."""
    shutil.copytree(alone, folder, dirs_exist_ok=True)
    code, out, err = finished(command(*words[:-1], folder, words[-1]))
    assert code == 0, err
    assert "Traceback" not in out + err
    return folder, out


PROGRAM = ROOT / "tests/training/sharing.py"


@pytest.fixture(scope="module")
def by_torchrun(alone: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    return shared(alone, tmp_path_factory.mktemp("torchrun"), *TORCHRUN, PROGRAM, 1)


@pytest.fixture(scope="module")
def by_option(alone: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    return shared(alone, tmp_path_factory.mktemp("processes"), PROGRAM, 2)


@pytest.mark.parametrize("way", ["by_torchrun", "by_option"])
def test_two_processes_train_as_one(way: str, request: pytest.FixtureRequest) -> None:
    folder, said = request.getfixturevalue(way)
    assert_close(folder / "alone", folder / "text")
    assert_close(folder / "toy-alone", folder / "toy")
    assert steps(folder / "text") == steps(folder / "alone")  # each row once
    assert steps(folder / "toy") == steps(folder / "toy-alone")
    assert_same(folder / "stopped", folder / "whole")  # SIGTERM to one, and resumed
    lines = said.splitlines()
    expected = {
        "by_torchrun": "now there are 2; go on with as many",
        "by_option": "none.txt: no such",
    }
    assert sum(expected[way] in line for line in lines) == 1
    assert sum("start the program again" in line for line in lines) == 1
    assert [line[:2] for line in lines if ": " in line] == ["0:", "0:"]  # the first one speaks
    assert {"0 is done", "1 is done"} <= set(lines)
    assert not (folder / "none").exists()


def wait_for_checkpoint(process: subprocess.Popen[str], run: Path) -> None:
    """Return as soon as the process has written a new checkpoint of a run."""
    checkpoint = run / "checkpoint.safetensors"
    before = checkpoint.stat().st_mtime_ns
    deadline = time.monotonic() + 200
    while checkpoint.stat().st_mtime_ns == before:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def test_resumed_and_stopped_by_the_command_line(
    by_option: tuple[Path, str], tmp_path: Path
) -> None:
    """The command starts the other process itself; a signal to the first one ends both."""
    run = tmp_path / "run"
    shutil.copytree(by_option[0] / "text", run)
    process = command("-m", "unrolled.cli", "train", "--resume", run, "--max-steps", 100_000)
    wait_for_checkpoint(process, run)
    process.terminate()  # the first one only
    code, said, err = finished(process)
    assert code == 128 + signal.SIGTERM, err
    assert "Traceback" not in err
    record = read_tensors(run / "checkpoint.safetensors")[1]["position"]
    assert record["step"] > TEXT["max_steps"]
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
