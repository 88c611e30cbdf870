"""Batches of training data, addressed by epoch and number.

So a run goes on at any batch without the ones before, and several processes share each batch
without talking. Data comes as one of two kinds:

`Streams` cut one long sequence into rows that are read side by side, chunk by chunk. The state that
a chunk ends with is carried into the next one; the gradient is cut there::

    sequence   a b c d e f g h i j k l m          N = 3, L = 4, chunks of 2
    stream 0   a b c d   → predicts b c d e       batch 0: a b / e f / i j
    stream 1   e f g h   → predicts f g h i       batch 1: c d / g h / k l
    stream 2   i j k l   → predicts j k l m

`Buckets` group many sequences by length and shuffle them anew in every epoch; no state is carried.

`Repeated` and `Drawn` serve experiments: one batch again and again, and batches made on the spot.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unrolled.training.processes import ALONE, Processes

Tokens = np.ndarray[Any, np.dtype[Any]]
Indices = npt.NDArray[np.int64]


class Batches(Protocol):
    """Training data as the loop reads it.

    Attributes:
        window: Steps after which the gradient is cut; None where it never is.
    """

    window: int | None

    def count(self, epoch: int) -> int:
        """Number of batches in an epoch, the same in every process."""

    def batch(self, epoch: int, index: int) -> Any:
        """This process's share of a batch, any tree of tensors; None if there is none for it."""


class Streams:
    """Chunks of N aligned streams, addressed by epoch and number, so that a run can go on anywhere.

    Within an epoch every element but the first of the sequence is predicted exactly once, in
    order; the last ``(len(tokens) − 1) mod N`` do not fill a row and are left out.

    Args:
        tokens: The sequence, one dimension, any unsigned type; a memory map is read chunk by chunk.
        batch_size: N, of all processes together.
        seq_len: Longest chunk. The last chunk of an epoch may be shorter, and with
            ``random_boundaries`` the first.
        random_boundaries: Shorten each epoch's first chunk to a random length, so that the places
            where the gradient is cut differ from epoch to epoch.
        seed: Seed of these lengths; they depend on nothing else but the epoch's number.
        processes: Each owns whole streams, as equal in number as may be.

    Raises:
        ValueError: There are fewer than ``batch_size + 1`` tokens, or fewer streams than processes.
    """

    def __init__(
        self,
        tokens: Tokens,
        *,
        batch_size: int,
        seq_len: int,
        random_boundaries: bool = False,
        seed: int = 0,
        processes: Processes = ALONE,
    ) -> None:
        self.length = (len(tokens) - 1) // batch_size
        if self.length < 1:
            raise ValueError(
                f"{batch_size} streams need {batch_size + 1} tokens, got {len(tokens)}"
            )
        if batch_size < processes.count:
            raise ValueError(f"{processes.count} processes need as many streams, got {batch_size}")
        self.batch_size = batch_size
        self.seq_len = self.window = seq_len
        self.random_boundaries = random_boundaries
        self.seed = seed
        step = tokens.strides[0]
        # Row i is tokens[i L : (i + 1) L + 1]: the last input's target is the next row's start.
        rows: Tokens = np.lib.stride_tricks.as_strided(
            tokens,
            shape=(batch_size, self.length + 1),
            strides=(self.length * step, step),
            writeable=False,
        )
        self._rows = rows[processes.part(batch_size)]

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

    def batch(self, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of one chunk of this process's streams.

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
            yield self.batch(epoch, index)


class Buckets:
    """Batches of whole sequences of similar length.

    An epoch shuffles the sequences, sorts them by length within groups of some fifty batches, cuts
    these into batches and shuffles the batches. So rows of a batch end near each other, and which
    sequences meet changes from epoch to epoch. The order depends on seed and epoch alone.

    Args:
        lengths: Length of each sequence, one or more.
        fetch: Makes a batch of sequences given by number. Its second argument draws what is random
            about it (augmentation, noise); it is the same whenever the batch is asked for.
        batch_size: Sequences of a batch, of all processes together; an epoch's last may have fewer.
        seed: Seed of the order and of what ``fetch`` draws.
        processes: Each has its share of every batch.

    Raises:
        ValueError: There is no sequence.
    """

    window: int | None = None

    GROUP = 50
    """Batches within which sequences are sorted by length."""

    def __init__(
        self,
        lengths: npt.ArrayLike,
        fetch: Callable[[Indices, np.random.Generator], Any],
        *,
        batch_size: int,
        seed: int = 0,
        processes: Processes = ALONE,
    ) -> None:
        self.lengths: Indices = np.asarray(lengths, np.int64)
        if not len(self.lengths):
            raise ValueError("expected one sequence or more, got none")
        self.batch_size, self.seed, self.processes = batch_size, seed, processes
        self._fetch = fetch
        self._order: tuple[int, list[Indices]] | None = None

    def count(self, epoch: int) -> int:
        """Number of batches in an epoch."""
        return -(-len(self.lengths) // self.batch_size)

    def indices(self, epoch: int, index: int) -> Indices:
        """Numbers of the sequences of a whole batch, the longest first."""
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, self._shuffled(epoch)
        return self._order[1][index]

    def batch(self, epoch: int, index: int) -> Any:
        """This process's share of a batch; None where it has fewer sequences than processes."""
        rank, count = self.processes.rank, self.processes.count
        mine = self.indices(epoch, index)[rank::count]  # every share has long and short ones
        if not len(mine):
            return None
        # 1 +: numbers that end in zeros would be those that the order is drawn with
        draw = np.random.default_rng([self.seed, epoch, 1 + index, rank])
        return self._fetch(mine, draw)

    def _shuffled(self, epoch: int) -> list[Indices]:
        draw = np.random.default_rng([self.seed, epoch])
        order: Indices = draw.permutation(len(self.lengths))
        group = self.GROUP * self.batch_size
        for start in range(0, len(order), group):
            part = order[start : start + group]
            part[:] = part[np.argsort(-self.lengths[part], kind="stable")]
        cuts = range(self.batch_size, len(order), self.batch_size)
        batches = np.split(order, cuts)
        return [batches[place] for place in draw.permutation(len(batches))]


class Repeated:
    """The same batch at every update.

    Args:
        batch: The batch.
    """

    window: int | None = None

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def count(self, epoch: int) -> int:
        """One."""
        return 1

    def batch(self, epoch: int, index: int) -> Any:
        """The batch."""
        return self._batch


class Drawn:
    """Batches that are drawn anew for every update, and so never end.

    Args:
        draw: Draws one. Batches are drawn in order and once: such a training is not resumed.
    """

    window: int | None = None

    def __init__(self, draw: Callable[[], Any]) -> None:
        self._draw = draw

    def count(self, epoch: int) -> int:
        """One."""
        return 1

    def batch(self, epoch: int, index: int) -> Any:
        """The next batch."""
        return self._draw()
