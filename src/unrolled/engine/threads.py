"""Threads for work that is too small to share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

SHARED = 4_000_000
"""Multiply-adds of a product from which on other threads are worth waking."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the block torch computes on one thread.

    A step of one stream takes microseconds; waking other threads for it costs as much, and on a
    busy machine, where they wait for each other, a thousand times more.
    """
    with threads_kept():
        torch.set_num_threads(1)
        yield


@contextmanager
def threads_kept() -> Iterator[int]:
    """What is done to torch's threads in the block ends with it; gives their number before."""
    threads = torch.get_num_threads()
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def share(multiply_adds: int, threads: int) -> None:
    """Let torch use so many threads, or one where products are small."""
    torch.set_num_threads(threads if multiply_adds >= SHARED else 1)
