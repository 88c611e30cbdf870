"""Noise that needs no memory: every number of a mask is a hash of where it stands.

Backward, a checkpointed segment and another engine find the same mask again, and none is stored.
All is arithmetic of unsigned integers of 32 bits (modulo 2^32), so that every engine computes the
same to the bit.

``mix(v)``, a bijection that spreads every bit over all others::

    v ^= v >> 16;  v *= 0x7feb352d;  v ^= v >> 15;  v *= 0x846ca68b;  v ^= v >> 16

The number of unit u (0, 1, …) in row n of the batch, at step t, of mask m in direction d::

    key = 0
    for word in (seed mod 2^32, seed >> 32, 2 * m + d, t, n):
        key = mix((key + 0x9e3779b9) ^ word)
    number = mix(key ^ (u * 0x9e3779b9)) >> 8

It is uniform from 0 to 2^24 - 1. m is the mask's place in `Program.masks`; d is 0 for the forward
direction and 1 for the reverse one; t counts steps in the order of the sequence, whatever the
direction, and is 0 for a mask that is the same at all of them; n is the row in the batch as the
layer's caller has it; the seed is a number of 64 bits. A mask with rate p has its event where

    number < round(p * 2^24)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..compiler.program import Mask, Program, Space, Symbol

_BITS = 0xFFFFFFFF
_GOLDEN = 0x9E3779B9


class Noise(NamedTuple):
    """The noise of one layer's call.

    Attributes:
        seed: one integer of 64 bits, ``[1]``; None for evaluation, where masks are their means.
        rates: for each of the program's masks its probability p.
    """

    seed: Tensor | None
    rates: tuple[float, ...]

    def masks(
        self,
        program: Program,
        t: int,
        direction: int,
        rows: int,
        sizes: dict[Space, int],
        like: Tensor,
    ) -> dict[Symbol, Tensor]:
        """The values of all masks at one step, ``[N, ·]``, of a tensor's dtype and device."""
        return {
            mask.symbol: self._value(number, mask, t, direction, rows, sizes, like)
            for number, mask in enumerate(program.masks)
        }

    def _value(
        self,
        number: int,
        mask: Mask,
        t: int,
        direction: int,
        rows: int,
        sizes: dict[Space, int],
        like: Tensor,
    ) -> Tensor:
        rate, units = self.rates[number], sizes[mask.symbol.space]
        if self.seed is None:
            return like.new_full((rows, units), mask.mean(rate))
        words = (2 * number + direction, t if mask.every_step else 0)
        found = event(self.seed.to(like.device), words, rows, units, rate)
        if not mask.scaled:
            return found.to(like.dtype)
        return (~found).to(like.dtype) * (1 / (1 - rate) if rate < 1 else 0.0)


QUIET = Noise(None, ())
"""That of a program without masks."""


def event(seed: Tensor, words: Sequence[int], rows: int, units: int, rate: float) -> Tensor:
    """Where something of probability ``rate`` happens: bools ``[rows, units]``."""
    return numbers(seed, words, rows, units) < round(rate * 2**24)


def numbers(seed: Tensor, words: Sequence[int], rows: int, units: int) -> Tensor:
    """Uniform integers of 24 bits, ``[rows, units]``, for a seed ``[1]`` and what follows it."""
    key = torch.zeros_like(seed)
    before: list[Tensor | int] = [seed & _BITS, (seed >> 32) & _BITS, *words]
    for word in before:
        key = _mix(((key + _GOLDEN) & _BITS) ^ word)
    row = torch.arange(rows, dtype=torch.int64, device=seed.device).unsqueeze(-1)
    key = _mix(((key + _GOLDEN) & _BITS) ^ row)
    unit = torch.arange(units, dtype=torch.int64, device=seed.device)
    return _mix(key ^ ((unit * _GOLDEN) & _BITS)) >> 8


def _mix(value: Tensor) -> Tensor:
    """The finaliser, of numbers of 32 bits in int64, whose overflow wraps."""
    value = value ^ (value >> 16)
    value = (value * 0x7FEB352D) & _BITS
    value = value ^ (value >> 15)
    value = (value * 0x846CA68B) & _BITS
    return value ^ (value >> 16)
