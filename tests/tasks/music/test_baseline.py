"""Cheap methods: the numbers are those of other programs, and a damaged file is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from unrolled.errors import UserError
from unrolled.tasks.music.baseline import PENALTIES, Baseline, fit_baseline
from unrolled.tasks.music.pieces import Keys
from unrolled.tasks.music.score import nats
from unrolled.training.run_folder.folder import RunFolder

from .conftest import canon

KEYS = Keys(40, 80)
ROLLS = [KEYS.roll([tuple(frame) for frame in canon(n)]) for n in range(20)]


@pytest.fixture(scope="module")
def fitted() -> Baseline:
    return fit_baseline(ROLLS[:15], ROLLS[15:])


def test_two_frames_tell_more_than_none(fitted: Baseline) -> None:
    regression, marginals = (
        float(nats(fitted.count(ROLLS[15:], regression=one).sums.sum(0))) for one in (True, False)
    )
    assert regression < 0.7 * marginals
    truth = np.concatenate([roll[1:] for roll in ROLLS[:15]]).astype(float)
    share = (truth.sum(0) + 0.5) / (len(truth) + 1)
    own = np.concatenate([roll[1:] for roll in ROLLS[15:]])
    expected = -(own * np.log(share) + (1 - own) * np.log(1 - share)).sum(1).mean()
    assert marginals == pytest.approx(expected, rel=1e-5)


def test_the_regression_is_that_of_scikit_learn() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    found = fit_baseline(ROLLS[:15], [])
    before = np.concatenate(
        [np.concatenate([r[:-1], np.vstack([0 * r[:1], r[:-2]])], 1) for r in ROLLS[:15]]
    )
    key = 64 - KEYS.lowest
    truth = np.concatenate([roll[1:, key] for roll in ROLLS[:15]])
    other = linear.LogisticRegression(C=1 / PENALTIES[1], max_iter=2000, tol=1e-8)
    other.fit(before, truth)
    torch.testing.assert_close(
        found.weight[key].double(), torch.from_numpy(other.coef_[0]), atol=0.02, rtol=0
    )


def test_it_is_kept_with_the_run(fitted: Baseline, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert Baseline.load(folder, KEYS) is None
    fitted.save(folder)
    again = Baseline.load(folder, KEYS)
    assert again is not None
    assert torch.equal(again.weight, fitted.weight)
    with pytest.raises(UserError, match=r"baseline.safetensors: corrupt: expected weights of 42"):
        Baseline.load(folder, Keys(40, 81))
