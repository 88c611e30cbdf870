"""Noise is a hash written down to the bit, and no test of numbers can tell it from chance."""

from __future__ import annotations

from math import sqrt

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from unrolled.cells import GRU, LSTM
from unrolled.compiler.program import Space, Symbol
from unrolled.engine import reference
from unrolled.engine.noise import Noise, event, numbers
from unrolled.engine.weights import program_of, split
from unrolled.options import Variant

SEED = torch.tensor([-3_141_592_653_589_793])
RECURRENT = Symbol("M_recurrent")
H, C = Symbol("M_zoneout_h"), Symbol("M_zoneout_c")
PROGRAM = program_of(LSTM(), variant=Variant(recurrent_dropout=True, zoneout=("h", "c")))
SIZES = {Space.HIDDEN: 6, Space.PROJECTED: 6}


def by_the_book(seed: int, mask: int, direction: int, t: int, row: int, unit: int) -> int:
    """The docstring's formula in Python's own integers."""

    def mix(v: int) -> int:
        v ^= v >> 16
        v = v * 0x7FEB352D % 2**32
        v ^= v >> 15
        v = v * 0x846CA68B % 2**32
        return v ^ v >> 16

    key = 0
    for word in (seed % 2**32, (seed >> 32) % 2**32, 2 * mask + direction, t, row):
        key = mix((key + 0x9E3779B9) % 2**32 ^ word)
    return mix(key ^ unit * 0x9E3779B9 % 2**32) >> 8


@given(
    seed=st.integers(-(2**63), 2**63 - 1),
    mask=st.integers(0, 9),
    direction=st.integers(0, 1),
    t=st.integers(0, 2**31),
    rows=st.integers(1, 4),
    units=st.integers(1, 40),
)
def test_as_written_down(
    seed: int, mask: int, direction: int, t: int, rows: int, units: int
) -> None:
    found = numbers(torch.tensor([seed]), (2 * mask + direction, t), rows, units)
    assert found.tolist() == [
        [by_the_book(seed, mask, direction, t, n, u) for u in range(units)] for n in range(rows)
    ]


def drawn() -> Tensor:
    """Steps by rows by units, as numbers of mean 0 and variance 1 if they are uniform."""
    found = torch.stack([numbers(SEED, (0, t), 64, 256) for t in range(100)]).double()
    return (found / 2**24 - 0.5) * sqrt(12)


def deviations(products: Tensor) -> float:
    """How many standard deviations the mean of products of independent numbers is from 0."""
    return abs(float(products.mean())) * sqrt(products.numel())


def test_uniform() -> None:
    found = drawn()
    assert deviations(found) < 4
    assert abs(float((found**2).mean()) - 1) * sqrt(found.numel() * 5 / 4) < 4
    counts = torch.histc(found, 256)
    expected = found.numel() / 256
    assert abs(float(((counts - expected) ** 2 / expected).sum()) - 255) < 4 * sqrt(2 * 255)


@pytest.mark.parametrize("distance", [1, 2, 4, 8, 16, 63])
@pytest.mark.parametrize("dimension", [0, 1, 2], ids=["steps", "rows", "units"])
def test_neighbours_are_independent(dimension: int, distance: int) -> None:
    found = drawn()
    size = found.shape[dimension]
    ahead = found.narrow(dimension, distance, size - distance)
    assert deviations(ahead * found.narrow(dimension, 0, size - distance)) < 4


@pytest.mark.parametrize(
    ("seed", "words"),
    [(0, (1, 0)), (0, (2, 0)), (1, (0, 0)), (2**32, (0, 0)), (2**62, (0, 0))],
    ids=["direction", "mask", "seed", "seed's upper half", "seed's last bits"],
)
def test_other_noise_is_independent(seed: int, words: tuple[int, int]) -> None:
    one, other = (
        (numbers(s, w, 512, 512).double() / 2**24 - 0.5) * sqrt(12)
        for s, w in ((SEED, (0, 0)), (SEED + seed, words))
    )
    assert deviations(one * other) < 4


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.25, 0.5, 0.9, 1.0])
def test_rate(rate: float) -> None:
    found = event(SEED, (0, 0), 512, 512, rate).double()
    assert abs(float(found.mean()) - rate) <= 4 * sqrt(rate * (1 - rate) / found.numel())


class TestMasks:
    noise = Noise(SEED, (0.25, 0.5, 0.1))

    def at(self, t: int, noise: Noise | None = None, direction: int = 0) -> dict[Symbol, Tensor]:
        like = torch.zeros(1, dtype=torch.float64)
        return (noise or self.noise).masks(PROGRAM, t, direction, 40, SIZES, like)

    def test_values(self) -> None:
        found = self.at(3)
        assert set(found[RECURRENT].flatten().tolist()) == {0.0, 1 / 0.75}
        assert set(found[H].flatten().tolist()) == {0.0, 1.0}
        assert found[C].dtype == torch.float64
        assert found[C].shape == (40, 6)

    def test_one_for_a_sequence_or_one_for_every_step(self) -> None:
        one, other = self.at(0), self.at(1)
        assert torch.equal(one[RECURRENT], other[RECURRENT])
        assert not torch.equal(one[H], other[H])

    def test_directions_differ(self) -> None:
        assert not torch.equal(self.at(0)[RECURRENT], self.at(0, direction=1)[RECURRENT])

    def test_means_in_evaluation(self) -> None:
        found = self.at(0, Noise(None, self.noise.rates))
        assert set(found[RECURRENT].flatten().tolist()) == {1.0}
        assert set(found[H].flatten().tolist()) == {0.5}
        assert set(found[C].flatten().tolist()) == {0.1}

    def test_everything_dropped(self) -> None:
        """No division by zero."""
        assert not self.at(0, Noise(SEED, (1.0, 0.0, 0.0)))[RECURRENT].any()


def test_a_step_has_one_noise_whatever_the_way_to_it() -> None:
    """Directions, lengths and shorter sequences count t from the sequence's beginning."""
    program = program_of(GRU(), variant=Variant(zoneout=("h",)))
    noise, generator = Noise(SEED, (1.0,)), torch.Generator().manual_seed(0)
    x = torch.randn(4, 3, 2, generator=generator)
    tensors = [torch.randn(*shape, generator=generator) for shape in ((12, 2), (12, 4))]
    (weights,) = split(program, tensors, 1)
    initial = [torch.randn(3, 4, generator=generator)]
    output = reference.run(program, x, initial, weights, noise=noise).output
    assert torch.equal(output, initial[0].expand(4, 3, 4))  # everything keeps its past
    noise = Noise(SEED, (0.5,))
    whole = reference.run(program, x, initial, weights, noise=noise).output
    part = reference.run(program, x[:2], initial, weights, noise=noise).output
    assert torch.equal(whole[:2], part)
    lengths = torch.tensor([1, 4, 3])
    ragged = reference.run(program, x, initial, weights, lengths, noise=noise).output
    assert torch.equal(ragged[:3, 2], whole[:3, 2])
    # the last step is the first to be taken in reverse, and has the noise of step 3
    backwards = reference.run(program, x, initial, weights, reverse=True, noise=noise).output
    kept = noise.masks(program, 3, 0, 3, {Space.HIDDEN: 4, Space.PROJECTED: 4}, x)
    unchanged = backwards[3] == initial[0]
    assert torch.equal(unchanged, next(iter(kept.values())) == 1)
