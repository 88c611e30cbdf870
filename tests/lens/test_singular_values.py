"""Many matrices at once are as one after the other."""

from __future__ import annotations

import pytest
import torch

from unrolled.lens.singular_values import singular_values


@pytest.mark.parametrize("threads", [1, 3])
def test_each_is_decomposed_on_its_own(threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        matrices = torch.randn(4, 3, 5, 5, dtype=torch.float64)
        matrices[1, 2, 0, 0] = torch.inf
        found = singular_values(matrices)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert found[1, 2].isnan().all()
    assert not found[1, 1].isnan().any()
    for n, matrix in enumerate(matrices[0]):
        # the sum of squares and the product, which need no decomposition
        torch.testing.assert_close(found[0, n].square().sum(), matrix.square().sum())
        torch.testing.assert_close(found[0, n].prod(), matrix.det().abs())
        assert (found[0, n].diff() <= 0).all()
