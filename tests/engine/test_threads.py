"""Threads are set for a block and put back after it."""

from __future__ import annotations

import pytest
import torch

from unrolled.engine.threads import SHARED, one_thread, share, threads_kept


@pytest.fixture(autouse=True)
def three_threads() -> None:
    """Tests run on one; here that could not be told from what they set."""
    torch.set_num_threads(3)


def test_one_thread_for_a_block_that_fails_too() -> None:
    with one_thread():
        assert torch.get_num_threads() == 1
    with pytest.raises(KeyError), one_thread():
        raise KeyError
    assert torch.get_num_threads() == 3


def test_small_products_are_not_shared() -> None:
    with threads_kept() as threads:
        assert threads == 3
        share(SHARED - 1, threads)
        assert torch.get_num_threads() == 1
        share(SHARED, threads)
        assert torch.get_num_threads() == 3
        share(0, threads)
    assert torch.get_num_threads() == 3
