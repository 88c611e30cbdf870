"""Losses, metrics, shares of several processes, and the final evaluation."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from unrolled.errors import UserError
from unrolled.tasks.classify import baseline
from unrolled.tasks.classify.calibration import Calibration, fit_calibration
from unrolled.tasks.classify.labels import Labels
from unrolled.tasks.classify.options import ClassifyTraining
from unrolled.tasks.classify.scoring import Scoring
from unrolled.tasks.classify.training import EPOCHS
from unrolled.tasks.limits import limited
from unrolled.training.processes import Processes

from .conftest import Opener, fit, reviews


def scoring(counts: tuple[int, ...], several: bool = False, **options: Any) -> Scoring:
    names = tuple("abcdef"[: len(counts)])
    return Scoring(Labels(names, counts, several), ClassifyTraining(**options))


def test_the_metric_that_decides() -> None:
    assert scoring((50, 50)).first.name == "accuracy"
    rare = scoring((80, 20))
    assert (rare.first.name, rare.positive) == ("f1", "b")
    assert scoring((20, 80)).positive == "a"
    assert scoring((50, 50), metric="f1").first.name == "f1"
    assert scoring((80, 20), positive="a").positive == "a"
    assert scoring((90, 5, 5)).first.name == "accuracy"
    assert scoring((9, 5), several=True).first.name == "f1"
    assert scoring((9, 5), metric="nats").first.better == "lower"
    assert scoring((9, 5, 5), metric="f1", positive="c").first.name == "f1"


def test_a_metric_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="--positive says which"):
        scoring((5, 5, 5), metric="f1")
    with pytest.raises(UserError, match="expected one of the labels a, b, got x"):
        scoring((5, 5), positive="x")
    with pytest.raises(UserError, match="--positive: only for"):
        ClassifyTraining(positive="x", metric="nats")


def test_of_weights_with_one_score_the_lower_loss_is_better() -> None:
    found = scoring((5, 5))
    targets = np.array([0, 1])
    sure, unsure = (np.array([[s, 0.0], [0.0, s]]) for s in (3.0, 0.1))
    values = [
        found.values(found.counts(logits, targets).sum(0))["accuracy"] for logits in (sure, unsure)
    ]
    assert values[0] > values[1]
    assert values[1] == pytest.approx(1, abs=1e-5)


def test_loss_weights_and_smoothing(opener: Opener) -> None:
    opened, _, _ = opener(training={"class_weights": "balanced", "label_smoothing": 0.1})
    batch = opened.batches.batch(0, 0)
    opened.model.eval()
    logits = opened.model(batch.inputs, batch.lengths)
    counts = torch.tensor(opened.encoding.labels.counts)
    weights = counts.sum() / (len(counts) * counts)
    each = functional.cross_entropy(
        logits, batch.targets, weights, reduction="none", label_smoothing=0.1
    )
    loss = opened.loss(opened.model, batch, None)
    torch.testing.assert_close(loss.mean, each.mean())
    assert loss.count == len(batch.lengths)
    assert float((weights * counts).sum() / counts.sum()) == pytest.approx(1)


def test_processes_measure_what_one_measures(
    opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, _, _ = opener()
    expected = alone.validate()
    shares: list[list[float]] = []

    def share(self: Processes, numbers: Sequence[float]) -> list[float]:
        shares.append(list(numbers))
        return list(numbers)

    monkeypatch.setattr(Processes, "sum", share)
    for rank in range(3):
        opener(processes=Processes(rank, 3))[0].validate()
    sums = np.array(shares).sum(0)
    assert alone.scoring.values(sums) == pytest.approx(expected)


def test_step_losses_have_one_loss_for_each_row(opener: Opener) -> None:
    opened, _, _ = opener()
    batch = opened.batches.batch(0, 0)
    losses = opened.step_losses(opened.model, batch, None)
    assert losses.shape == (1, 8)


def test_conclude_measures_compares_and_calibrates(opener: Opener) -> None:
    opened, folder, _ = opener(training={"lens_every": 100})
    fit(opened)
    assert "right" in (opened.sample() or "")
    before = opened.validate()
    found = opened.conclude(folder)
    assert list(found.metrics) == [metric.name for metric in opened.metrics]
    assert found.metrics["f1"].value == pytest.approx(before["f1"], abs=1e-5)
    assert found.metrics["f1"].value > 0.9
    assert found.metrics["nats"].value <= before["nats"] + 0.05
    assert found.baseline["f1"].value > 0.9
    assert found.details["items"] == len(opened._validation)
    assert json.dumps(found.details)
    titles = [section.title for section in found.sections]
    assert titles[:3] == ["How good it is", "Labels", "Confusion"]
    assert titles[-1] == "Which steps matter"
    assert Calibration.load(folder).items == len(opened._validation)


def test_several_labels(opener: Opener) -> None:
    rows = reviews(120, several=True)
    opened, folder, _ = opener(rows, data={"labels_separator": ";"})
    fit(opened, 100)
    assert opened.metrics[0].name == "f1"
    found = opened.conclude(folder)
    assert found.metrics["f1"].value > 0.8
    assert found.baseline["f1"].value > 0.7
    assert "Confusion" not in [section.title for section in found.sections]
    batch = opened.batches.batch(0, 0)
    logits = opened.model(batch.inputs, batch.lengths)
    expected = functional.binary_cross_entropy_with_logits(logits, batch.targets)
    torch.testing.assert_close(opened.loss(opened.model, batch, None).mean, expected)


def test_without_scikit_learn_a_sentence_says_so(
    opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, folder, _ = opener()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = opened.conclude(folder)
    assert not found.baseline
    assert any("scikit-learn is not installed" in note for note in found.notes)


def test_without_validation_there_is_nothing_to_measure(opener: Opener) -> None:
    opened, folder, _ = opener(data={"val_fraction": 0.0})
    assert opened.validate() == {}
    assert opened.sample() is None
    assert not opened.conclude(folder).metrics
    assert baseline.Baseline.load(folder) is not None


def test_a_report_escapes_what_the_data_hold(opener: Opener) -> None:
    rows = [(f"{text} <script>", f"<b>{label}") for text, label in reviews(60)]
    opened, folder, _ = opener(rows)
    pages = "".join(section.body for section in opened.conclude(folder).sections)
    assert "&lt;b&gt;good" in pages
    assert "<script" not in pages
    assert "<b>" not in pages


def test_small_data_are_read_more_often() -> None:
    for items, epochs in ((64, 60), (3200, 15), (10**6, 6)):
        assert limited(ClassifyTraining(batch_size=32), items, *EPOCHS).max_epochs == epochs
    given = ClassifyTraining(max_time="5m")
    assert limited(given, 64, *EPOCHS) == given


def test_the_weight_of_the_better_method_is_larger() -> None:
    found = scoring((50, 50))
    draw = np.random.default_rng(0)
    targets = draw.integers(0, 2, 400)
    sign = 2 * np.eye(2)[targets] - 1
    good = 1.5 * sign + draw.normal(size=(400, 2))
    poor = good + 3 * draw.normal(size=(400, 2))  # knows nothing that the good one does not
    weights = [
        fit_calibration(found, targets, *pair, combine=True).weight
        for pair in ((good, poor), (poor, good))
    ]
    assert weights[0] > 0.6
    assert weights[1] < 0.4
