"""Products over any lag are those of a plain loop, and have no bounds of size."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.lens.products import products


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 19), st.data())
def test_products_are_those_of_a_loop(count: int, data: st.DataObject) -> None:
    lags = sorted(data.draw(st.sets(st.integers(1, count), min_size=1)))
    ends = sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1)))
    factors = torch.randn(count, 2, 3, 3, dtype=torch.float64)
    seen = []
    for lag, product, scale in products(factors, lags, ends):
        seen.append(lag)
        for place, end in enumerate(ends):
            if end < lag - 1:
                continue
            expected = factors[end]
            for t in range(end - 1, end - lag, -1):
                expected = expected @ factors[t]
            got = product[place] * scale[place].exp()[..., None, None]
            torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-12)
    assert sorted(seen) == lags


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_long_products_neither_vanish_nor_overflow(size: float) -> None:
    factors = size * torch.eye(3, dtype=torch.float64).expand(500, 3, 3)
    [(_, product, scale)] = products(factors, [500], [499])
    torch.testing.assert_close(product[0], torch.eye(3, dtype=torch.float64))
    assert float(scale) == pytest.approx(500 * math.log(size))


def test_a_product_with_zero_is_zero() -> None:
    factors = torch.ones(4, 2, 2, dtype=torch.float64)
    factors[1] = 0
    [(_, product, scale)] = products(factors, [3], [2, 3])
    assert (product == 0).all()
    assert scale.isfinite().all()
