"""Tensors as the kernels take them: dtype, order in memory, order of dimensions.

What is handed on is a tensor; the module checks it once more, and takes its address.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import _cpu
from ..weights import Weights


class Tape(NamedTuple):
    """Vectors that forward leaves of one step of a row.

    Attributes:
        vectors: each named by its size.
        exposed: those that the caller gets.
    """

    vectors: tuple[str, ...]
    exposed: tuple[int, ...]

    @classmethod
    def of(cls, plan: Mapping[str, Any]) -> Tape:
        """That of a plan, given as plain values."""
        return cls(tuple(plan["tape"]), tuple(plan["exposed"]))


TAPES: dict[str, Tape] = {plan["name"]: Tape.of(plan) for plan in map(json.loads, _cpu.plans())}
"""Of every program that has kernels; `on_demand` adds those that it compiles."""

SLICES = 0
"""Threads that share the units of a row; 0 leaves it to the kernels."""

BLOCK = 0
"""Steps whose adjoints are held at a time; 0 leaves it to the kernels."""

_LARGE = 2**22
"""Bytes from which on an array is worth large pages."""


def tape_width(program: str, hidden: int, output: int) -> int:
    """Floats that forward leaves for backward, for each step of a row: of H units, S outputs."""
    return sum(_widths(program, hidden, output))


def exposed(program: str, weights: Weights, tape: Tensor) -> list[Tensor]:
    """The sequences on a tape ``[T, N, width]`` that the caller gets: views of it."""
    widths = _widths(program, weights.hidden_size, weights.output_size)
    parts = tape.split(widths, dim=-1)  # type: ignore[no-untyped-call]
    return [parts[slot] for slot in TAPES[program].exposed]


def _widths(program: str, hidden: int, output: int) -> list[int]:
    sizes = {"hidden": hidden, "projected": output}
    return [sizes[vector] for vector in TAPES[program].vectors]


def fresh(like: Tensor, *shape: int) -> Tensor:
    """A float32 array to be written for the first time; a large one in large pages."""
    found = like.new_empty(shape, dtype=torch.float32)
    if found.nbytes >= _LARGE:
        _cpu.advise(found)
    return found


def time_major(sequence: Tensor, batch_first: bool) -> Tensor:
    """The sequence with its steps in the first dimension."""
    return sequence.transpose(0, 1) if batch_first else sequence


def side_by_side(sequence: Tensor) -> Tensor:
    """The sequence with the features of a step side by side, as the kernels read them."""
    return _readable(sequence if sequence.stride(-1) == 1 else sequence.contiguous())


def zeros(like: Tensor, *shape: int) -> Tensor:
    """A float32 array of zeros, written by this thread alone.

    torch shares the work among threads, and on a busy machine waits for them a thousand times
    longer than the writing takes.
    """
    if prod(shape) < _SHARED_BY_TORCH:
        return like.new_zeros(shape, dtype=torch.float32)
    found = like.new_empty(shape, dtype=torch.float32)
    found.numpy().fill(0)
    return found


_SHARED_BY_TORCH = 2**15
"""Numbers from which on torch writes with several threads."""


def exact(tensor: Tensor) -> Tensor:
    """Numbers as the kernels read them where nothing is rounded: float32, contiguous."""
    # To ask costs a tenth of what a conversion costs that has nothing to do.
    if tensor.dtype != torch.float32:
        tensor = tensor.to(torch.float32)
    return _readable(tensor if tensor.is_contiguous() else tensor.contiguous())


def _readable(tensor: Tensor) -> Tensor:
    """The tensor with the numbers that it stands for in memory, at an address that fits them.

    A view may only promise to negate; a tensor made of somebody else's bytes may begin anywhere.
    """
    if tensor.is_neg():
        return tensor.resolve_neg()
    return tensor.clone() if tensor.data_ptr() % tensor.itemsize else tensor


def like(tensors: Sequence[Tensor], models: Sequence[Tensor]) -> list[Tensor]:
    """Results of the kernels, which are float32, each in the dtype of its model."""
    pairs = zip(tensors, models, strict=True)
    return [t if t.dtype == model.dtype else t.to(model.dtype) for t, model in pairs]


def matrices(weights: Weights) -> list[Tensor]:
    """The matrices inside the step, in the kernels' order."""
    given = [weights.recurrent, weights.projection]
    return [matrix for matrix in given if matrix is not None and len(matrix) > 0]
