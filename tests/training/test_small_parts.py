"""Durations, schedule, optimizer, average, guards: the parts that need no run."""

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from unrolled import files as atomic
from unrolled.errors import UserError
from unrolled.training.duration import format_duration, parse_duration
from unrolled.training.guards import diagnose
from unrolled.training.optimizer import (
    WeightAverage,
    build_optimizer,
    clip_gradients,
    learning_rate,
)
from unrolled.training.options import TrainingOptions


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("2m", 120), ("1h30m", 5400), ("1.5h", 5400), ("1d", 86400), (3, 3)],
)
def test_duration(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "soon", "2x", "m", "-3s", "0", "1m2h", math.nan, math.inf, -1]
)
def test_bad_duration(text: str | float) -> None:
    with pytest.raises(UserError, match="--max-time: expected a duration"):
        parse_duration(text, "--max-time")


def test_duration_in_words() -> None:
    assert format_duration(3.21) == "3.2 s"
    assert format_duration(125) == "2 min 05 s"
    assert format_duration(5400) == "1 h 30 min"


def test_schedule() -> None:
    def rate(progress: float, course: str = "cosine") -> float:
        return learning_rate(progress, peak=2.0, course=course, warmup=0.1, final=0.05)  # type: ignore[arg-type]

    assert rate(0.05) == pytest.approx(1.0)
    assert rate(0.1) == pytest.approx(2.0)
    assert rate(0.55) == pytest.approx(2.0 * (0.05 + 0.95 / 2))
    assert rate(0.55, "linear") == pytest.approx(2.0 * (0.05 + 0.95 / 2))
    assert rate(1.0) == pytest.approx(0.1)
    assert rate(7.0) == pytest.approx(0.1)
    assert rate(1.0, "constant") == 2.0
    falling = [rate(p / 100) for p in range(10, 101)]
    assert falling == sorted(falling, reverse=True)


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_weight_decay_is_on_matrices_only(name: str) -> None:
    model = nn.ModuleDict({"embedding": nn.Embedding(5, 4), "lstm": nn.LSTM(4, 3)})
    optimizer = build_optimizer(model, TrainingOptions(optimizer=name, weight_decay=0.3))  # type: ignore[arg-type]
    decayed = {id(p) for p in optimizer.param_groups[0]["params"]}
    names = {n for n, p in model.named_parameters() if id(p) in decayed}
    assert names == {"lstm.weight_ih_l0", "lstm.weight_hh_l0"}
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0.3, 0.0]


def test_clipping_scales_to_the_limit_and_returns_the_norm_before() -> None:
    parameters = [nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(2, 2))]
    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, 2.0)
    norm = clip_gradients(parameters, 1.0)
    assert norm == pytest.approx(math.sqrt(7 * 4))
    assert clip_gradients(parameters, 0.0) == pytest.approx(1.0)
    assert clip_gradients(parameters, 5.0) == pytest.approx(1.0)


def test_average_against_the_formula() -> None:
    model = nn.Linear(1, 1, bias=False)
    weight = model.weight
    with torch.no_grad():
        weight.fill_(0.0)
    average = WeightAverage(model, 0.9)
    expected = 0.0
    for step in range(1, 200):
        with torch.no_grad():
            weight.fill_(step)
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    with average.applied():
        assert weight.item() == pytest.approx(expected, rel=1e-5)
    assert weight.item() == 199


def test_average_is_taken_away_after_an_error() -> None:
    model = nn.Linear(2, 2)
    before = model.weight.clone()
    average = WeightAverage(model, 0.5)
    average.averages[0].zero_()

    def fail_inside() -> None:
        with average.applied():
            assert model.weight.abs().sum() == 0
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail_inside()
    assert torch.equal(model.weight, before)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.GRU(2, 3)
        self.readout = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.readout(self.recurrent(x)[0])
        return y


def test_guard_names_layer_and_time() -> None:
    net = Net()
    x = torch.zeros(9, 2, 2)
    x[5, 1, 0] = math.nan
    assert diagnose(net, None, lambda: net(x)) == (
        "the output of layer 'recurrent' (GRU) at time index 5"
    )


def test_guard_names_weight_state_and_gradient() -> None:
    net = Net()
    x = torch.zeros(4, 2, 2)
    assert diagnose(net, None, lambda: net(x)) == "the loss itself"
    bad = (torch.tensor([math.inf]),)
    assert diagnose(net, bad, lambda: net(x)) == "the carried state at time index 0"
    net.readout.weight.grad = torch.full_like(net.readout.weight, 1e30)
    assert diagnose(net, None, lambda: net(x)) == (
        "none, but the gradient of 'readout.weight' reaches 1e+30"
    )
    net.readout.weight.grad = torch.full_like(net.readout.weight, math.nan)
    assert diagnose(net, None, lambda: net(x)) == "the gradient of 'readout.weight'"
    with torch.no_grad():
        dict(net.named_parameters())["recurrent.weight_hh_l0"].fill_(math.inf)
    assert diagnose(net, None, lambda: net(x)) == "the weight 'recurrent.weight_hh_l0'"


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_crash_while_writing_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    path = tmp_path / "file"
    atomic.write_file(path, b"old")

    def crash(*args: object) -> None:
        raise OSError(28, "No space left on device")

    if where == "fsync":
        monkeypatch.setattr(os, "fsync", crash)
    else:
        monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(OSError, match="No space left"):
        atomic.write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_writer_leaves_old_or_new_and_strays_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    script = (
        "import os, sys; from pathlib import Path; from unrolled import files as atomic\n"
        "path = Path(sys.argv[1]); atomic.write_file(path, b'old')\n"
        "os.fsync = lambda handle: os.kill(os.getpid(), 9)\n"
        "atomic.write_file(path, b'new')\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2
    atomic.remove_strays(tmp_path)
    assert list(tmp_path.iterdir()) == [path]
