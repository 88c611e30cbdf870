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
"""For every program that has kernels, the vectors of its tape, each named by its size.

`on_demand` adds those that it compiles."""

SLICES = 0
"""Threads that share the units of a row; 0 leaves it to the kernels."""

_LARGE = 2**22
"""Bytes from which on an array is worth large pages."""


def tape_width(program: str, weights: Weights) -> int:
    """Floats that forward leaves for backward, for each step of a row."""
    sizes = {"hidden": weights.hidden_size, "projected": weights.output_size}
    return sum(sizes[vector] for vector in TAPES[program])


def fresh(like: Tensor, *shape: int) -> Tensor:
    """A float32 array to be written for the first time; a large one in large pages."""
    found = like.new_empty(shape, dtype=torch.float32)
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


def contiguous(weights: Weights, dtype: torch.dtype) -> Weights:
    """Weights as the kernels read them: matrices of the products' dtype, biases of float32."""
    return Weights(
        weights.input.to(dtype).contiguous(),
        weights.recurrent.to(dtype).contiguous(),
        _in_float32(weights.input_bias),
        _in_float32(weights.recurrent_bias),
        None if weights.projection is None else weights.projection.to(dtype).contiguous(),
        _in_float32(weights.vectors),
        weights.hidden_size,
    )


def zeros_like(weights: Weights) -> Weights:
    """Where gradients are to be added, in float32."""
    return weights.map(lambda tensor: torch.zeros(tensor.shape))


def rounded_like(gradients: Weights, weights: Weights) -> Weights:
    """Gradients, each in the dtype of its parameter."""
    dtypes = iter([tensor.dtype for tensor in weights[:-1] if tensor is not None])
    return gradients.map(lambda tensor: tensor.to(next(dtypes)))


def states(tensors: Sequence[Tensor]) -> list[Tensor]:
    """States as the kernels read them."""
    return [tensor.to(torch.float32).contiguous() for tensor in tensors]


def _in_float32(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.to(torch.float32).contiguous()


def like(tensors: Sequence[Tensor], models: Sequence[Tensor]) -> list[Tensor]:
    """What the kernels found in float32, each in the dtype of its model."""
    return [tensor.to(model.dtype) for tensor, model in zip(tensors, models, strict=True)]


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
        "bfloat16": x.dtype == torch.bfloat16,
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
