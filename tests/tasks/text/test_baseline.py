"""The n-gram model beside the network: its order, its limits, its file."""

from pathlib import Path

import numpy as np
import pytest

from unrolled.errors import UserError
from unrolled.tasks.text import baseline
from unrolled.tasks.text.baseline import NAME, fit_baseline, load_baseline, save_baseline
from unrolled.tasks.text.kneser_ney.model import KneserNey
from unrolled.training.run_folder.folder import RunFolder

NOISE = np.random.default_rng(0).integers(0, 20, 5000).astype(np.uint8)
VERSE = np.tile(np.random.default_rng(1).integers(0, 3, 40).astype(np.uint8), 30)


def test_the_order_is_chosen_on_the_validation_text() -> None:
    """The lowest that is as good as any."""
    assert fit_baseline(NOISE[:4000], NOISE[4000:], 20).order == min(baseline.ORDERS)
    chosen = fit_baseline(VERSE[:1000], VERSE[1000:], 20)
    assert chosen.order > 5
    lower = KneserNey.fit(VERSE[:1000], 20, 5)
    assert chosen.nats(VERSE[1000:]).mean() < lower.nats(VERSE[1000:]).mean()


def test_a_given_order_is_taken() -> None:
    for validation in (None, NOISE):
        assert fit_baseline(NOISE, validation, 20, 2).order == 2
    assert fit_baseline(NOISE, None, 20).order == baseline.ORDER


def test_of_a_long_text_the_end_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline, "MOST_TOKENS", 1000)
    monkeypatch.setattr(baseline, "_MOST_PLACES", 4000)
    model = fit_baseline(NOISE, None, 20, 7)
    assert model.order == 4
    assert model.nats(NOISE).tolist() == KneserNey.fit(NOISE[-1000:], 20, 4).nats(NOISE).tolist()
    assert fit_baseline(VERSE, VERSE, 20).order <= 4


def test_it_is_kept_with_the_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert load_baseline(folder, 20) is None
    model = KneserNey.fit(NOISE, 20, 3)
    save_baseline(model, folder)
    again = load_baseline(folder, 20)
    assert again is not None
    assert again.nats(NOISE).tolist() == model.nats(NOISE).tolist()
    with pytest.raises(UserError, match="expected 21 tokens, got 20"):
        load_baseline(folder, 21)
    (tmp_path / NAME).write_bytes(b"x")
    with pytest.raises(UserError, match="corrupt or truncated"):
        load_baseline(folder, 20)
