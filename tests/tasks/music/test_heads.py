"""Distributions over frames: they sum to one, and what is drawn follows them."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from unrolled.tasks.music.heads import Head, KeyHead, VoiceHead
from unrolled.tasks.music.pieces import Keys

KEYS = Keys(59, 63)
EVERY = torch.tensor(list(itertools.product((0.0, 1.0), repeat=5)))


@pytest.fixture(params=["keys", "voices"])
def head(request: pytest.FixtureRequest) -> Head:
    if request.param == "keys":
        return KeyHead(3, KEYS).eval()
    return VoiceHead(3, KEYS, 7, 0.5).eval()


def chances(head: Head, h: Tensor) -> Tensor:
    """The probability of every frame of five keys."""
    with torch.no_grad():
        return (-head.losses(h.expand(len(EVERY), -1), EVERY).sum(1)).exp()


def test_probabilities_of_all_frames_sum_to_one(head: Head) -> None:
    found = chances(head, torch.randn(1, 3))
    torch.testing.assert_close(found.sum(), torch.tensor(1.0))


def test_what_is_drawn_follows_the_probabilities(head: Head) -> None:
    h = torch.randn(1, 3)
    with torch.no_grad():
        drawn = head.draw(h.expand(20_000, -1), 1.0, torch.Generator().manual_seed(1))
    numbers = (drawn @ 2.0 ** torch.arange(4, -1, -1)).long()
    shares = torch.bincount(numbers, minlength=32) / len(drawn)
    torch.testing.assert_close(shares, chances(head, h), atol=0.02, rtol=0)
    with torch.no_grad():
        each = head.probabilities(h, 3000, torch.Generator().manual_seed(2))
    expected = chances(head, h) @ EVERY
    torch.testing.assert_close(each[0], expected, atol=0.03, rtol=0)


def test_nothing_is_random_at_temperature_zero(head: Head) -> None:
    h = torch.randn(4, 3)
    with torch.no_grad():
        first, second = (head.draw(h, 0.0, torch.Generator().manual_seed(s)) for s in (1, 2))
    assert torch.equal(first, second)


def test_a_frame_costs_the_same_whatever_stands_beside_it(head: Head) -> None:
    h = torch.randn(len(EVERY), 3)
    with torch.no_grad():
        together = head.losses(h, EVERY)
        alone = torch.cat([head.losses(h[n : n + 1], EVERY[n : n + 1]) for n in range(len(h))])
    torch.testing.assert_close(together, alone)


def test_names_of_parts() -> None:
    assert KeyHead(3, KEYS).parts == ("B3 to B3", "C4 to D#4")
    assert VoiceHead(3, KEYS, 7, 0.0).parts[-1] == "end of the frame"


def test_octaves_cost_what_their_keys_cost() -> None:
    head, h = KeyHead(3, KEYS), torch.randn(1, 3)
    frame = torch.tensor([[1.0, 0, 1, 0, 0]])
    p = head.readout(h).sigmoid()
    each = -(frame * p.log() + (1 - frame) * (1 - p).log())
    expected = torch.stack([each[:, :1].sum(1), each[:, 1:].sum(1)], 1)
    torch.testing.assert_close(head.losses(h, frame), expected)


def test_notes_cost_what_stands_for_them() -> None:
    head, h = VoiceHead(3, KEYS, 7, 0.0).eval(), torch.randn(1, 3)
    silence, chord = torch.zeros(1, 5), torch.tensor([[0.0, 1, 0, 1, 1]])
    with torch.no_grad():
        parts = head.losses(h, silence)[0]
        assert parts[-1] > 0
        assert parts[:-1].sum() == 0
        parts = head.losses(h, chord)[0]
    assert (parts[:3] > 0).all()
    assert parts[3:-1].sum() == 0
    assert abs(float(parts[-1])) < 1e-6  # above the highest key nothing but the end can come
