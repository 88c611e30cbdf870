"""How tensors are handed to the kernels: pointers, sizes and strides."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import _cpu
from ..weights import Weights, program_named


class Tape(NamedTuple):
    """What forward leaves of one step of a row.

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

_LARGE = 2**22
"""Bytes from which on an array is worth large pages."""


def tape_width(program: str, weights: Weights) -> int:
    """Floats that forward leaves for backward, for each step of a row."""
    return sum(_widths(program, weights))


def exposed(program: str, weights: Weights, tape: Tensor) -> list[Tensor]:
    """The sequences on a tape ``[T, N, width]`` that the caller gets: views of it."""
    parts = tape.split(_widths(program, weights), dim=-1)  # type: ignore[no-untyped-call]
    return [parts[slot] for slot in TAPES[program].exposed]


def _widths(program: str, weights: Weights) -> list[int]:
    sizes = {"hidden": weights.hidden_size, "projected": weights.output_size}
    return [sizes[vector] for vector in TAPES[program].vectors]


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


def exact_input(program: str, x: Tensor) -> Tensor:
    """The input in float32, for a step in which it stands itself; else as it is."""
    return x.to(torch.float32) if program_named(program).reads_input else x


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


def without_heads(weights: Weights) -> Weights:
    """The same with U as whole matrices, zero outside of the blocks."""
    heads = weights.heads
    if heads == 1:
        return weights
    H, S = weights.hidden_size, weights.output_size
    blocks = weights.recurrent.reshape(-1, heads, H // heads, S // heads)
    whole = blocks.new_zeros(len(blocks), heads, H // heads, heads, S // heads)
    for k in range(heads):
        whole[:, k, :, k] = blocks[:, k]
    return weights._replace(recurrent=whole.reshape(-1, S))


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


def matrices(weights: Weights) -> list[int]:
    """The matrices inside the step, in the kernels' order."""
    given = [weights.recurrent, weights.projection]
    return [matrix.data_ptr() for matrix in given if matrix is not None and len(matrix) > 0]
