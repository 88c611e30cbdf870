"""Rounds, agreement of results, and a real run against torch.nn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from unrolled import bench, cli
from unrolled.bench import cases, processes, worker
from unrolled.bench.cases import Case, Shape
from unrolled.bench.disturbance import Disturbance
from unrolled.bench.peers import ours
from unrolled.bench.peers import torch as torch_peer
from unrolled.bench.problem import Engine, UnsupportedError, pose
from unrolled.bench.rounds import measure


def test_rounds_are_interleaved_and_at_least_as_many_as_asked() -> None:
    order: list[str] = []

    def caller(name: str) -> object:
        order.append(name)
        time.sleep(0.021)  # long enough to be timed singly
        return None

    times = measure({n: lambda n=n: caller(n) for n in "ab"}, rounds=3, seconds=0)  # type: ignore[misc]
    assert {name: len(spent) for name, spent in times.items()} == {"a": 3, "b": 3}
    assert order[:-6] == ["a"] * 12 + ["b"] * 12  # before the rounds, untimed
    assert order[-6:] == ["a", "b", "b", "a", "a", "b"]
    assert all(0.02 < spent < 1 for spent in times["a"])


def test_short_calls_are_repeated_and_rounds_go_on_for_the_seconds() -> None:
    count = 0

    def call() -> None:
        nonlocal count
        count += 1

    times = measure({"a": call}, rounds=2, seconds=0.1)
    assert 2 < len(times["a"]) <= 200
    assert count > 1000
    assert 0 < np.median(times["a"]) < 1e-4


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shapes that take no time."""
    monkeypatch.setitem(cases.SHAPES, "medium", Shape(9, 3, 5, 7))
    monkeypatch.setitem(cases.SHAPES, "step", Shape(1, 2, 5, 7))
    monkeypatch.setitem(cases.SHAPES, "language", Shape(9, 3, 5, 7, layers=2))
    monkeypatch.setitem(
        cases.SHAPES, "ragged", Shape(9, 3, 5, 7, bidirectional=True, ragged=(2, 9))
    )


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("cell", cases.CELLS)
@pytest.mark.parametrize("shape", ["medium", "step", "language", "ragged"])
@pytest.mark.parametrize("mode", cases.MODES)
@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_ours_and_torch_are_given_the_same(cell: str, shape: str, mode: str, dtype: str) -> None:
    """In every case the numbers agree, so what is compared is the speed of one and the same."""
    found = worker.run_case(Case(cell, shape, mode, dtype, 1), ["torch"], 1, 0.0)
    assert found["absent"] == {}
    assert set(found["times"]) == {"ours", "torch"}


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("which", ["output", "gradient"])
def test_who_computes_something_else_is_not_timed(
    which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = pose(Case("gru", "medium", "training", "float32", 1))
    right = torch_peer.prepare(problem)
    assert right.gradients is not None
    gradients = right.gradients
    wrong = Engine(
        right.call,
        lambda: right.output() * (1.001 if which == "output" else 1),
        lambda: [part * (1.01 if which == "gradient" else 1) for part in gradients()],
    )
    monkeypatch.setattr(torch_peer, "prepare", lambda _: wrong)
    found = worker.run_case(problem.case, ["torch"], 1, 0.0)
    assert set(found["times"]) == {"ours"}
    assert found["absent"]["torch"].startswith(f"its {which} differs from ours by 1.0e-0")


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="only Linux books processors' time")
def test_others_on_our_processor_are_noticed() -> None:
    """Another process that never rests, on one processor together with us."""
    before = os.sched_getaffinity(0)
    program = "while True: pass"
    try:
        os.sched_setaffinity(0, [max(before)])
        with subprocess.Popen([sys.executable, "-c", program]) as other:
            time.sleep(0.2)
            disturbance = Disturbance()
            end = time.monotonic() + 0.5
            while time.monotonic() < end:
                pass
            other.kill()
            share = disturbance.share()
    finally:
        os.sched_setaffinity(0, before)
    assert share is not None
    assert share > 0.2


def test_nan_is_no_agreement() -> None:
    nothing = np.full((2, 1, 3), np.nan, dtype=np.float32)
    engine = Engine(lambda: None, lambda: nothing)
    with pytest.raises(UnsupportedError, match="its output differs from ours by nan"):
        worker.compare(engine, np.ones((2, 1, 3), dtype=np.float32), None, "float32")


