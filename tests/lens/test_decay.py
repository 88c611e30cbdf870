"""Lags are measured, exponentials are named where they fit, and more lags take nothing back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.lens.test_verdict import RNN
from unrolled.lens import Decay, decay_of_influence
from unrolled.lens.decay import ROUNDING
from unrolled.lens.verdict import judge


def curve(of: Callable[[Tensor], Tensor], lags: int = 3000) -> Tensor:
    """A function of the lag, in float64."""
    return of(torch.arange(lags, dtype=torch.float64))


def measured(found: Decay) -> tuple[int | None, int | None, int | None]:
    return found.half, found.tenth, found.hundredth


@given(st.floats(0.3, 1.6).filter(lambda rate: abs(rate - 1) > 1e-3), st.integers(3, 60))
def test_an_exponential_is_measured_and_fits(rate: float, lags: int) -> None:
    found = decay_of_influence(3.0 * curve(lambda lag: rate**lag, lags))
    steps = math.log(2) / abs(math.log(rate))
    assert found.fits
    assert found.half_life == pytest.approx(steps if rate < 1 else math.inf)
    assert found.doubling_time == pytest.approx(math.inf if rate < 1 else steps)
    assert found.lags == lags - 1
    assert found.left == pytest.approx(rate ** (lags - 1))
    for share, lag in zip((0.5, 0.1, 0.01), measured(found), strict=True):
        bound = share * (1 + ROUNDING)
        assert lag == next((k for k in range(lags) if rate**k <= bound), None)


def test_a_fast_fall_before_a_slow_one_is_no_exponential() -> None:
    """Fitted, it had a half-life of 123 steps and 19 % left, and was stable."""
    found = decay_of_influence(curve(lambda lag: 0.85 * 0.82**lag + 0.15 * 0.9918**lag, 200))
    assert measured(found) == (5, 50, None)
    assert found.left == pytest.approx(0.03, rel=0.05)
    assert not found.fits
    assert math.isnan(found.half_life)
    assert "down to a half at lag 5, to a tenth at lag 50 and never to a hundredth" in str(found)
    assert str(found).endswith("at the last one 2.9 % is left.")


def test_a_fall_to_next_to_nothing_has_vanished() -> None:
    """Fitted, it had a half-life of 563 steps, and was stable."""
    found = decay_of_influence(curve(lambda lag: (0.2**lag).clamp(min=0.001 * 0.99877**lag), 600))
    assert measured(found) == (1, 2, 3)
    assert math.isnan(found.half_life)
    assert judge(replace(RNN, decay=found)).kind == "vanishing"


def test_a_line_that_misses_the_beginning_does_not_fit_whatever_its_r_squared() -> None:
    found = decay_of_influence(curve(lambda lag: 0.03 * 0.9944**lag + 0.97 * 0.5**lag))
    assert found.fit.r_squared > 0.98
    assert measured(found) == (2, 4, 196)
    assert math.isnan(found.half_life)
    assert "No exponential (R² 1.00) fits its beginning" in str(judge(replace(RNN, decay=found)))


@pytest.mark.parametrize("values", [[1.0, 0.5, 0.25, 0.0, 0.0, 0.0], [1.0, 0.5], [1.0, 0.0, 0.0]])
def test_too_little_to_call_it_an_exponential(values: list[float]) -> None:
    """Two points have a line always; and an exponential never ends at once."""
    found = decay_of_influence(torch.tensor(values, dtype=torch.float64))
    assert found.half == 1
    assert math.isnan(found.half_life)


def test_the_first_lag_with_influence_is_the_measure() -> None:
    nan = math.nan
    found = decay_of_influence(torch.tensor([0, 0, 8, nan, 4, 0.8, 0.08, nan]))
    assert measured(found) == (4, 5, 6)
    assert found.lags == 6
    assert found.left == pytest.approx(0.01)


@pytest.mark.parametrize(
    "values", [[], [1.0], [0.0, 0.0], [math.nan, math.nan, 1.0], [0.0, 1.0], [math.inf, 1.0]]
)
def test_where_there_are_not_two_lags_nothing_is_measured(values: list[float]) -> None:
    found = decay_of_influence(torch.tensor(values))
    assert (found.lags, measured(found), found.fits) == (0, (None, None, None), False)
    assert math.isnan(found.left)
    assert math.isnan(found.half_life)
    assert math.isnan(found.doubling_time)
    assert str(found) == "There are not two lags with an influence to compare."


def test_lags_without_digits_are_measured_but_not_fitted() -> None:
    values = torch.tensor([1.0, 0.5, 0.25, 0.125, 1e-9, 1e-9])
    found = decay_of_influence(values, values > 1e-6)
    assert found.half_life == pytest.approx(1)
    assert found.hundredth == 4


def test_norms_only() -> None:
    with pytest.raises(ValueError, match=r"^decay_of_influence: by_lag .* got shape \(2, 3\)$"):
        decay_of_influence(torch.ones(2, 3))
    with pytest.raises(ValueError, match=r"norms, which are not negative, got -0.5$"):
        decay_of_influence(torch.tensor([1.0, -0.5]))


CURVES: dict[str, Callable[[Tensor], Tensor]] = {
    "flat": lambda lag: torch.ones_like(lag),
    "halves every step": lambda lag: 0.5**lag,
    "halves every 40 steps": lambda lag: 0.5 ** (lag / 40),
    "halves every 2,000 steps": lambda lag: 0.5 ** (lag / 2000),
    "falls at once, then stays": lambda lag: 0.3 + 0.7 * 0.1**lag,
    "falls at once to little, then stays": lambda lag: 0.002 + 0.998 * 0.1**lag,
    "falls at once, then slowly": lambda lag: 0.3 * 0.999**lag + 0.7 * 0.1**lag,
    "power law": lambda lag: (1 + lag) ** -0.5,
    "doubles every 5 steps": lambda lag: 2 ** (lag / 5),
    "doubles every 100 steps": lambda lag: 2 ** (lag / 100),
    "grows, then vanishes": lambda lag: (1 + lag) ** 4 * 0.8**lag,
    "vanishes, then grows": lambda lag: 0.5**lag + 1e-6 * 1.02**lag,
    "oscillates": lambda lag: (math.pi * lag / 6).cos().abs(),
    "oscillates and falls": lambda lag: 0.98**lag * (0.02 + (math.pi * lag / 6).cos().abs()),
    "comes back now and then": lambda lag: torch.where(lag % 100 == 0, 1.0, 0.001),
    "ends": lambda lag: (lag < 20).double(),
}
ORDER = ("stable", "vanishing", "returning", "exploding")


@pytest.mark.parametrize("name", CURVES)
def test_more_lags_take_nothing_back(name: str) -> None:
    """Over 35, 300 and 3000 steps: each lag that was reached stays, and so does its verdict."""
    whole = curve(CURVES[name])
    looks = [decay_of_influence(whole[:steps]) for steps in (4, 35, 300, 3000)]
    for before, after in pairwise(looks):
        for lag in ("half", "tenth", "hundredth", "grown"):
            first, later = getattr(before, lag), getattr(after, lag)
            assert later == first if first is not None else later is None or later > before.lags
        kinds = [ORDER.index(judge(replace(RNN, decay=found)).kind) for found in (before, after)]
        assert kinds == sorted(kinds)


@given(st.lists(st.floats(0, 300), min_size=2, max_size=40), st.data())
def test_more_lags_of_any_curve_take_nothing_back(values: list[float], data: st.DataObject) -> None:
    size = data.draw(st.integers(1, len(values)))
    before, after = (decay_of_influence(torch.tensor(v)) for v in (values[:size], values))
    for lag in ("half", "tenth", "hundredth", "grown"):
        assert getattr(before, lag) in (None, getattr(after, lag))
    kinds = [judge(replace(RNN, decay=found)).kind for found in (before, after)]
    assert kinds[0] == "unknown" or kinds == sorted(kinds, key=ORDER.index)


@pytest.mark.parametrize("name", CURVES)
def test_a_verdict_says_over_how_many_lags_and_agrees_with_the_curve(name: str) -> None:
    for steps in (35, 300, 3000):
        values = curve(CURVES[name], steps)
        found = decay_of_influence(values)
        verdict = judge(replace(RNN, decay=found))
        assert f"Over the {steps - 1} lags looked at" in str(verdict)
        assert (verdict.kind == "exploding") == bool((values >= 100 * values[0]).any())
        if verdict.kind == "stable":
            assert float(values.min()) > 0.0099
        if verdict.kind == "vanishing":
            low = int((values <= 0.01).nonzero()[0])
            assert float(values[low:].max()) < 0.1
        if math.isfinite(found.half_life):
            halved = -values[values > 0].log2()[1:] / torch.arange(1, int((values > 0).sum()))
            assert float(1 / halved.median()) == pytest.approx(found.half_life, rel=0.25)
        foretold = "if it goes on like this" in str(verdict)
        assert foretold == (verdict.kind == "stable" and math.isfinite(found.half_life))


def test_a_slow_memory_is_foretold_to_vanish() -> None:
    short, long = (curve(CURVES["halves every 40 steps"], steps) for steps in (35, 300))
    verdict = judge(replace(RNN, decay=decay_of_influence(short)))
    assert verdict.kind == "stable"
    assert "It halves every 40 steps (R² 1.00)" in str(verdict)
    assert "if it goes on like this, it is down to a hundredth at lag 266" in str(verdict)
    assert decay_of_influence(long).hundredth == 266
