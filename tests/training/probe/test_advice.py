"""Warnings come when the numbers say so, once, with the numbers in them."""

import math
from collections.abc import Sequence

from unrolled.training.probe.advice import Advisor
from unrolled.training.probe.look import LayerLook, Look


def row(step: int, norm: float, clipped: float = 0.0) -> dict[str, float]:
    return {"step": step, "grad_norm": norm, "clipped": clipped}


def seen(step: int, *curves: Sequence[float]) -> Look:
    layers = {f"l{k}": LayerLook(tuple(curve), {}) for k, curve in enumerate(curves)}
    return Look(step, 0.1, layers)


def falling(rate: float, steps: int = 64) -> list[float]:
    """Influence that falls by a factor in every step."""
    return [rate**lag for lag in range(steps)]


def test_a_growing_norm_is_said_once() -> None:
    advisor = Advisor(clip=0, window=64)
    said = [words for k in range(40) for words in advisor.row(row(10 * k, 0.5 * 1.2**k))]
    assert len(said) == 1
    assert "norm has grown 1" in said[0]
    assert "try a lower --lr, or --clip 1" in said[0]
    assert "\n" not in said[0]


def test_a_norm_that_falls_wavers_or_jumps_once_is_fine() -> None:
    advisor = Advisor(clip=1, window=64)
    norms = [100, 30, 10, 3, 1, 0.3, 0.25, 0.3, 0.5, 0.2, 50, 0.3, 0.4, 0.3, 0.3, 1.5, 1.4, 0.3]
    assert not [w for k, norm in enumerate(norms) for w in advisor.row(row(k, norm))]


def test_nearly_all_updates_clipped() -> None:
    advisor = Advisor(clip=0.1, window=64)
    said = [w for k in range(1, 20) for w in advisor.row(row(20 * k, 3.0, 0.97))]
    assert len(said) == 1
    assert "97% of the updates" in said[0]
    assert "norm is 3" in said[0]
    assert "--clip is 0.1" in said[0]
    few = Advisor(clip=0.1, window=64)
    assert not [w for k in range(1, 20) for w in few.row(row(20 * k, 3.0, 0.9))]


def test_memory_shorter_than_the_window() -> None:
    advisor = Advisor(clip=1, window=64)
    said = [advisor.look(seen(100 * k, falling(0.6), falling(0.5))) for k in range(1, 7)]
    assert [len(words) for words in said] == [0, 0, 1, 0, 0, 0]
    assert (
        "last 10 of 64 steps (there is left a half at lag 2 and a hundredth at lag 10)"
        in said[2][0]
    )
    assert "step 300" in said[2][0]


def test_no_memory_at_all_is_shorter_still() -> None:
    advisor = Advisor(clip=1, window=64)
    said = [words for k in range(5) for words in advisor.look(seen(k, falling(0.0)))]
    assert len(said) == 1
    assert "last 1 of 64 steps (there is left a half at lag 1" in said[0]


def test_a_fast_fall_and_a_long_tail_are_a_memory() -> None:
    """A tenth of a hundredth, but over the whole window, is more than a hundredth of the sum."""
    advisor = Advisor(clip=1, window=64)
    tail = [1.0, 0.2, 0.05, *[0.001] * 61]
    assert not [w for k in range(9) for w in advisor.look(seen(k, tail))]


def test_memory_that_suffices_still_grows_or_is_not_known() -> None:
    unknown = [math.nan] * 64
    for curve in falling(0.76), falling(1.0), unknown, [0.0] * 64:
        advisor = Advisor(clip=1, window=64)
        assert not [w for k in range(9) for w in advisor.look(seen(k, curve))]
    advisor = Advisor(clip=1, window=64)
    assert not [w for k in range(9) for w in advisor.look(seen(k))]
    advisor = Advisor(clip=1, window=64)
    assert not [w for k in range(9) for w in advisor.look(seen(k, falling(0.3 + 0.06 * k)))]


def test_what_was_said_before_a_run_went_on_is_not_said_again() -> None:
    rows = [row(k, 1.0, 1.0) for k in range(30)]
    first, again = Advisor(clip=0.5, window=8), Advisor(clip=0.5, window=8)
    assert [w for one in rows[:20] for w in first.row(one)]
    for one in rows[:20]:
        again.row(one)
    assert not [w for one in rows[20:] for w in again.row(one)]
