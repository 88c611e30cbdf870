"""The life of a run, with a task that is not text: whole sequences, its own metrics and carry."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.toy import TOY, Answers, Toy, ToyData, ToyModel, ToyOptions, padded, read, write

from unrolled.errors import UserError
from unrolled.training import session
from unrolled.training.loop import Training
from unrolled.training.options import TrainingOptions
from unrolled.training.run_folder.checkpoint import read_tensors

SETTINGS: dict[str, Any] = {
    "batch_size": 5,
    "lr": 0.05,
    "max_epochs": 3,
    "val_every": 4,
    "checkpoint_steps": 1,
    "log_every": 2,
    "lens_every": 0,
    "threads": 1,
    "device": "cpu",
    "seed": 3,
}
MODEL = ToyModel(dropout=0.3, noise=0.1, memory=0.5)


@pytest.fixture
def data(tmp_path: Path) -> ToyData:
    train, validation = write(tmp_path / "train.txt", 23), write(tmp_path / "val.txt", 20, seed=1)
    return ToyData((str(train),), (str(validation),))


def options(data: ToyData, model: ToyModel = MODEL, **more: Any) -> ToyOptions:
    return ToyOptions(data=data, model=model, training=TrainingOptions(**(SETTINGS | more)))


def trained(
    data: ToyData, out: Path, task: Toy = TOY, model: ToyModel = MODEL, **more: Any
) -> session.Summary:
    summary = session.train(task, options(data, model, **more), out, quiet=True)
    assert summary is not None
    return summary


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def position(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_tensors(run / "checkpoint.safetensors")[1]["position"]
    return found


def content(run: Path) -> tuple[Any, ...]:
    """Everything that two runs alike have alike: tensors by their bytes, position, log."""
    parts: list[Any] = []
    for name in ("weights.safetensors", "checkpoint.safetensors"):
        tensors, record = read_tensors(run / name)
        parts.append({key: value.numpy().tobytes() for key, value in tensors.items()})
        place = record.get("position", {})
        for timed in ("seconds", "validation_seconds"):
            place.pop(timed, None)
        place.get("window", {}).pop("seconds", None)
        parts.append(record)
    clocks = ("seconds", "per_second")
    parts.append([{k: v for k, v in row.items() if k not in clocks} for row in rows(run)])
    return tuple(parts)


class Stopped(BaseException):
    """As sudden as a kill, within one process."""


def test_stopped_after_any_update_and_resumed_is_the_same(
    data: ToyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(data, tmp_path / "whole")
    expected = content(tmp_path / "whole")
    steps = position(tmp_path / "whole")["step"]
    assert steps == 15
    real = Training._step
    for stop in (1, 4, 5, 9, 14):  # 4: validated; 5: an epoch's end; 9: a loss half logged

        def crash(self: Training, at: int = stop) -> None:
            real(self)
            if self.position.step == at:
                raise Stopped

        monkeypatch.setattr(Training, "_step", crash)
        out = tmp_path / f"parts{stop}"
        with pytest.raises(Stopped):
            trained(data, out)
        monkeypatch.setattr(Training, "_step", real)
        session.resume(TOY, out, quiet=True)
        assert content(out) == expected, stop


def test_what_is_carried_is_in_the_checkpoint_as_it_was(data: ToyData, tmp_path: Path) -> None:
    trained(data, tmp_path / "run", max_epochs=None, max_steps=7)
    tensors, record = read_tensors(tmp_path / "run" / "checkpoint.safetensors")
    assert record["carry"] == [{"dict": {"mean": {"tuple": [0]}, "nothing": None}}]
    assert tensors["carry.0.0"].shape == ()
    trained(data, tmp_path / "end", max_epochs=1)  # nothing is carried into the next epoch
    tensors, record = read_tensors(tmp_path / "end" / "checkpoint.safetensors")
    assert record["carry"] == [None]
    assert not [name for name in tensors if name.startswith("carry")]


# What is measured --------------------------------------------------------------------------------


def scripted(data: ToyData, out: Path, right: list[float], **more: Any) -> session.Summary:
    """A run of which each update is validated, and what the validations say."""
    plain = ToyData(data.data)
    more = {"val_every": 1, "max_epochs": None, "max_steps": len(right)} | more
    script = {"right": right, "loss": [1.0 / k for k in range(1, len(right) + 1)]}
    return trained(plain, out, Toy(script), **more)


def test_the_best_weights_are_those_of_the_first_metric_in_its_direction(
    data: ToyData, tmp_path: Path
) -> None:
    summary = scripted(data, tmp_path / "run", [0.2, 0.7, 0.5, 0.7, 0.1])
    assert summary.best_step == 2  # the first of equals; the loss was best at the end
    assert position(tmp_path / "run")["best"] == 0.7
    _, record = read_tensors(tmp_path / "run" / "weights.safetensors")
    assert record == {"step": 2, "metrics": {"right": 0.7, "loss": 0.5}}
    tensors, _ = read_tensors(tmp_path / "run" / "weights.safetensors")
    last, _ = read_tensors(tmp_path / "run" / "checkpoint.safetensors")
    assert not all(torch.equal(t, last[f"model.{name}"]) for name, t in tensors.items())
    scripted(data, tmp_path / "two", [0.2, 0.7], schedule="constant", warmup=0.0)
    scripted(data, tmp_path / "more", [0.2, 0.7, 0.5], schedule="constant", warmup=0.0)
    two, more = (
        read_tensors(tmp_path / name / "weights.safetensors")[0] for name in ("two", "more")
    )
    assert all(torch.equal(t, more[name]) for name, t in two.items())


def test_patience(data: ToyData, tmp_path: Path) -> None:
    values = [0.2, 0.3, 0.3, 0.1, 0.9]
    summary = scripted(data, tmp_path / "run", values, patience=2)
    assert (summary.steps, summary.best_step) == (4, 2)
    assert position(tmp_path / "run")["strikes"] == 2


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_metric_that_is_no_number_is_never_the_best(
    data: ToyData, tmp_path: Path, bad: float
) -> None:
    summary = scripted(data, tmp_path / "run", [bad, 0.4, bad, 0.3])
    assert summary.best_step == 2
    summary = scripted(data, tmp_path / "all", [bad, bad, bad], patience=3)
    assert summary.steps == 3
    # a run that has measured nothing can be used all the same
    found = list(session.load(TOY, tmp_path / "all").predict([[1.0, 2.0]]))
    assert math.isfinite(found[0]["logit"])
    json.loads((tmp_path / "all" / "summary.json").read_text(), parse_constant=pytest.fail)


def test_nothing_that_is_measured_is_missing_in_the_log(data: ToyData, tmp_path: Path) -> None:
    trained(data, tmp_path / "run")
    found = rows(tmp_path / "run")
    assert list(found[0]) == [
        "step", "epoch", "seconds", "train_loss", "val_right", "val_loss",
        "lr", "grad_norm", "grad_norm_max", "clipped", "per_second",
    ]  # fmt: skip
    measured = {row["step"]: row for row in found if row["val_right"]}
    assert list(measured) == ["4", "8", "12", "15"]
    for row in measured.values():
        assert 0 <= float(row["val_right"]) <= 1
        assert float(row["val_loss"]) > 0
    losses = [row["step"] for row in found if row["train_loss"]]
    assert losses == ["2", "4", "6", "8", "10", "12", "14"]


def test_the_logged_loss_is_the_mean_over_sequences(data: ToyData, tmp_path: Path) -> None:
    """An epoch of 23 sequences in batches of 5 has one of 3, which counts less."""
    weights = []
    real = Training._step

    def step(self: Training) -> None:
        before = (self.position.window.items, self.position.window.loss)
        real(self)
        window = self.position.window
        weights.append((window.items - before[0], window.loss - before[1]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "_step", step)
        trained(data, tmp_path / "run", max_epochs=1, log_every=5)
    counts = [count for count, _ in weights]
    assert sorted(counts) == [3, 5, 5, 5, 5]
    (logged,) = [float(row["train_loss"]) for row in rows(tmp_path / "run") if row["train_loss"]]
    assert logged == pytest.approx(sum(total for _, total in weights) / 23, rel=1e-5)


def test_without_validation_the_last_weights_are_kept(data: ToyData, tmp_path: Path) -> None:
    summary = trained(ToyData(data.data), tmp_path / "run")
    assert (summary.metrics, summary.best_step, summary.steps) == ({}, 15, 15)
    checkpoint, _ = read_tensors(tmp_path / "run" / "checkpoint.safetensors")
    weights, _ = read_tensors(tmp_path / "run" / "weights.safetensors")
    assert weights
    assert all(torch.equal(t, checkpoint[f"model.{name}"]) for name, t in weights.items())
    assert not [name for name in rows(tmp_path / "run")[0] if name.startswith("val_") and
                any(row[name] for row in rows(tmp_path / "run"))]  # fmt: skip
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "<h2>Loss</h2>" in report
    assert "<h2>Right</h2>" not in report
    assert "validation<" not in report


# The end of a run, and its use -------------------------------------------------------------------


def test_the_final_evaluation_is_in_summary_and_report(data: ToyData, tmp_path: Path) -> None:
    summary = trained(data, tmp_path / "run")
    written = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert written["task"] == "toy"
    assert written["metrics"] == summary.metrics
    right = written["metrics"]["right"]
    assert (right["low"], right["high"]) == (right["value"] - 0.1, right["value"] + 0.1)
    assert written["metrics"]["loss"]["low"] is None
    assert written["baseline"] == {"right": {"value": 0.5, "low": None, "high": None}}
    assert written["notes"] == ["Half of the answers are right by chance."]
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    for words in (
        "Half of the answers are right by chance.", "<h2>Wrong answers</h2>", "A caption.",
        f"{right['value']:.4f}", f"95 %: {right['low']:.3f} to {right['high']:.3f}",
        "sequences per second",
    ):  # fmt: skip
        assert words in report, words
    assert (tmp_path / "run" / "extra.txt").read_text() == "more"
    # it is that of the best weights: they measure the same once more
    model = session.load(TOY, tmp_path / "run").model
    batch = padded(read(data.val_data))
    with torch.no_grad():
        answers = (model(*batch["input"]) > 0) == (batch["labels"][0] > 0)
    assert right["value"] == float(answers.double().mean())


def test_a_run_that_a_signal_stopped_has_its_best_so_far(
    data: ToyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Training._step

    def step(self: Training) -> None:
        real(self)
        if self.position.step == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Training, "_step", step)
    summary = trained(data, tmp_path / "run")
    assert (summary.stopped_by, summary.steps, summary.best_step) == (signal.SIGTERM, 6, 4)
    value = float(next(row["val_right"] for row in rows(tmp_path / "run") if row["val_right"]))
    assert summary.metrics["right"]["value"] == pytest.approx(value, rel=1e-5)
    assert not (tmp_path / "run" / "extra.txt").exists()


def test_load_gives_the_best_weights(data: ToyData, tmp_path: Path) -> None:
    trained(data, tmp_path / "run")
    state = torch.get_rng_state()
    answers = session.load(TOY, tmp_path / "run")
    assert torch.equal(torch.get_rng_state(), state)
    assert isinstance(answers, Answers)
    assert not answers.model.training
    weights, _ = read_tensors(tmp_path / "run" / "weights.safetensors")
    assert all(torch.equal(t, weights[name]) for name, t in answers.model.state_dict().items())


def test_a_run_that_cannot_begin_leaves_nothing_behind(data: ToyData, tmp_path: Path) -> None:
    bad = tmp_path / "bad.txt"
    bad.write_text("1 2\n3 x\n")
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(UserError, match=r"bad\.txt: line 2: expected numbers, got 3 x"):
        trained(ToyData((str(bad),)), tmp_path / "run")
    with pytest.raises(UserError, match="no data given"):
        trained(ToyData(), tmp_path / "run")
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_only_limits_change_when_a_run_goes_on(data: ToyData, tmp_path: Path) -> None:
    trained(data, tmp_path / "run", max_epochs=1)
    with pytest.raises(UserError, match="lr: cannot be changed"):
        session.resume(TOY, tmp_path / "run", {"lr": 1.0}, quiet=True)
    summary = session.resume(TOY, tmp_path / "run", {"max_epochs": 2}, quiet=True)
    assert summary is not None
    assert (summary.epochs, summary.steps) == (2, 10)
    assert "max_epochs = 2" in (tmp_path / "run" / "options.toml").read_text()
