"""The lens in training: at its interval, within its budget, and without a trace in the weights."""

import json
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tensorboardX.proto.event_pb2 import Event
from tests.tasks.conftest import write_prose
from torch import Tensor, nn
from torch.nn import functional

import unrolled
from unrolled import tasks
from unrolled.errors import UserError
from unrolled.tasks import load, resume
from unrolled.training.batches import Streams
from unrolled.training.display import Silent
from unrolled.training.loop import Training
from unrolled.training.options import TrainingOptions
from unrolled.training.probe import monitor as monitor_module
from unrolled.training.probe.advice import Advisor
from unrolled.training.probe.look import LayerLook, Look, look
from unrolled.training.probe.look_log import LookLog, read_looks
from unrolled.training.probe.monitor import Monitor, scalars, some_rows
from unrolled.training.run_folder.best_effort import BestEffort
from unrolled.training.run_folder.checkpoint import read_tensors, under

SMALL: dict[str, Any] = {
    "hidden_size": 6,
    "embedding_size": 4,
    "dropout": 0.3,
    "seq_len": 8,
    "batch_size": 4,
    "log_every": 5,
    "lens_every": 6,
    "max_steps": 40,
    "sample_length": 0,
    "threads": 1,
    "quiet": True,
}


class Notes(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def a_look(step: int, seconds: float = 0.1) -> Look:
    layer = LayerLook((1.0, 0.5, 0.25), {"f": (0.25, 0.5)})
    return Look(step, seconds, {"rnn.l0": layer})


def build(
    path: Path, display: Notes, step: int = 0, lens_every: int = 10, window: int | None = 10
) -> Monitor:
    best_effort = BestEffort(display.note, lambda: None)
    return Monitor(
        lens_every, window, path, step, Advisor(1, window), display, lambda numbers, at: None,
        best_effort,
    )  # fmt: skip


def train(prose: Path, out: Path, **more: Any) -> None:
    tasks.train("text", prose, out=out, **(SMALL | more))


@pytest.fixture
def prose(tmp_path: Path) -> Path:
    torch.set_num_threads(1)
    return write_prose(tmp_path / "prose.txt", words=400)


@pytest.fixture
def no_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor_module, "BUDGET", 1e9)


def test_it_waits_for_its_interval_and_its_budget(tmp_path: Path) -> None:
    monitor = build(tmp_path / "lens.jsonl", Notes())
    assert not monitor.due(9, 1e6)
    assert monitor.due(10, 1e6)
    # The first is taken to cost 2 ms for each of 10 steps: 3 % of 0.67 s.
    assert not monitor.due(10, 0.6)
    assert monitor.due(11, 0.7)


def test_whole_sequences_are_looked_at_as_if_they_had_a_hundred_steps(tmp_path: Path) -> None:
    monitor = build(tmp_path / "lens.jsonl", Notes(), window=None)
    assert not monitor.due(10, 6.6)  # 2 ms for each of 100 steps: 3 % of 6.7 s
    assert monitor.due(10, 6.7)


def test_what_looks_took_is_remembered_by_a_run_that_goes_on(tmp_path: Path) -> None:
    file = LookLog(tmp_path / "lens.jsonl", 0)
    for step in (10, 20, 30):
        file.append(a_look(step, 0.1))
    monitor = build(tmp_path / "lens.jsonl", Notes(), step=25)
    assert [look.step for look in read_looks(tmp_path / "lens.jsonl")] == [10, 20]
    assert not monitor.due(29, 1e6)
    assert not monitor.due(30, 9.9)  # 0.2 s and 0.1 s more are over 3 %
    assert monitor.due(30, 10.1)
    assert not build(tmp_path / "lens.jsonl", Notes(), step=25, lens_every=0).due(30, 1e6)


def test_looks_that_cost_too_much_become_rarer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]

    def slow(*_: object) -> Mapping[str, LayerLook]:
        clock[0] += 0.05  # twice and a half what the first is taken to cost
        return a_look(0).layers

    monkeypatch.setattr(monitor_module, "look", slow)
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    notes = Notes()
    monitor = build(tmp_path / "lens.jsonl", notes)
    model = nn.Linear(1, 1)
    for step in range(1, 4001):  # updates of 5 ms
        if monitor.due(step, step * 5e-3):
            monitor.look(step, step * 5e-3, model, lambda: torch.zeros(1, 1))
    # 3 % of 20 s are 12 looks of 50 ms; there were 400 intervals.
    assert len(read_looks(tmp_path / "lens.jsonl")) == 12
    assert notes.lines == [
        "lens: a look takes 50 ms, so there will be one about every 333 updates, not every 10: "
        "3% of the training time at most"
    ]


