"""The CPU engine: the loop over time by our own kernels, gradients of weights by torch's products.

Forward is one pass over time, the input products of a block of steps at a time. Backward is one
pass that leaves the adjoints of all products, from which the gradients of all weights follow by
large matrix products. Everything is time-major inside.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from .. import _cpu
from ..weights import Weights

INSTRUCTION_SETS: tuple[str, ...] = tuple(_cpu.instruction_sets())
"""What this processor runs, the fastest first."""

P = ParamSpec("P")
R = TypeVar("R")

_forked = False


def _after_fork() -> None:
    """An OpenMP runtime's threads do not survive a fork; a child computes on its own thread."""
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


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


def threads() -> int:
    """Threads that a call uses at most: torch's own setting."""
    return 1 if _forked else torch.get_num_threads()


def _alone_after_fork(function: Callable[P, R]) -> Callable[P, R]:
    """In a forked child torch's matrix products wait for threads that are gone: use one."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if not _forked:
            return function(*args, **kwargs)
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return function(*args, **kwargs)
        finally:
            torch.set_num_threads(before)

    return run


class _Geometry:
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
        return self.tape(len(self._layout.tape))

    @property
    def delta_width(self) -> int:
        return self.delta(len(self._layout.delta))


def _strided(sequence: Tensor) -> tuple[int, int, int]:
    """A time-major sequence as the kernels take it."""
    return sequence.data_ptr(), sequence.stride(0), sequence.stride(1)


_NOTHING = (0, 0, 0)


def _time_major(sequence: Tensor, batch_first: bool) -> Tensor:
    return sequence.transpose(0, 1) if batch_first else sequence


@_alone_after_fork
def forward(
    program: str,
    isa: str,
    x: Tensor,
    initial: Sequence[Tensor],
    weights: Sequence[Weights],
    lengths: Tensor | None,
    batch_first: bool,
    save: bool,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """One layer, all directions.

    Args:
        program: the program's name.
        isa: instruction set.
        x: ``[T, N, input_size]``, or ``[N, T, input_size]`` with ``batch_first``; float32.
        initial: for each state ``[directions, N, ·]``.
        weights: for each direction.
        lengths: ``[N]``, integers of 0...T, on the CPU, or None.
        batch_first: the order of x's dimensions, and of the output's.
        save: whether to return what `backward` needs.

    Returns:
        The output; the last value of each state ``[directions, N, ·]``; for each direction the tape
        (none unless ``save``).
    """
    layout = layouts()[program]
    sequence = _time_major(x, batch_first)
    size = _Geometry(layout, weights[0], sequence)
    if sequence.stride(-1) != 1:
        sequence = sequence.contiguous()
    shape = (size.rows, size.steps) if batch_first else (size.steps, size.rows)
    output = x.new_empty(*shape, len(weights) * size.output)
    lengths = _plain(lengths)
    initial = [state.contiguous() for state in initial]
    last = [torch.empty_like(state) for state in initial]
    tapes = []
    for d, own in enumerate(weights):
        tape = x.new_empty(size.steps, size.rows, size.tape_width if save else 0)
        biases = _biases(layout, own)
        matrices = _matrices(layout, own)
        input_weights = own.input.contiguous()
        part = output[..., d * size.output : (d + 1) * size.output]
        _cpu.call(
            isa=isa,
            name=program,
            mode="forward" if save else "inference",
            descending=d == 1,
            steps=size.steps,
            rows=size.rows,
            hidden=size.hidden,
            projected=size.output,
            lengths=0 if lengths is None else lengths.data_ptr(),
            threads=threads(),
            tape=_strided(tape),
            output=_strided(_time_major(part, batch_first)),
            initial=[state[d].data_ptr() for state in initial],
            last=[state[d].data_ptr() for state in last],
            matrices=[matrix.data_ptr() for matrix in matrices],
            biases=0 if biases is None else biases.data_ptr(),
            input=_strided(sequence),
            input_size=int(sequence.shape[2]),
            input_weights=input_weights.data_ptr(),
            gradient=_NOTHING,
            gradient_last=[],
            delta=_NOTHING,
        )
        if save:
            tapes.append(tape)
    return output, last, tapes


def _plain(lengths: Tensor | None) -> Tensor | None:
    """Lengths as the kernels read them: 64-bit integers, side by side."""
    return None if lengths is None else lengths.to(torch.int64).contiguous()


def _matrices(layout: Layout, own: Weights) -> list[Tensor]:
    """The matrices inside the step, in the kernel's order."""
    tensors = {"U": own.recurrent, "P": own.projection}
    found = [tensors[name] for name in layout.matrix_runs]
    return [tensor.contiguous() for tensor in found if tensor is not None]


