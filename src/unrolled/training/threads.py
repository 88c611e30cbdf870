"""Threads for work that is too small to share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the block torch computes on one thread.

    A step of one stream takes microseconds; waking other threads for it costs as much, and on a
    busy machine, where they wait for each other, a thousand times more.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
