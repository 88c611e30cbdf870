"""A whole run: training, the report, prediction in every form, evaluation, damaged files."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import unrolled
from unrolled.errors import UserError
from unrolled.tasks.tag.options import PredictOptions, TagOptions
from unrolled.tasks.tag.predictor import TagPredictor
from unrolled.tasks.tag.task import TASK
from unrolled.training.options import read_options
from unrolled.training.processes import ALONE
from unrolled.training.run_folder.folder import RunFolder

from .conftest import SETTINGS, columns


@pytest.fixture(scope="session")
def predictor(run: Path) -> TagPredictor:
    found = unrolled.load(run)
    assert isinstance(found, TagPredictor)
    return found


def opened(run: Path) -> Any:
    folder = RunFolder.existing(run)
    return TASK.open(read_options(TagOptions, folder.options), folder, ALONE)


def test_it_learns_and_says_how_well(run: Path, predictor: TagPredictor) -> None:
    summary = json.loads((run / "summary.json").read_bytes())
    assert summary["metrics"]["f1"]["value"] > 0.9
    assert summary["baseline"]["f1"]["value"] > 0.9
    assert any("conditional random field" in note for note in summary["notes"])
    report = (run / "report.html").read_text(encoding="utf-8")
    for title in ("Scores", "By type", "Confusion", "Confidence"):
        assert f">{title}<" in report
    found = predictor.evaluate([run.parent / "test.conll"])
    low, value, high = (getattr(found.metrics["f1"], n) for n in ("low", "value", "high"))
    assert 0.8 < low <= value <= high
    assert set(found.details["types"]) == {"PER", "LOC"}
    assert found.baseline["f1"].value > 0.9


def test_a_damaged_cheap_method_is_left_out_with_a_note(run: Path, tmp_path: Path) -> None:
    """Its library would follow the offsets of the file wherever they lead, and end the process."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    file = copy / "baseline.crfsuite"
    content = file.read_bytes()
    file.write_bytes(content[:40] + b"\xff\xff\xff\x7f" + content[44:])
    predictor = unrolled.load(copy)
    assert isinstance(predictor, TagPredictor)
    found = predictor.evaluate([run.parent / "test.conll"])
    assert not found.baseline
    (note,) = [note for note in found.notes if note.startswith("Without the cheap method: ")]
    assert f"{file}: not a model of python-crfsuite: " in note


def test_texts_and_tokens_are_tagged(predictor: TagPredictor) -> None:
    text = "Anna lives in New York ."
    first, second, third = predictor.predict([text, text.split(), ""])
    (person, place) = first["spans"]
    assert (person["label"], person["text"]) == ("PER", "Anna")
    assert (place["label"], text[place["start"] : place["end"]]) == ("LOC", "New York")
    assert 0.5 < place["confidence"] <= 1
    assert second["tags"] == first["tags"] == ["B-PER", "O", "O", "B-LOC", "I-LOC", "O"]
    assert third["tags"] == third["spans"] == []
    assert not next(predictor.predict([text], threshold=1.0))["spans"]
    with pytest.raises(UserError, match="item 2: expected a text or a list of tokens, got 5"):
        list(predictor.predict([text, 5]))


def test_next_best_tags(predictor: TagPredictor) -> None:
    (found,) = predictor.predict(["Anna lives in Oslo ."], nbest=3)
    shares = [one["probability"] for one in found["alternatives"]]
    assert len(shares) == 3
    assert shares == sorted(shares, reverse=True)
    assert found["alternatives"][0]["tags"] == found["tags"]


def test_files_are_written_in_their_form(predictor: TagPredictor, tmp_path: Path) -> None:
    given = columns(3, 5)
    (tmp_path / "a.conll").write_text(given, encoding="utf-8")
    found = "".join(map(str, predictor.predict_files([tmp_path / "a.conll"])))
    for line, old in zip(found.splitlines(), given.splitlines(), strict=False):
        assert line == (f"{old}\t{old.split()[-1]}" if old else "")
    (tmp_path / "a.jsonl").write_text('{"tokens": ["Bob", "came"], "id": 7}\n', encoding="utf-8")
    (record,) = predictor.predict_files([tmp_path / "a.jsonl"])
    assert isinstance(record, dict)
    assert record["id"] == 7
    (tmp_path / "a.txt").write_text("Bob came\nnobody came\n", encoding="utf-8")
    records: list[Any] = list(
        predictor.predict_files([tmp_path / "a.txt"], PredictOptions(format="text"))
    )
    assert [record["text"] for record in records] == ["Bob came", "nobody came"]
    several: Any
    (several, *_) = predictor.predict_files([tmp_path / "a.conll"], PredictOptions(nbest=2))
    assert len(several["alternatives"]) == 2


