"""Words and numbers of an evaluation, for network and cheap methods."""

from __future__ import annotations

import pytest

from unrolled.tasks.music.baseline import fit_baseline
from unrolled.tasks.music.evaluation import MARGINALS, evaluation, pictures
from unrolled.tasks.music.model import MusicModel
from unrolled.tasks.music.options import ModelOptions
from unrolled.tasks.music.pieces import Keys
from unrolled.tasks.music.score import count_rolls

from .conftest import canon

KEYS = Keys(44, 70)
ROLLS = [KEYS.roll([tuple(frame) for frame in canon(n)]) for n in range(12)]


@pytest.fixture
def model() -> MusicModel:
    return MusicModel(ModelOptions(output="keys", hidden_size=4), KEYS).eval()


def test_an_untrained_network_is_told_to_be_worse(model: MusicModel) -> None:
    baseline = fit_baseline(ROLLS[:8], [])
    found = evaluation(model, count_rolls(model, ROLLS[8:]), ROLLS[8:], baseline, notes=["Last."])
    assert found.notes[0].startswith("The network has ")
    assert " nats per frame more than the logistic regression on two frames" in found.notes[0]
    assert found.notes[1] == "Last."
    assert found.baseline["nats"].value < found.details[MARGINALS]["nats"]
    assert found.details["frames"] == 4 * 23
    assert set(found.details["nats by part"]) == set(model.head.parts)
    table, by_part = found.sections
    assert table.body.count("<tr>") == 4
    assert "G#2 to B2" in by_part.body


def test_one_piece_has_no_interval_and_no_method_no_verdict(model: MusicModel) -> None:
    found = evaluation(model, count_rolls(model, ROLLS[:1]), ROLLS[:1], None)
    assert found.metrics["nats"].low is None
    assert found.notes == []
    assert found.baseline == {}


def test_both_piano_rolls_are_shown() -> None:
    section = pictures([(60,), (62,)], [(60,), (64, 67)], 1)
    assert section.body.count("<svg") == 2
    assert "first" not in section.body
    assert "the same 1 frames" in section.caption
