"""A whole run: it learns, writes, is resumed to the bit, and says what is wrong."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import unrolled
from unrolled import cli
from unrolled.errors import UserError
from unrolled.tasks.music.options import MusicOptions
from unrolled.tasks.music.predictor import MusicPredictor
from unrolled.tasks.music.task import TASK
from unrolled.training.loop import Training
from unrolled.training.options import read_options
from unrolled.training.processes import ALONE
from unrolled.training.run_folder.folder import RunFolder

from .conftest import LAG, SETTINGS, canon


@pytest.fixture
def predictor(run: Path) -> MusicPredictor:
    found = unrolled.load(run)
    assert isinstance(found, MusicPredictor)
    return found


def test_it_learns_more_than_the_cheap_methods(
    data: Path, run: Path, predictor: MusicPredictor
) -> None:
    found = predictor.evaluate(data)
    low, value, high = (getattr(found.metrics["nats"], name) for name in ("low", "value", "high"))
    assert low <= value <= high
    assert value < 0.8 * found.baseline["nats"].value
    assert value < 0.6 * found.details["share of each key"]["nats"]
    # The lower voice is known and the upper one goes up or down: one question if notes are asked
    # one by one, two if each key answers by itself.
    questions = 1 if predictor.options.model.output == "voices" else 2
    assert questions * math.log(2) <= value < 1.25 * questions * math.log(2)
    assert found.metrics["accuracy"].value > 0.55
    assert found.details["frames"] == 12 * 23
    assert sum(found.details["nats by part"].values()) == pytest.approx(value)
    assert "less than the logistic regression" in found.notes[0]
    report = (run / "report.html").read_text(encoding="utf-8")
    for title in ("How good it is", "Where the nats are", "Piano rolls"):
        assert f">{title}<" in report
    assert report.count("piano roll of 24 frames") == 2


def test_parts_of_the_data(data: Path, tmp_path: Path, predictor: MusicPredictor) -> None:
    assert len(predictor.read([data], "train")) == 60
    other = tmp_path / "t.json"
    other.write_text('{"test": [[[60]]]}')
    with pytest.raises(UserError, match="expected pieces of the part valid, found none"):
        predictor.read([other], "valid")


def test_probabilities_of_the_next_frame(predictor: MusicPredictor) -> None:
    piece = canon(201)
    (record,) = predictor.predict([piece], draws=100)
    assert len(record["nats"]) == len(piece)
    assert len(record["probabilities"]) == len(piece) + 1
    # the lower voice is what the upper one was
    for t in range(LAG + 4, len(piece) + 1):
        lower = max(piece[t - LAG]) - 12
        assert record["probabilities"][t][str(lower)] > 0.5
    assert list(predictor.predict([piece], draws=100)) == [record]
    with pytest.raises(UserError, match="item 2, frame 3: pitch 20 is outside the keys 21 to 108"):
        list(predictor.predict([[[60]], [[60], [], [20]]]))
    with pytest.raises(UserError, match="item 1, frame 1: expected a list of pitches, got 60"):
        list(predictor.predict([[60]]))
    with pytest.raises(UserError, match="item 1: expected a list of frames, got 'C4'"):
        list(predictor.predict(["C4"]))


def test_it_writes_a_canon(predictor: MusicPredictor) -> None:
    begun = canon(202)[:12]
    found = predictor.generate(begun, length=16, temperature=0.3, seed=3)
    assert len(found) == 16
    whole = [tuple(frame) for frame in begun] + found
    if predictor.options.model.output == "voices":  # keys by themselves hit chords only by chance
        assert sum(max(whole[t - LAG]) - 12 in whole[t] for t in range(12, 28)) >= 12
    assert predictor.generate(begun, length=16, temperature=0.3, seed=3) == found
    assert predictor.generate(begun, length=16, seed=4) != predictor.generate(
        begun, length=16, seed=5
    )
    assert len(predictor.generate(length=5)) == 5
    with pytest.raises(UserError, match="--temperature"):
        predictor.generate(temperature=-1.0)


def test_continuing_is_the_same_as_reading_anew(predictor: MusicPredictor) -> None:
    """The stream's state is that of the layers over the whole piece."""
    begun = canon(203)[:6]
    found = predictor.generate(begun, length=6, temperature=0.0)
    for n in range(1, 6):
        again = predictor.generate([*begun, *found[:n]], length=1, temperature=0.0)
        assert again == [found[n]]


def test_a_copy_predicts_the_same(predictor: MusicPredictor) -> None:
    again = pickle.loads(pickle.dumps(predictor))
    assert again.generate(length=4) == predictor.generate(length=4)


