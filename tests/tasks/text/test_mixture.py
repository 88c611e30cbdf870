"""The weights of network and n-gram model together."""

import json
from pathlib import Path

import numpy as np
import pytest

from unrolled.errors import UserError
from unrolled.tasks.text.mixture import NAME, Mixture, MixtureFit
from unrolled.training.run_folder.folder import RunFolder


def test_it_is_the_mean_of_the_probabilities() -> None:
    mixture = Mixture((0.25, 0.9))
    network, ngram = np.array([0.1, 2.0, 50.0]), np.array([3.0, 0.5, 900.0])
    matched = np.array([0, 1, 1], np.uint8)
    weights = np.array([0.25, 0.9, 0.9])
    expected = -np.log(weights * np.exp(-network) + (1 - weights) * np.exp(-ngram))
    assert mixture.nats(network, ngram, matched) == pytest.approx(expected)


def test_the_weights_have_the_fewest_nats() -> None:
    draw = np.random.default_rng(0)
    network, ngram = draw.exponential(1.5, (2, 20_000))
    matched = draw.integers(0, 3, 20_000).astype(np.uint8)
    ngram[matched == 2] *= 0.8  # where it has seen a long context it is better
    fit = MixtureFit(3)
    for part in np.array_split(np.arange(20_000), 7):
        fit.add(network[part], ngram[part], matched[part])
    best = fit.best()
    least = best.nats(network, ngram, matched).sum()
    for length in range(3):
        for change in (-0.02, 0.02):
            weights = list(best.weights)
            weights[length] += change
            assert Mixture(tuple(weights)).nats(network, ngram, matched).sum() > least
    assert best.weights[2] < best.weights[0] - 0.1


def test_rare_lengths_have_the_weight_of_the_others() -> None:
    fit = MixtureFit(4)
    draw = np.random.default_rng(0)
    network, ngram = draw.exponential(1.5, (2, 5000))
    fit.add(network, ngram, np.ones(5000, np.uint8))
    fit.add(np.array([9.0]), np.array([0.1]), np.array([2], np.uint8))
    weights = fit.best().weights
    assert weights[0] == weights[3] == pytest.approx(weights[1], abs=0.005)
    assert weights[2] == pytest.approx(weights[1], abs=0.05)


def test_neither_is_ever_alone() -> None:
    for network, ngram in ((0.1, 40.0), (40.0, 0.1)):
        fit = MixtureFit(1)
        fit.add(np.full(9, network), np.full(9, ngram), np.zeros(9, np.uint8))
        assert 0 < fit.best().weights[0] < 1
    assert 0 < MixtureFit(1).best().weights[0] < 1


def test_it_is_kept_with_the_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert Mixture.load(folder, 2) is None
    Mixture((0.25, 0.75)).save(folder)
    assert Mixture.load(folder, 2) == Mixture((0.25, 0.75))


@pytest.mark.parametrize(
    "record", [[], {}, {"weights": [0.5]}, {"weights": [0.5, 1.0]}, {"weights": [0.5, "x"]}]
)
def test_a_damaged_file_is_one_clear_line(record: object, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(json.dumps(record))
    with pytest.raises(UserError, match="expected 2 weights between 0 and 1"):
        Mixture.load(RunFolder(tmp_path), 2)
