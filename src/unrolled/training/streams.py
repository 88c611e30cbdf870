"""One long sequence as a batch of aligned streams.

The sequence is cut in N contiguous streams of equal length L. Row i of every batch is the next
chunk of stream i, so the state that row i leaves behind is the one its next chunk continues from::

    sequence   a b c d e f g h i j k l m          N = 3, L = 4, chunks of 2
    stream 0   a b c d   → predicts b c d e       batch 0: a b / e f / i j
    stream 1   e f g h   → predicts f g h i       batch 1: c d / g h / k l
    stream 2   i j k l   → predicts j k l m
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Tokens = np.ndarray[Any, np.dtype[Any]]


class AlignedStreams:
    """Chunks of N aligned streams, addressed by epoch and number, so that a run can go on anywhere.

    Within an epoch every element but the first of the sequence is predicted exactly once, in
    order; the last ``(len(tokens) − 1) mod N`` do not fill a row and are left out.

    Args:
        tokens: The sequence, one dimension, any unsigned type; a memory map is read chunk by chunk.
        batch_size: N.
        seq_len: Longest chunk. The last chunk of an epoch may be shorter, and with
            ``random_boundaries`` the first.
        random_boundaries: Shorten each epoch's first chunk to a random length, so that the places
            where the gradient is cut differ from epoch to epoch.
        seed: Seed of these lengths; they depend on nothing else but the epoch's number.

    Raises:
        ValueError: There are fewer than ``batch_size + 1`` tokens.
    """

    def __init__(
        self,
        tokens: Tokens,
        *,
        batch_size: int,
        seq_len: int,
        random_boundaries: bool = False,
        seed: int = 0,
    ) -> None:
        self.length = (len(tokens) - 1) // batch_size
        if self.length < 1:
            raise ValueError(
                f"{batch_size} streams need {batch_size + 1} tokens, got {len(tokens)}"
            )
        self.batch_size = batch_size
        self.seq_len = seq_len
        self.random_boundaries = random_boundaries
        self.seed = seed
        step = tokens.strides[0]
        # Row i is tokens[i L : (i + 1) L + 1]: the last input's target is the next row's start.
        self._rows: Tokens = np.lib.stride_tricks.as_strided(
            tokens,
            shape=(batch_size, self.length + 1),
            strides=(self.length * step, step),
            writeable=False,
        )

    def _first(self, epoch: int) -> int:
        """Length of the epoch's first chunk."""
        if not self.random_boundaries:
            return min(self.seq_len, self.length)
        # A text seed is hashed by SHA-512: the same everywhere and in every process.
        draw = random.Random(f"boundaries {self.seed} {epoch}").randint(1, self.seq_len)
        return min(draw, self.length)

    def count(self, epoch: int) -> int:
        """Number of chunks in an epoch."""
        return 1 + -(-(self.length - self._first(epoch)) // self.seq_len)

    def chunk(self, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of one chunk.

        Returns:
            Two int64 tensors of shape [T, N]; ``targets[t, n]`` follows ``inputs[t, n]``.
        """
        first = self._first(epoch)
        start = 0 if index == 0 else first + (index - 1) * self.seq_len
        stop = first if index == 0 else min(start + self.seq_len, self.length)
        window: npt.NDArray[np.int64] = self._rows[:, start : stop + 1].T.astype(
            np.int64, order="C"
        )
        both = torch.from_numpy(window)
        return both[:-1], both[1:]

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All chunks of an epoch in order."""
        for index in range(self.count(epoch)):
            yield self.chunk(epoch, index)
