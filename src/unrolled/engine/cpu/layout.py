"""How tensors are handed to the kernels: pointers, sizes and strides."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .. import _cpu
from ..weights import Weights

TAPES: dict[str, tuple[str, ...]] = {
    plan["name"]: tuple(plan["tape"]) for plan in map(json.loads, _cpu.plans())
}
"""For every program that has kernels the vectors of its tape, each named by its size."""

SLICES = 0
"""Threads that share the units of a row; 0 leaves it to the kernels."""

_LARGE = 2**22
"""Bytes from which on an array is worth large pages."""


def tape_width(program: str, weights: Weights) -> int:
    """Floats that forward leaves for backward, for each step of a row."""
    sizes = {"hidden": weights.hidden_size, "projected": weights.output_size}
    return sum(sizes[vector] for vector in TAPES[program])


def fresh(like: Tensor, *shape: int) -> Tensor:
    """An array that is to be written for the first time; a large one in large pages."""
    found = like.new_empty(shape)
    if found.nbytes >= _LARGE:
        _cpu.advise(found.data_ptr(), found.nbytes)
    return found


def time_major(sequence: Tensor, batch_first: bool) -> Tensor:
    """The sequence with its steps in the first dimension."""
    return sequence.transpose(0, 1) if batch_first else sequence


def strided(sequence: Tensor) -> tuple[int, int, int]:
    """A time-major sequence as the kernels take it."""
    return sequence.data_ptr(), sequence.stride(0), sequence.stride(1)


def pointer(tensor: Tensor | None) -> int:
    """Where a tensor begins; 0 if there is none."""
    return 0 if tensor is None else tensor.data_ptr()


def side_by_side(sequence: Tensor) -> Tensor:
    """The sequence with the features of a step side by side, as the kernels read them."""
    return sequence if sequence.stride(-1) == 1 else sequence.contiguous()


def plain(lengths: Tensor | None) -> Tensor | None:
    """Lengths as the kernels read them: 64-bit integers, side by side."""
    return None if lengths is None else lengths.to(torch.int64).contiguous()


def contiguous(weights: Weights) -> Weights:
    """Weights as the kernels read them."""
    return Weights(
        weights.input.contiguous(),
        weights.recurrent.contiguous(),
        *(None if tensor is None else tensor.contiguous() for tensor in weights[2:]),
    )


def zeros_like(weights: Weights) -> Weights:
    """Where gradients are to be added."""
    return Weights(
        torch.zeros_like(weights.input),
        torch.zeros_like(weights.recurrent),
        *(None if tensor is None else torch.zeros_like(tensor) for tensor in weights[2:]),
    )


def arguments(
    program: str,
    isa: str,
    threads: int,
    descending: bool,
    x: Tensor,
    lengths: Tensor | None,
    weights: Weights,
    reset: Tensor | None,
    anew: Sequence[Tensor],
) -> dict[str, Any]:
    """What forward and backward have in common; whoever calls keeps the tensors alive."""
    return {
        "isa": isa,
        "name": program,
        "descending": descending,
        "steps": x.shape[0],
        "rows": x.shape[1],
        "hidden": weights.hidden_size,
        "projected": weights.output_size,
        "threads": threads,
        "slices": SLICES,
        "lengths": pointer(lengths),
        "input": strided(x),
        "input_size": x.shape[2],
        "input_weights": weights.input.data_ptr(),
        "input_bias": pointer(weights.input_bias),
        "recurrent_bias": pointer(weights.recurrent_bias),
        "matrices": matrices(weights),
        "reset": (0, 0, 0) if reset is None else strided(reset),
        "anew": [state.data_ptr() for state in anew] if reset is not None else [],
    }


def matrices(weights: Weights) -> list[int]:
    """The matrices inside the step, in the kernels' order."""
    found = [weights.recurrent.data_ptr()]
    if weights.projection is not None:
        found.append(weights.projection.data_ptr())
    return found
