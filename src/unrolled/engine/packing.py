"""Sequences of different lengths: packed, padded, masked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence


class Packing:
    """How the rows of a `PackedSequence` lie in a padded batch, longest sequence first.

    Attributes:
        lengths: ``[N]``, int64 on the data's device, in the packed (sorted) order.
    """

    def __init__(self, packed: PackedSequence) -> None:
        sizes = packed.batch_sizes
        self._packed = packed
        self._steps, self._rows = len(sizes), int(sizes[0])
        present = torch.arange(
            self._rows, dtype=torch.int64, device=sizes.device
        ) < sizes.unsqueeze(-1)  # [T, N]
        device = packed.data.device
        self.lengths = present.sum(0).to(device)
        self._places = present.flatten().nonzero().squeeze(-1).to(device)
        self._full = len(self._places) == self._steps * self._rows

    def pad(self, data: Tensor) -> Tensor:
        """``[total, ·]`` to ``[T, N, ·]``, zero where a sequence has ended."""
        if not self._full:
            padded = data.new_zeros(self._steps * self._rows, data.shape[-1])
            data = padded.index_copy(0, self._places, data)
        return data.reshape(self._steps, self._rows, data.shape[-1])

    def pack(self, padded: Tensor) -> Tensor:
        """``[T, N, ·]`` to ``[total, ·]``."""
        flat = padded.flatten(0, 1)
        return flat if self._full else flat.index_select(0, self._places)

    def like(self, padded: Tensor) -> PackedSequence:
        """A packed sequence of ``[T, N, ·]``, in the same order as the one given."""
        packed = self._packed
        return PackedSequence(
            self.pack(padded), packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices
        )

    def sort(self, states: Sequence[Tensor]) -> list[Tensor]:
        """States ``[·, N, ·]`` from the caller's order to the packed one."""
        return permute(states, self._packed.sorted_indices)

    def unsort(self, states: list[Tensor]) -> list[Tensor]:
        """States ``[·, N, ·]`` from the packed order to the caller's."""
        return permute(states, self._packed.unsorted_indices)


def rows_of(packed: PackedSequence) -> int:
    """How many sequences are packed; while torch.jit.trace records, a tensor that it can follow."""
    rows: Any = packed.batch_sizes[0]
    return rows if torch._C._get_tracing_state() is not None else int(rows)


def permute(states: Sequence[Tensor], order: Tensor | None) -> list[Tensor]:
    """States ``[·, N, ·]`` with their rows in another order; None leaves them as they are."""
    if order is None:
        return list(states)
    return [state.index_select(1, order) for state in states]


def mask_padding(x: Tensor, lengths: Tensor, batch_first: bool) -> Tensor:
    """Put zeros after each row's end, whatever stood there; no gradient reaches them."""
    steps = torch.arange(x.shape[1 if batch_first else 0], dtype=torch.int64, device=x.device)
    ended = steps >= lengths.unsqueeze(-1)
    if not batch_first:
        ended = ended.transpose(0, 1)
    return x.masked_fill(ended.unsqueeze(-1), 0)


def run_packed(
    run: Callable[[PackedSequence, Sequence[Tensor] | None], tuple[PackedSequence, list[Tensor]]],
    x: Tensor,
    initial: Sequence[Tensor] | None,
    lengths: Tensor,
    batch_first: bool,
) -> tuple[Tensor, list[Tensor]]:
    """Run what knows packed sequences only on a padded batch with lengths.

    A packed sequence cannot be empty: a row of length zero is run for one step of zeros from a
    zero state, and then gets output zero and its own initial state back.

    Args:
        run: takes a packed sequence and the initial states.
        x: a batch whose padding is zero; neither T nor N is zero.
        initial: for each state ``[·, N, ·]``, or None for zeros.
        lengths: ``[N]``, int64 on x's device.
        batch_first: the order of x's dimensions.
    """
    empty = (lengths == 0).unsqueeze(-1)
    started = initial
    if initial is not None:
        started = [state.masked_fill(empty, 0) for state in initial]
    packed = pack_padded_sequence(
        x, lengths.clamp(min=1).cpu(), batch_first=batch_first, enforce_sorted=False
    )
    packed_output, last = run(packed, started)
    steps = x.shape[1 if batch_first else 0]
    output, _ = pad_packed_sequence(packed_output, batch_first=batch_first, total_length=steps)
    output = output.masked_fill(empty.unsqueeze(1 if batch_first else 0), 0)
    last = [state.masked_fill(empty, 0) for state in last]
    if initial is not None:
        last = [torch.where(empty, a, b) for a, b in zip(initial, last, strict=True)]
    return output, last
