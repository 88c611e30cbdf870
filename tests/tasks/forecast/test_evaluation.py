"""The judgement in words: who is ahead, and by how much."""

from __future__ import annotations

import pytest

from unrolled.tasks.forecast.evaluation import _size
from unrolled.tasks.statistics import Difference
from unrolled.training.task import Estimate


@pytest.mark.parametrize(
    ("by", "words"),
    [
        ((0.5, 0.2, 0.8), "lower by 0.5, 95 % interval 0.2 to 0.8"),
        ((-0.5, -0.8, -0.2), "lower by 0.5, 95 % interval 0.2 to 0.8"),
        ((0.5, -0.1, 1.1), "the network's lower by 0.5, 95 % interval -0.1 to 1.1"),
        ((-0.5, -1.1, 0.1), "the network's higher by 0.5, 95 % interval -0.1 to 1.1"),
    ],
)
def test_a_difference_has_no_sign(by: tuple[float, float, float], words: str) -> None:
    """Clear ones are told of the one that is ahead, others of the network."""
    assert _size(Difference(Estimate(*by), 0.5)) == words