def test_a_model_without_recurrent_layers_is_left_alone(tmp_path: Path) -> None:
    notes = Notes()
    monitor = build(tmp_path / "lens.jsonl", notes)
    monitor.look(10, 1.0, nn.Linear(2, 2), lambda: torch.zeros(3, 1))
    assert len(notes.lines) == 1
    assert "must have a recurrent layer" in notes.lines[0]
    assert not monitor.due(20, 1e6)
    assert not (tmp_path / "lens.jsonl").exists()


def test_layers_of_torch_are_looked_at(tmp_path: Path) -> None:
    model = nn.LSTM(3, 4)
    x = torch.randn(6, 2, 3)

    def losses() -> Tensor:
        output: Tensor = model(x)[0]
        return output.sum(-1)

    build(tmp_path / "lens.jsonl", Notes()).look(10, 1.0, model, losses)
    assert len(read_looks(tmp_path / "lens.jsonl")[0].layers["l0"].influence) == 6


@pytest.mark.parametrize("count", [1, 3, 8, 9, 32, 100])
def test_some_rows_are_spread_over_the_batch(count: int) -> None:
    rows = list(range(count))[some_rows(count)]
    assert len(rows) == min(count, 8)
    assert rows[-1] >= count - count / 8 - 8 or count < 16


@pytest.mark.usefixtures("no_budget")
@pytest.mark.parametrize("cell", ["lstm", "rnn"])
def test_weights_are_the_same_with_and_without_it(prose: Path, tmp_path: Path, cell: str) -> None:
    train(prose, tmp_path / "with", cell=cell, num_layers=2)
    train(prose, tmp_path / "without", cell=cell, num_layers=2, lens_every=0)
    looks = read_looks(tmp_path / "with" / "lens.jsonl")
    assert len(looks) == 6
    assert list(looks[0].layers) == ["recurrent.l0", "recurrent.l1"]
    assert len(looks[0].layers["recurrent.l0"].influence) == 8
    assert not (tmp_path / "without" / "lens.jsonl").exists()
    mine, other = (
        load_file(tmp_path / name / "checkpoint.safetensors") for name in ("with", "without")
    )
    assert mine.keys() == other.keys()
    assert all(mine[key].numpy().tobytes() == other[key].numpy().tobytes() for key in mine)


@pytest.mark.usefixtures("no_budget")
@pytest.mark.parametrize("precision", ["64", "bf16-mixed"])
def test_every_precision_is_looked_at(prose: Path, tmp_path: Path, precision: str) -> None:
    train(prose, tmp_path / "run", precision=precision, max_steps=20)
    assert [look.step for look in read_looks(tmp_path / "run" / "lens.jsonl")] == [6, 12, 18]


@pytest.mark.usefixtures("no_budget")
def test_a_look_is_at_the_next_chunk_with_the_state_carried_into_it(
    prose: Path, tmp_path: Path
) -> None:
    train(prose, tmp_path / "run", batch_size=9, max_steps=18, lens_every=18, val_fraction=0.0)
    tensors, record = read_tensors(tmp_path / "run" / "checkpoint.safetensors")
    model = load(tmp_path / "run").model
    model.load_state_dict(under(tensors, "model"))
    tokens = np.load(tmp_path / "run" / "cache" / "train.npy")
    streams = Streams(tokens, batch_size=9, seq_len=8, random_boundaries=True)
    position = record["position"]
    inputs, targets = (x[:, :8] for x in streams.batch(position["epoch"], position["index"]))

    def losses(state: tuple[Tensor, ...] | None) -> Tensor:
        logits, _ = model(inputs, state)
        return functional.cross_entropy(logits.movedim(-1, 1), targets, reduction="none")

    carried = tuple(state[:, :8] for state in under(tensors, "carry.0").values())
    (kept,) = read_looks(tmp_path / "run" / "lens.jsonl")
    for state, same in ((carried, True), (None, False)):
        found = look(model, partial(losses, state))["recurrent.l0"].influence
        close = kept.layers["recurrent.l0"].influence == pytest.approx(found, rel=1e-4)
        assert close == same


