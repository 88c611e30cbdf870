"""Scores agree with scikit-learn, intervals cover the truth, calibration helps."""

from __future__ import annotations

import numpy as np
import pytest

from unrolled.tasks import statistics


def drawn(classes: int = 4, n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(1)
    truth = draw.integers(0, classes, n)
    predicted = np.where(draw.random(n) < 0.6, truth, draw.integers(0, classes, n))
    return truth, predicted


def test_scores_agree_with_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    truth, predicted = drawn()
    sums = statistics.confusion_counts(truth, predicted, 5).sum(0)  # the fifth never occurs
    assert statistics.accuracy(sums) == pytest.approx(metrics.accuracy_score(truth, predicted))
    found = metrics.f1_score(truth, predicted, average="macro")
    assert statistics.macro_f1(sums) == pytest.approx(found)
    of_class = metrics.precision_recall_fscore_support(truth, predicted)
    for label in range(4):
        assert statistics.precision(sums, label) == pytest.approx(of_class[0][label])
        assert statistics.recall(sums, label) == pytest.approx(of_class[1][label])
        assert statistics.f1(sums, label) == pytest.approx(of_class[2][label])
    assert (
        statistics.confusion(truth, predicted, 4) == metrics.confusion_matrix(truth, predicted)
    ).all()


def test_scores_of_several_labels_agree_with_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(2)
    truth, predicted = draw.random((2, 100, 3)) < 0.4
    sums = statistics.label_counts(truth, predicted).sum(0)
    assert statistics.micro_f1(sums) == pytest.approx(
        metrics.f1_score(truth, predicted, average="micro")
    )
    assert statistics.macro_f1(sums) == pytest.approx(
        metrics.f1_score(truth, predicted, average="macro")
    )


def test_nothing_right_and_nothing_there_are_zero() -> None:
    sums = statistics.confusion_counts([0, 0], [1, 1], 2).sum(0)
    assert statistics.f1(sums, 0) == 0
    assert statistics.macro_f1(sums) == 0
    assert statistics.accuracy(np.zeros(7)) == 0


@pytest.mark.parametrize("few", [True, False], ids=["few kinds of items", "all different"])
def test_intervals_cover_the_truth_about_as_often_as_they_say(
    few: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(3)
    covered = 0
    if not few:
        monkeypatch.setattr(statistics, "_FEW", 0)  # item by item
    for seed in range(150):
        values = draw.random(120) < 0.3 if few else draw.exponential(0.3, 120)
        counts = statistics.mean_counts(values)
        found = statistics.interval(counts, statistics.mean, resamples=300, seed=seed)
        assert found.low is not None
        assert found.high is not None
        assert found.low <= found.value <= found.high
        covered += found.low <= 0.3 <= found.high
    assert 0.90 <= covered / 150 <= 0.99


def test_both_ways_of_drawing_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = statistics.mean_counts(np.arange(150) % 7)
    quick = statistics.interval(counts, statistics.mean, seed=1)
    monkeypatch.setattr(statistics, "_FEW", 0)
    monkeypatch.setattr(statistics, "_BLOCK", 1000)
    slow = statistics.interval(counts, statistics.mean, seed=1)
    assert slow == pytest.approx(quick, rel=0.02)
    assert statistics.interval(counts, statistics.mean, seed=1) == slow  # seeded


def test_all_right_is_not_certain() -> None:
    found = statistics.share_interval(27, 27)
    assert found == pytest.approx((1.0, 0.875, 1.0), abs=2e-3)
    assert statistics.share_interval(0, 10) == pytest.approx((0, 0, 0.278), abs=2e-3)
    assert statistics.share_interval(30, 100) == pytest.approx((0.3, 0.219, 0.396), abs=2e-3)


def test_one_item_has_no_interval() -> None:
    found = statistics.interval(statistics.mean_counts([1.0]), statistics.mean)
    assert found == (1.0, None, None)


def test_the_paired_test_tells_a_better_method_from_chance() -> None:
    draw = np.random.default_rng(4)
    truth = draw.integers(0, 2, 1000)
    good = np.where(draw.random(1000) < 0.9, truth, 1 - truth)
    worse = np.where(draw.random(1000) < 0.8, truth, 1 - truth)
    same = np.where(draw.random(1000) < 0.9, truth, 1 - truth)
    a, b, c = (statistics.confusion_counts(truth, p, 2) for p in (good, worse, same))
    found = statistics.paired(a, b, statistics.accuracy)
    assert found.clear
    assert found.by.value == pytest.approx(0.1, abs=0.04)
    assert found.p < 0.01
    assert not statistics.paired(a, c, statistics.accuracy).clear
    reverse = statistics.paired(a, b, statistics.accuracy, higher=False)
    assert reverse.by.value == -found.by.value
    assert statistics.paired(a, a, statistics.accuracy).p == 1


@pytest.mark.parametrize("several", [False, True])
def test_temperature_lowers_the_loss_of_overconfident_logits(several: bool) -> None:
    draw = np.random.default_rng(5)
    logits = draw.normal(size=(2000, 3))
    chance = statistics.probabilities(logits, several=several)
    if several:
        truth = (draw.random(chance.shape) < chance).astype(np.int64)
    else:
        truth = (draw.random((len(chance), 1)) > chance.cumsum(1)).sum(1)
    temperature = statistics.fit_temperature(5 * logits, truth)
    assert temperature == pytest.approx(5, rel=0.15)
    before = statistics.nats(5 * logits, truth).mean()
    assert statistics.nats(5 * logits / temperature, truth).mean() < before - 0.1
    if not several:
        p = statistics.probabilities(5 * logits / temperature)
        sharp = statistics.probabilities(5 * logits)
        errors = [
            statistics.calibration_error(one.max(1), one.argmax(1) == truth) for one in (p, sharp)
        ]
        assert errors[0] < 0.05 < errors[1]


def test_a_few_right_answers_do_not_make_it_certain() -> None:
    right = np.array([[9.0, 0.0]] * 3)
    temperature = statistics.fit_temperature(right, [0, 0, 0])
    assert statistics.probabilities(right / temperature)[0, 0] == pytest.approx(4 / 5, abs=1e-3)
    assert statistics.fit_temperature(right, [1, 1, 1]) == pytest.approx(20)
    assert statistics.fit_temperature(np.zeros((0, 2)), np.zeros(0, np.int64)) == 1


def test_nats_are_the_cross_entropy() -> None:
    import torch
    from torch.nn import functional

    logits = np.random.default_rng(6).normal(size=(5, 3)) * 50
    tensor = torch.as_tensor(logits, device="cpu")
    truth = np.array([0, 1, 2, 1, 0])
    expected = functional.cross_entropy(tensor, torch.as_tensor(truth), reduction="none")
    assert statistics.nats(logits, truth) == pytest.approx(expected.numpy())
    several = np.eye(3)[truth]
    binary = functional.binary_cross_entropy_with_logits(
        tensor, torch.as_tensor(several), reduction="none"
    )
    assert statistics.nats(logits, several) == pytest.approx(binary.mean(1).numpy())


def test_risk_and_coverage() -> None:
    confidence, right = [0.9, 0.8, 0.8, 0.6], [1, 1, 0, 0]
    thresholds, coverage, risk = statistics.risk_coverage(confidence, right)
    assert thresholds.tolist() == [0.9, 0.8, 0.6]
    assert coverage.tolist() == [0.25, 0.75, 1.0]
    assert risk == pytest.approx([0, 1 / 3, 0.5])
    assert statistics.threshold_for_risk(confidence, right, 0.34) == 0.8
    assert statistics.threshold_for_risk(confidence, right, 0.0) == 0.9
    assert statistics.threshold_for_risk([0.5], [0], 0.1) is None
    perfect = statistics.risk_area([0.9, 0.8, 0.1], [1, 1, 0])
    assert perfect < statistics.risk_area([0.1, 0.8, 0.9], [1, 1, 0])
