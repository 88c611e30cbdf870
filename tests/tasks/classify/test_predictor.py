"""Predictions come in order, in constant memory, and may be withheld."""

from __future__ import annotations

import io
import json
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from unrolled.errors import UserError
from unrolled.tasks.classify import predictor as module
from unrolled.tasks.classify.baseline import Baseline
from unrolled.tasks.classify.calibration import Calibration
from unrolled.tasks.classify.options import ClassifyOptions, EvaluateOptions, PredictOptions
from unrolled.tasks.classify.predictor import ClassifyPredictor
from unrolled.training.run_folder.checkpoint import write_tensors
from unrolled.training.run_folder.folder import RunFolder

from .conftest import Opener, fit, reviews


def test_predictions_are_in_order_whatever_the_lengths(predictor: ClassifyPredictor) -> None:
    texts = [text for text, _ in reviews(40, seed=5)]
    texts[3] = "good " * 50
    together = list(predictor.predict(texts, batch_size=7, probabilities=True))
    alone = [next(predictor.predict([text], probabilities=True)) for text in texts]
    for one, other in zip(together, alone, strict=True):
        assert one["label"] == other["label"]
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-5)
    assert sum(together[0]["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    right = [
        one["label"] == label for one, (_, label) in zip(together, reviews(40, seed=5), strict=True)
    ]
    assert np.mean(right) > 0.9


def test_items_are_read_a_block_at_a_time(
    predictor: ClassifyPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AHEAD", 10)
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield "good"

    results = predictor.predict(endless())
    for number in range(1, 35):
        next(results)
        assert read <= number + 10


def test_results_before_a_broken_item_are_given(predictor: ClassifyPredictor) -> None:
    results = predictor.predict(["good", "bad", 3.0])
    assert [next(results)["label"], next(results)["label"]] == ["good", "bad"]
    with pytest.raises(UserError, match="item 3: expected"):
        next(results)


def test_abstention(predictor: ClassifyPredictor) -> None:
    never = list(predictor.predict(["good", "bad"], threshold=1.0))
    assert [one["label"] for one in never] == [None, None]
    assert all(one["abstained"] for one in never)
    always = list(predictor.predict(["good", "bad"], threshold=0.0))
    assert [one["label"] for one in always] == ["good", "bad"]
    assert "abstained" not in always[0]
    with pytest.raises(UserError, match="give one of them"):
        PredictOptions(threshold=0.5, risk=0.1)


def test_a_risk_chooses_the_threshold_of_the_validation() -> None:
    curve = ((0.9, 0.5, 0.0), (0.8, 0.7, 0.1), (0.5, 1.0, 0.3))
    found = Calibration(10, curve=curve)
    assert found.threshold(0.1) == 0.8
    assert found.threshold(1.0) == 0.5
    with pytest.raises(UserError, match=r"lowest risk was 0\.2"):
        Calibration(10, curve=((0.9, 1.0, 0.2),)).threshold(0.1)
    with pytest.raises(UserError, match="no validation data"):
        Calibration().threshold(0.1)


def test_a_pickled_predictor_says_the_same(predictor: ClassifyPredictor) -> None:
    again = pickle.loads(pickle.dumps(predictor))
    assert list(again.predict(["good", "bad one"])) == list(predictor.predict(["good", "bad one"]))


def test_files_of_lines_and_of_columns(
    predictor: ClassifyPredictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, table = tmp_path / "new.txt", tmp_path / "new.jsonl"
    lines.write_text("so good\nso bad\n")
    table.write_text(json.dumps({"id": 7, "text": "so good"}) + "\n")
    found = list(predictor.predict_files([lines, table]))
    assert [one["label"] for one in found] == ["good", "bad", "good"]
    assert [one["place"] for one in found] == [f"{lines}:1", f"{lines}:2", f"{table}:1"]
    given = io.TextIOWrapper(io.BytesIO(b"so good\nso bad\n"))
    monkeypatch.setattr(sys, "stdin", given)
    found = list(predictor.predict_files(["-"]))
    assert [one["place"] for one in found] == ["standard input:1", "standard input:2"]
    given = io.TextIOWrapper(io.BytesIO(b"text,label\nso good,good\n"))
    monkeypatch.setattr(sys, "stdin", given)
    found = list(predictor.predict_files(["-"], PredictOptions(input_format="csv")))
    assert found[0]["place"] == "standard input:2"


def test_evaluation_shows_the_cheap_method(predictor: ClassifyPredictor, tmp_path: Path) -> None:
    file = tmp_path / "new.tsv"
    rows = reviews(60, seed=9)
    file.write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
    found = predictor.evaluate([file])
    assert found.metrics["f1"].low is not None
    assert set(found.baseline) == set(found.metrics)
    assert any("Only 60 items" in note for note in found.notes)
    alone = predictor.evaluate([file], EvaluateOptions(baseline=False))
    assert not alone.baseline
    assert alone.metrics == found.metrics
    file.write_text("text\tlabel\nso so\tmiddling\nfine\tgood\n")
    with pytest.raises(UserError, match="no label middling"):
        predictor.evaluate([file])


def test_both_methods_together(opener: Opener) -> None:
    opened, folder, options = opener(training={"combine": True})
    fit(opened, 20)
    write_tensors(folder.weights, opened.model.state_dict(), {})
    concluded = opened.conclude(folder)
    assert "network" in concluded.details
    both = ClassifyPredictor(options, folder)
    assert both.combined
    chance = both.probabilities(["good", "bad"])
    both.baseline = None
    assert not np.allclose(chance, both.probabilities(["good", "bad"]), atol=1e-3)


def test_the_cheap_method_is_read_back_as_it_was(
    predictor: ClassifyPredictor, run: tuple[ClassifyOptions, RunFolder]
) -> None:
    one, other = predictor.baseline, Baseline.load(run[1])
    assert one is not None
    assert other is not None
    texts = ["good and fine", "", "awful"]
    assert np.array_equal(one.logits(texts), other.logits(texts))
    assert one.description == other.description


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        '{"items": 1}',
        '{"items":1,"temperature":-1,"baseline":1,"weight":0.5,"combined":1,"curve":[]}',
    ],
)
def test_a_spoilt_calibration_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "calibration.json").write_text(text)
    with pytest.raises(UserError, match=r"calibration\.json: corrupt"):
        Calibration.load(RunFolder(tmp_path))
