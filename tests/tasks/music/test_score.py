"""Nats per frame and frame accuracy, which frames count, and padding that changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unrolled.tasks.music.model import MusicModel
from unrolled.tasks.music.options import ModelOptions
from unrolled.tasks.music.pieces import Keys
from unrolled.tasks.music.score import accuracy, count_frames, count_rolls, nats

from .conftest import canon

KEYS = Keys(40, 80)


@pytest.fixture(params=["keys", "voices"])
def model(request: pytest.FixtureRequest) -> MusicModel:
    options = ModelOptions(output=request.param, hidden_size=9, voice_size=5)
    return MusicModel(options, KEYS).eval()


def rolls() -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    made = [KEYS.roll([tuple(f) for f in canon(n, length)]) for n, length in ((1, 5), (2, 17))]
    return [*made, KEYS.roll([(60,)])]


def test_frames_are_counted_as_one_reads_them(model: MusicModel) -> None:
    found = count_rolls(model, rolls())
    assert found.sums[:, 1].tolist() == [4, 16, 0]
    for number, roll in enumerate(rolls()):
        total = []
        for t in range(len(roll)):
            # frame t from a silent frame and the t frames before it
            before = np.concatenate([np.zeros_like(roll[:1]), roll[:t]]).astype(np.float32)
            with torch.no_grad():
                y, _ = model.recurrent(torch.from_numpy(before)[:, None])
                frame = torch.from_numpy(roll[t : t + 1].astype(np.float32))
                total.append(model.head.losses(y[-1], frame).sum().item())
        assert found.first[number] == pytest.approx(total[0], rel=1e-5)
        assert found.sums[number, 0] == pytest.approx(sum(total[1:]), rel=1e-5)
        assert found.parts[number].sum() == pytest.approx(sum(total[1:]), rel=1e-5)


def test_the_model_does_not_see_what_it_predicts(model: MusicModel) -> None:
    roll = rolls()[1]
    changed = roll.copy()
    changed[9] = 0
    for one, other in zip(*(_features(model, r) for r in (roll, changed)), strict=True):
        assert torch.equal(one[:10], other[:10])
        assert not torch.equal(one[10:], other[10:])


def _features(
    model: MusicModel, roll: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
) -> list[torch.Tensor]:
    frames = torch.from_numpy(roll.astype(np.float32))[:, None]
    with torch.no_grad():
        return [model.before(frames, torch.tensor([len(roll)]))[:, 0]]


def test_accuracy_is_that_of_bay_and_others() -> None:
    truth = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 0], [0, 1, 1]], np.float32)
    said = np.array([[0, 0, 1], [1, 0, 1], [0, 0, 0], [0, 1, 1]], np.float32)
    losses = np.ones((4, 2))
    steps, pieces = np.array([0, 1, 2, 1]), np.array([0, 0, 0, 1])
    found = count_frames(steps, pieces, losses, said, truth, 2)
    # of the first piece's second frame one is right, one missed, one too many; its third is silent
    assert found.sums.tolist() == [[4, 2, 1, 3], [2, 1, 2, 2]]
    assert accuracy(found.sums).tolist() == pytest.approx([1 / 3, 1])
    assert float(nats(found.sums.sum(0))) == 2
    assert float(accuracy(found.sums.sum(0))) == pytest.approx(3 / 5)
    assert accuracy(np.zeros(4)) == 1