def _biases(layout: Layout, own: Weights) -> Tensor | None:
    """Biases as the kernel takes them: one for each gate, then those that are apart.

    Where the step sees only the sum of two products, the recurrent bias joins the gate's.
    """
    if own.input_bias is None or own.recurrent_bias is None:
        return None
    gates = own.input_bias.view(layout.gates, -1)
    recurrent = own.recurrent_bias.view(-1, gates.shape[1])
    biases = torch.cat([gates, recurrent[list(layout.biases)]])
    for row, gate in layout.folded:
        biases[gate] += recurrent[row]
    return biases


@_alone_after_fork
def backward(
    program: str,
    isa: str,
    gradient: Tensor | None,
    gradient_last: Sequence[Tensor | None],
    x: Tensor,
    initial: Sequence[Tensor],
    weights: Sequence[Weights],
    lengths: Tensor | None,
    output: Tensor,
    tapes: Sequence[Tensor],
    batch_first: bool,
    need_x: bool,
) -> tuple[Tensor | None, list[Tensor], list[Weights]]:
    """Gradients of `forward`, given those of its output and last states (None where zero).

    Returns:
        The gradients of x (None unless ``need_x``), of the initial states, and of the weights.
    """
    layout = layouts()[program]
    sequence = _time_major(x, batch_first)
    size = _Geometry(layout, weights[0], sequence)
    flat = _flat(sequence)
    outputs = _time_major(output, batch_first)
    if gradient is None:
        gradients = outputs.new_zeros(outputs.shape[-1]).expand(outputs.shape)
    else:
        gradients = _time_major(gradient, batch_first)
        if gradients.stride(-1) != 1:
            gradients = gradients.contiguous()
    lengths = _plain(lengths)
    initial = [state.contiguous() for state in initial]
    incoming = [None if g is None else g.contiguous() for g in gradient_last]
    gradient_initial = [torch.empty_like(state) for state in initial]
    gradient_weights = []
    gradient_flat = (
        torch.empty_like(flat, memory_format=torch.contiguous_format) if need_x else None
    )
    for d, (own, tape) in enumerate(zip(weights, tapes, strict=True)):
        part = slice(d * size.output, (d + 1) * size.output)
        matrices = _matrices(layout, own)
        delta = x.new_empty(size.steps, size.rows, size.delta_width)
        _cpu.call(
            isa=isa,
            name=program,
            mode="backward",
            descending=d == 1,
            steps=size.steps,
            rows=size.rows,
            hidden=size.hidden,
            projected=size.output,
            lengths=0 if lengths is None else lengths.data_ptr(),
            threads=threads(),
            tape=_strided(tape),
            output=_strided(outputs[..., part]),
            initial=[state[d].data_ptr() for state in initial],
            last=[state[d].data_ptr() for state in gradient_initial],
            matrices=[matrix.data_ptr() for matrix in matrices],
            biases=0,
            input=_NOTHING,
            input_size=0,
            input_weights=0,
            gradient=_strided(gradients[..., part]),
            gradient_last=[0 if g is None else g[d].data_ptr() for g in incoming],
            delta=_strided(delta),
        )
        if gradient_flat is not None:
            _add_input_gradient(layout, size, own, delta, gradient_flat, first=d == 0)
        states = [outputs[..., part], *(_kept(layout, size, tape, k) for k in layout.kept[1:])]
        gradient_weights.append(
            _weight_gradients(
                layout,
                size,
                own,
                delta,
                flat,
                tape,
                states,
                [state[d] for state in initial],
                lengths,
                descending=d == 1,
            )
        )
    gradient_x = None
    if gradient_flat is not None:
        gradient_x = _time_major(gradient_flat.view(sequence.shape), batch_first)
    return gradient_x, gradient_initial, gradient_weights