def test_a_predictor_can_be_sent_to_another_process(predictor: TagPredictor) -> None:
    again = pickle.loads(pickle.dumps(predictor))
    text = ["Anna lives in Oslo ."]
    assert list(again.predict(text)) == list(predictor.predict(text))


def test_losses_of_steps_are_cut_to_the_shortest(run: Path) -> None:
    found = opened(run)
    found.model.eval()
    batch = found.batches.batch(0, 0)
    losses = found.step_losses(found.model, batch, None)
    assert losses.shape == (int(batch.inputs.lengths[:8].min()), 8)
    assert torch.isfinite(losses).all()
    loss = found.loss(found.model, batch, None)
    assert loss.count == int(batch.inputs.lengths.sum())
    assert 0 < loss.mean.item() < 5


def test_validation_and_samples(run: Path) -> None:
    found = opened(run)
    assert set(found.validate()) == {"f1", "precision", "recall"}
    assert len(found.sample().splitlines()) == 2


def test_parts_of_speech(tmp_path: Path) -> None:
    lines = ["the DET\ndog NOUN\nbarks VERB\n", "a DET\ncat NOUN\nsleeps VERB\n"] * 30
    (tmp_path / "a.txt").write_text("\n".join(lines), encoding="utf-8")
    settings = SETTINGS | {"baseline": False, "output": "softmax", "max_epochs": 3}
    found = unrolled.train("tag", tmp_path / "a.txt", out=tmp_path / "run", quiet=True, **settings)
    (record,) = found.predict([["the", "cat", "barks"]])
    assert record["tags"] == ["DET", "NOUN", "VERB"]
    assert "spans" not in record
    summary = json.loads((tmp_path / "run" / "summary.json").read_bytes())
    assert next(iter(summary["metrics"])) == "accuracy"


def test_vectors_are_kept_with_the_run(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text(columns(30, 3), encoding="utf-8")
    (tmp_path / "v.txt").write_text("anna 1 0\nzoe 1 0\noslo 0 1\n", encoding="utf-8")
    settings = SETTINGS | {"max_epochs": 1, "baseline": False}
    found = unrolled.train(
        "tag",
        tmp_path / "a.conll",
        out=tmp_path / "run",
        quiet=True,
        vectors=str(tmp_path / "v.txt"),
        **settings,
    )
    (tmp_path / "v.txt").unlink()
    again = unrolled.load(tmp_path / "run")
    assert list(again.predict(["Zoe came"])) == list(found.predict(["Zoe came"]))
    with (tmp_path / "run" / "vectors.npy").open("wb") as file:
        np.save(file, np.zeros((2, 2), np.float32))
    with pytest.raises(UserError, match=r"vectors.npy: corrupt: expected a vector for each word"):
        unrolled.load(tmp_path / "run")


def test_states_of_a_language_model_are_features(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Anna lives in Oslo .\n" * 40, encoding="utf-8")
    unrolled.train(
        "text",
        tmp_path / "a.txt",
        out=tmp_path / "text",
        quiet=True,
        hidden_size=7,
        seq_len=16,
        batch_size=4,
        max_steps=2,
        threads=1,
    )
    (tmp_path / "a.conll").write_text(columns(30, 3), encoding="utf-8")
    settings = SETTINGS | {"max_epochs": 1, "baseline": False, "lm": str(tmp_path / "text")}
    data, out = tmp_path / "a.conll", tmp_path / "run"
    found = unrolled.train("tag", data, out=out, quiet=True, **settings)
    shutil.rmtree(tmp_path / "text")
    again = unrolled.load(tmp_path / "run")
    items = [["Anna", "came"], ["Oslo"]]
    assert list(again.predict(items)) == list(found.predict(items))
    language = again.decoder.language_model
    together = language.states(items)
    assert together.shape == (2, 2, 7)
    torch.testing.assert_close(together[:1, 1:], language.states(items[1:]))
    assert not together[1, 1].any()
    longer = language.states([["Anna", "came", "x" * 600, "Oslo"]])
    torch.testing.assert_close(longer[:2, 0], together[:, 0])
    with pytest.raises(UserError, match="expected a run of the text task, got one of tag"):
        unrolled.train("tag", data, out=tmp_path / "b", quiet=True, **(settings | {"lm": str(out)}))
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("name", ["features.json", "tags.json", "forms.json"])
def test_damaged_runs_are_refused(run: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / name).write_text("{}")
    with pytest.raises(UserError, match=name):
        unrolled.load(tmp_path / "run")