@pytest.mark.usefixtures("no_budget")
def test_a_run_that_was_stopped_has_the_same_looks(
    prose: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def layers(name: str) -> list[tuple[int, Any]]:
        return [(look.step, look.layers) for look in read_looks(tmp_path / name / "lens.jsonl")]

    train(prose, tmp_path / "whole", checkpoint_steps=5)
    step = Training._step

    def crash(self: Training) -> None:
        step(self)
        if self.position.step == 28:
            raise KeyboardInterrupt

    monkeypatch.setattr(Training, "_step", crash)
    with pytest.raises(KeyboardInterrupt):
        train(prose, tmp_path / "parts", checkpoint_steps=5)
    monkeypatch.setattr(Training, "_step", step)
    resume(tmp_path / "parts", quiet=True)
    assert layers("parts") == layers("whole")


@pytest.mark.usefixtures("no_budget")
def test_curves_are_in_tensorboard_and_in_the_report(prose: Path, tmp_path: Path) -> None:
    train(prose, tmp_path / "run", cell="lstm", lens_every=5, clip=0.01)
    tags = tensorboard_tags(tmp_path / "run" / "tensorboard")
    for name in (
        "lag_of_a_half",
        "left",
        "reach",
        "saturated_f",
        "saturated_tanh_c_",
        "influence_lag_0004",
    ):
        assert f"lens_recurrent.l0/{name}" in tags
    assert {"grad_norm", "clipped"} <= tags
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    for words in ("clipped above 0.01", "recurrent.l0: down to a half", "Saturation: recurrent.l0"):
        assert words in report
    assert "Warnings" in report
    assert "--clip is 0.01" in report
    with (tmp_path / "run" / "log.csv").open() as file:  # looks make no rows of their own
        assert sum(1 for _ in file) == 1 + 40 // 5 + 1


def tensorboard_tags(folder: Path) -> set[str]:
    """The tags of all scalars, read from the records of the event files themselves."""
    tags = set()
    for path in folder.glob("events*"):
        data = path.read_bytes()
        while data:
            length = int.from_bytes(data[:8], "little")
            event = Event.FromString(data[12 : 12 + length])
            tags |= {value.tag for value in event.summary.value}
            data = data[16 + length :]
    return tags


def test_numbers_that_are_not_finite_are_kept_but_not_judged(tmp_path: Path) -> None:
    notes = Notes()
    model = unrolled.RNN(3, 4, nonlinearity="relu")
    x = torch.randn(6, 2, 3)
    with torch.no_grad():
        model.get_parameter("weight_hh_l0").fill_(torch.inf)
    monitor = build(tmp_path / "lens.jsonl", notes)
    for step in (10, 20, 30, 40):
        monitor.look(step, 100.0, model, lambda: model(x)[0].sum(-1))
    looks = read_looks(tmp_path / "lens.jsonl")
    assert len(looks) == 4
    assert (looks[0].layers["l0"].decay.grown, looks[0].layers["l0"].reach) == (1, 6)
    assert all(math.isfinite(value) for value in scalars(looks[0]).values())
    assert notes.lines == []


def test_a_broken_line_in_the_file_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "lens.jsonl"
    file = LookLog(path, 0)
    file.append(a_look(10))
    with path.open("a") as lines:
        lines.write(
            '{"step": 20, "seconds": 0.1, "layers": {"l0": 3}}\n[1]\nnull\n{"step": 30, "sec'
        )
    assert read_looks(path) == [a_look(10)]
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()[:1]] == [10]


def test_a_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """Its half-lives were those of a fit whatever it was worth; they are measured again."""
    path = tmp_path / "lens.jsonl"
    curve = [1.0, 0.6, 0.4, 0.3, *[0.2] * 60]
    layer = {"influence": curve, "half_life": 123.0, "r_squared": 0.1, "reach": 60}
    layer["saturation"] = {"f": [0.25, 0.5]}
    path.write_text(json.dumps({"step": 10, "seconds": 0.1, "layers": {"l0": layer}}) + "\n")
    (look,) = LookLog(path, 10).looks
    found = look.layers["l0"].decay
    assert (found.half, found.tenth, found.left, found.fits) == (2, None, 0.2, False)
    (line,) = path.read_text().splitlines()  # written again as it is now
    written = json.loads(line)["layers"]["l0"]
    assert (written["half"], written["tenth"], written["half_life"]) == (2, None, None)


def test_bad_interval() -> None:
    with pytest.raises(
        UserError, match=r"--lens-every: expected a whole number from 0 to .*, got -1"
    ):
        TrainingOptions(lens_every=-1)
