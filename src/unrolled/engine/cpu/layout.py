"""Where the kernels find and leave things, and how tensors are handed to them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import _cpu
from ..weights import Weights


@dataclass(frozen=True)
class Layout:
    """Where a program's kernels find and leave things; see `unrolled.compiler.plan`."""

    tape: tuple[str, ...]
    delta: tuple[str, ...]
    kept: tuple[int, ...]
    gates: int
    gate_runs: tuple[tuple[int, int, int], ...]
    matrix_runs: dict[str, list[dict[str, Any]]]
    folded: tuple[tuple[int, int], ...]
    biases: tuple[int, ...]


def _read_layouts() -> dict[str, Layout]:
    found = {}
    for text in _cpu.plans():
        plan = json.loads(text)
        found[plan["name"]] = Layout(
            tape=tuple(plan["tape"]),
            delta=tuple(plan["delta"]),
            kept=tuple(plan["kept"]),
            gates=sum(count for _, _, count in plan["gate_runs"]),
            gate_runs=tuple(tuple(run) for run in plan["gate_runs"]),
            matrix_runs=plan["matrix_runs"],
            folded=tuple(tuple(pair) for pair in plan["folded"]),
            biases=tuple(plan["biases"]),
        )
    return found


_LAYOUTS = _read_layouts()


def layouts() -> dict[str, Layout]:
    """The layout of every program that has kernels, by name."""
    return _LAYOUTS


class Geometry:
    """Sizes of one call, and the offsets that follow from them."""

    def __init__(self, layout: Layout, weights: Weights, x: Tensor) -> None:
        self.steps, self.rows = int(x.shape[0]), int(x.shape[1])
        self.hidden, self.output = weights.hidden_size, weights.output_size
        self._layout = layout

    def _offset(self, slots: Sequence[str], slot: int) -> int:
        return sum(self.output if s == "projected" else self.hidden for s in slots[:slot])

    def tape(self, slot: int) -> int:
        """Where a slot of the tape begins."""
        return self._offset(self._layout.tape, slot)

    def delta(self, slot: int) -> int:
        """Where a slot of the delta begins."""
        return self._offset(self._layout.delta, slot)

    @property
    def tape_width(self) -> int:
        """Floats of one step of one row on the tape."""
        return self.tape(len(self._layout.tape))

    @property
    def delta_width(self) -> int:
        """The same, in the delta."""
        return self.delta(len(self._layout.delta))


_LARGE = 2**22
"""Bytes from which on an array is worth large pages."""


def fresh(like: Tensor, *shape: int) -> Tensor:
    """An array that is to be written for the first time; a large one in large pages."""
    found = like.new_empty(shape)
    if found.nbytes >= _LARGE:
        _cpu.advise(found.data_ptr(), found.nbytes)
    return found


def strided(sequence: Tensor) -> tuple[int, int, int]:
    """A time-major sequence as the kernels take it."""
    return sequence.data_ptr(), sequence.stride(0), sequence.stride(1)


NOTHING = (0, 0, 0)


def time_major(sequence: Tensor, batch_first: bool) -> Tensor:
    """The sequence with its steps in the first dimension."""
    return sequence.transpose(0, 1) if batch_first else sequence


def plain(lengths: Tensor | None) -> Tensor | None:
    """Lengths as the kernels read them: 64-bit integers, side by side."""
    return None if lengths is None else lengths.to(torch.int64).contiguous()


def matrices_of(layout: Layout, own: Weights) -> list[Tensor]:
    """The matrices inside the step, in the kernel's order."""
    tensors = {"U": own.recurrent, "P": own.projection}
    found = [tensors[name] for name in layout.matrix_runs]
    return [tensor.contiguous() for tensor in found if tensor is not None]


def flat(sequence: Tensor) -> Tensor:
    """``[T, N, ·]`` as ``[T * N, ·]``, copied only where its strides leave no other way."""
    return sequence.flatten(0, 1)