@pytest.mark.usefixtures("tiny")
def test_a_peer_that_fails_is_named_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> Engine:
        raise RuntimeError("no\nluck")

    monkeypatch.setattr(torch_peer, "prepare", fail)
    found = worker.run_case(Case("rnn", "medium", "inference", "float32", 1), ["torch"], 1, 0.0)
    assert found["absent"] == {"torch": "RuntimeError: no luck"}
    assert set(found["times"]) == {"ours"}


@pytest.mark.usefixtures("tiny")
def test_training_differentiates_by_the_weights_and_not_by_the_input() -> None:
    problem = pose(Case("lstm", "ragged", "training", "float32", 1))
    engine = ours.prepare(problem)
    assert engine.gradients is not None
    assert [part.shape for part in engine.gradients()] == [
        tuple(weight.shape) for weight in problem.layer.parameters()
    ]
    assert not problem.x.requires_grad


def test_a_real_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own, through the command line, against torch.nn only.

    The product that measures the machine is a small one here: that of a real run takes seconds.
    """
    small = "from unrolled.bench import worker\nworker._PRODUCT = 256\n"
    assert worker._PRODUCT > 256
    *confined, entry = processes._PROGRAM.rstrip().splitlines()
    monkeypatch.setattr(processes, "_PROGRAM", "\n".join([*confined, small, entry]))
    command = ["bench", "--shapes", "step", "--cells", "gru,rnn", "--modes", "inference"]
    command += ["--threads", "1", "--dtypes", "float32", "--peers", "torch", "--rounds", "2"]
    command += ["--seconds", "0", "--out", str(tmp_path / "out"), "--json"]
    assert cli.run([*command, "--check", "1e9"]) == 1
    said = capfd.readouterr()
    found = json.loads(said.out)
    assert found == json.loads((tmp_path / "out" / "bench.json").read_text())
    assert [result["cell"] for result in found["results"]] == ["gru", "rnn"]
    for result in found["results"]:
        assert set(result["median_seconds"]) == {"ours", "torch"}
        # both terms are measured, and on a busy machine either may be far off
        assert 0 < result["share_of_product_rate"] < 100
    assert found["peers"] == {"torch": torch.__version__}
    assert found["elapsed_seconds"] > 0
    assert "gru step inference" in (tmp_path / "out" / "bench.svg").read_text()
    assert "--check 1e+09: 2 of 2 cases are below: gru step" in said.err


def test_the_check_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case("gru", "step", "inference", "float32", 1)
    report = bench.Report(
        {"processor": "abacus", "processors": "1", "instruction_sets": ""},
        {"torch": "2"},
        [bench.Result(case, {"ours": [1.0], "torch": [0.96]}, rate=1e9)],
    )
    monkeypatch.setattr(bench, "run", lambda *_: report)
    arguments = ["bench", "--out", str(tmp_path), "--check"]
    assert cli.run([*arguments, "0.95"]) == 0
    assert "0.96" in capsys.readouterr().out
    assert cli.run([*arguments, "0.97"]) == 1
    assert "1 of 1 cases are below: gru step" in capsys.readouterr().err


WORKER = """
import json, os, sys
told = json.load(sys.stdin)
assert told["peers"] == [], told["peers"]
print(json.dumps({"dtype": "float32", "rate": 1.0}), flush=True)
for case in told["cases"]:
    print(json.dumps({"begin": case}), flush=True)
    if case["cell"] == "gru":
        sys.exit("out of luck")
    found = {"case": case, "times": {"ours": [1.0]}, "absent": {}}
    print(json.dumps({"result": found}), flush=True)
"""
"""A measuring process that loads no library: it ends at the first GRU, whatever it measures."""


def test_a_peer_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "installed", lambda peer: None)
    monkeypatch.setattr(processes, "_PROGRAM", WORKER)
    options = bench.Options(
        ("rnn",), ("step",), ("inference",), ("1",), ("float32",), ("jax",), rounds=1, seconds=0.0
    )
    (result,) = bench.run(options).results
    assert result.absent == {"jax": "not installed"}
    assert result.best is None


def test_a_case_that_kills_its_process_is_named_and_the_next_one_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "_PROGRAM", WORKER)
    options = bench.Options(
        ("rnn", "gru", "lstm"), ("step",), ("inference",), ("1",), ("float32",), ()
    )
    rnn, gru, lstm = bench.run(options).results
    assert (rnn.failure, gru.failure, lstm.failure) == ("", "exit status 1, out of luck", "")
    assert lstm.times == {"ours": [1.0]}