def test_on_the_command_line(
    data: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["generate", str(run), str(data), "--given", "3", "--length", "2"]
    assert cli.run([*words, "--piece", "2"]) == 0
    written = capsys.readouterr().out
    assert len(written.splitlines()) == 5
    target = tmp_path / "a.json"
    assert cli.run([*words, "--piece", "2", "--out", str(target)]) == 0
    predictor = unrolled.load(run)
    (piece,) = predictor.read([target])
    assert list(piece.frames[:3]) == [tuple(frame) for frame in canon(201)[:3]]
    (tmp_path / "b.txt").write_text(written)
    assert predictor.read([tmp_path / "b.txt"])[0].frames == piece.frames
    assert cli.run(["evaluate", str(run), "--data", str(data), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["metrics"]["nats"]["value"] > 0
    assert cli.run(["predict", str(run), str(target), "--draws", "3"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["place"] == f"{target}: piece 1"
    assert cli.run([*words, "--part", "valid", "--piece", "13"]) == 2
    assert "--piece: " in capsys.readouterr().err
    assert cli.run([*words, "--out", str(tmp_path / "nowhere" / "a.txt")]) == 2
    assert "expected a file in an existing folder" in capsys.readouterr().err
    assert cli.run([*words, "--out", str(tmp_path)]) == 2
    assert f"--out {tmp_path}: " in capsys.readouterr().err
    assert cli.run(["predict", str(run), "-"]) == 2
    assert "expected files or folders of pieces" in capsys.readouterr().err


def test_midi_on_the_command_line(data: Path, run: Path, tmp_path: Path) -> None:
    pytest.importorskip("mido")
    target = tmp_path / "a.mid"
    words = ["generate", str(run), str(data), "--given", "4", "--length", "8", "--seed", "3"]
    assert cli.run([*words, "--repeat", "strike", "--out", str(target)]) == 0
    predictor = unrolled.load(run)
    frames = list(predictor.read([target])[0].frames)
    begun = [tuple(frame) for frame in canon(200)[:4]]
    written = [*begun, *predictor.generate(begun, length=8, seed=3)]
    assert frames == written[: len(frames)]  # rests at the end are no notes
    assert len(frames) >= 4


def same_weights(one: Path, other: Path) -> bool:
    first, second = (load_file(path / "weights.safetensors") for path in (one, other))
    return all(torch.equal(first[name], second[name]) for name in first)


RESUMED: dict[str, Any] = SETTINGS | {
    "cell": "lstm",
    "hidden_size": 12,
    "dropout": 0.3,
    "input_dropout": 0.2,
    "weight_drop": 0.2,
    "transpose": 5,
    "max_epochs": 3,
    "checkpoint_steps": 5,
    "baseline": False,
}


class Stopped(BaseException):
    """As sudden as a kill, within one process."""


def test_resumed_is_the_same_to_the_bit(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unrolled.train("music", data, out=tmp_path / "whole", quiet=True, **RESUMED)
    unrolled.train("music", data, out=tmp_path / "again", quiet=True, **RESUMED)
    assert same_weights(tmp_path / "whole", tmp_path / "again")
    step = Training._step

    def crash(self: Training) -> None:
        step(self)
        if self.position.step == 8:
            raise Stopped

    monkeypatch.setattr(Training, "_step", crash)
    with pytest.raises(Stopped):
        unrolled.train("music", data, out=tmp_path / "parts", quiet=True, **RESUMED)
    monkeypatch.setattr(Training, "_step", step)
    unrolled.resume(tmp_path / "parts", quiet=True)
    assert same_weights(tmp_path / "whole", tmp_path / "parts")
    other = RESUMED | {"seed": 1}
    unrolled.train("music", data, out=tmp_path / "other", quiet=True, **other)
    assert not same_weights(tmp_path / "whole", tmp_path / "other")


@pytest.mark.parametrize("output", ["keys", "voices"])
@pytest.mark.parametrize("precision", ["64", "bf16-mixed"])
def test_precision(data: Path, tmp_path: Path, output: str, precision: str) -> None:
    settings = SETTINGS | {"max_steps": 2, "output": output, "baseline": False}
    out = tmp_path / "run"
    found = unrolled.train("music", data, out=out, quiet=True, precision=precision, **settings)
    assert len(found.generate(length=3)) == 3


def test_without_validation(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("60\n62\n64\n")
    settings = SETTINGS | {"val_fraction": 0.0, "max_epochs": 2, "cell": "sru", "baseline": False}
    found = unrolled.train("music", tmp_path / "a.txt", out=tmp_path / "r", quiet=True, **settings)
    assert len(found.generate(length=2)) == 2
    assert found.evaluate(tmp_path / "a.txt").details["frames"] == 2
    (tmp_path / "b.txt").write_text("60\n")
    with pytest.raises(UserError, match=r"b.txt: expected a piece of two frames or more"):
        found.evaluate(tmp_path / "b.txt")


def test_wrong_settings(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--bidirectional: a piece is continued"):
        unrolled.train("music", data, out=tmp_path / "r", bidirectional=True)
    with pytest.raises(UserError, match="the model does not fit into memory"):
        unrolled.train("music", data, out=tmp_path / "r", hidden_size=65536, num_layers=1000)
    assert not (tmp_path / "r").exists()


def test_losses_for_the_lens(run: Path) -> None:
    folder = RunFolder.existing(run)
    options = read_options(MusicOptions, folder.options)
    found = TASK.open(replace(options), folder, ALONE)
    batch = found.batches.batch(0, 0)
    losses = found.step_losses(found.model, batch, None)
    assert losses.shape == (24, 8)
    loss = found.loss(found.model, batch, None)
    assert loss.count == 240
    assert found.sample().count("\n") == 4
    assert set(found.validate()) == {"nats", "accuracy"}