def _kept(layout: Layout, size: _Geometry, tape: Tensor, slot: int) -> Tensor | None:
    """The sequence of a state other than the output, where it is on the tape."""
    if slot < 0:
        return None
    start = size.tape(slot)
    return tape[..., start : start + size.tape(slot + 1) - start]


def _add_input_gradient(
    layout: Layout, size: _Geometry, own: Weights, delta: Tensor, to: Tensor, first: bool
) -> None:
    """Gradient of x: the adjoints of the gates, times W."""
    flat = _flat(delta)
    for slot, row, count in layout.gate_runs:
        adjoint = flat[:, size.delta(slot) : size.delta(slot + count)]
        rows = own.input[row * size.hidden : (row + count) * size.hidden]
        if first:
            torch.mm(adjoint, rows, out=to)
        else:
            to.addmm_(adjoint, rows)
        first = False


def _weight_gradients(
    layout: Layout,
    size: _Geometry,
    own: Weights,
    delta: Tensor,
    x: Tensor,
    tape: Tensor,
    states: Sequence[Tensor | None],
    initial: Sequence[Tensor],
    lengths: Tensor | None,
    descending: bool,
) -> Weights:
    """Gradients of all weights of one direction: adjoints of the products, times their operands."""
    flat = _flat(delta)
    sums = flat.sum(0)
    gradient_input = torch.empty_like(own.input, memory_format=torch.contiguous_format)
    gradient_bias = None if own.input_bias is None else torch.empty_like(own.input_bias)
    for slot, row, count in layout.gate_runs:
        columns = slice(size.delta(slot), size.delta(slot + count))
        rows = slice(row * size.hidden, (row + count) * size.hidden)
        torch.mm(flat[:, columns].t(), x, out=gradient_input[rows])
        if gradient_bias is not None:
            gradient_bias[rows] = sums[columns]

    tensors = {"U": own.recurrent, "P": own.projection}
    found: dict[str, Tensor] = {}
    gradient_recurrent_bias = None
    if own.recurrent_bias is not None:
        gradient_recurrent_bias = torch.empty_like(own.recurrent_bias)
    for name, operands in layout.matrix_runs.items():
        matrix = tensors[name]
        assert matrix is not None
        found[name] = torch.empty_like(matrix, memory_format=torch.contiguous_format)
        for operand in operands:
            for slot, row, count in operand["runs"]:
                columns = slice(size.delta(slot), size.delta(slot + count))
                height = (columns.stop - columns.start) // count
                rows = slice(row * height, (row + count) * height)
                adjoint = delta[..., columns]
                if operand["place"] == "previous":
                    of = states[operand["index"]]
                    assert of is not None
                    before = initial[operand["index"]]
                    _multiply_previous(
                        adjoint, of, before, lengths, descending, to=found[name][rows]
                    )
                else:
                    of = states[0]
                    if operand["place"] == "tape":
                        of = _kept(layout, size, tape, operand["index"])
                    assert of is not None
                    torch.mm(_flat(adjoint).t(), _flat(of), out=found[name][rows])
                if name == "U" and gradient_recurrent_bias is not None:
                    gradient_recurrent_bias[rows] = sums[columns]
    return Weights(
        gradient_input,
        found["U"] if "U" in found else torch.zeros_like(own.recurrent),
        gradient_bias,
        gradient_recurrent_bias,
        found.get("P"),
    )


def _flat(sequence: Tensor) -> Tensor:
    """``[T, N, ·]`` as ``[T * N, ·]``, copied only where its strides leave no other way."""
    return sequence.flatten(0, 1)


def _multiply_previous(
    adjoint: Tensor,
    state: Tensor,
    initial: Tensor,
    lengths: Tensor | None,
    descending: bool,
    to: Tensor,
) -> None:
    """``to`` = sum over steps of the adjoint times the state before that step."""
    if adjoint.shape[0] == 0:
        to.zero_()
        return
    if descending:
        torch.mm(_flat(adjoint[:-1]).t(), _flat(state[1:]), out=to)
        if lengths is None:
            start = adjoint[-1]
        else:  # each row begins at its own end
            last = (lengths - 1).clamp(min=0)
            start = adjoint[last, torch.arange(adjoint.shape[1])]
    else:
        torch.mm(_flat(adjoint[1:]).t(), _flat(state[:-1]), out=to)
        start = adjoint[0]
    to.addmm_(start.t(), initial)
