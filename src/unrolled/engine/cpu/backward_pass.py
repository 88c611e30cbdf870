"""Backward: a block of steps at a time, the loop first and then the gradients of the weights.

The adjoints of a block stay in the cache until the large matrix products that sum them up have
been done, and nothing of the sequence's full length is allocated but the gradient of x.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import torch
from torch import Tensor

from .. import _cpu
from ..weights import Weights
from .layout import (
    NOTHING,
    Geometry,
    Layout,
    flat,
    fresh,
    layouts,
    matrices_of,
    plain,
    strided,
    time_major,
)
from .parallel import alone_after_fork, threads

_BLOCK = 2**21
"""Adjoints of one block, in floats (8 MiB): a good part of a last-level cache."""


@alone_after_fork
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
    sequence = time_major(x, batch_first)
    size = Geometry(layout, weights[0], sequence)
    outputs = time_major(output, batch_first)
    if gradient is None:
        gradients = outputs.new_zeros(outputs.shape[-1]).expand(outputs.shape)
    else:
        gradients = time_major(gradient, batch_first)
        if gradients.stride(-1) != 1:
            gradients = gradients.contiguous()
    lengths = plain(lengths)
    initial = [state.contiguous() for state in initial]
    incoming = [None if g is None else g.contiguous() for g in gradient_last]
    gradient_initial = [torch.empty_like(state) for state in initial]
    gradient_x = x.new_zeros(sequence.shape) if need_x else None
    gradient_weights = []
    for d, (own, tape) in enumerate(zip(weights, tapes, strict=True)):
        part = slice(d * size.output, (d + 1) * size.output)
        states = [outputs[..., part], *(_kept(size, tape, slot) for slot in layout.kept[1:])]
        direction = _Direction(
            layout, size, own, sequence, states, [s[d] for s in initial], tape, lengths, d == 1
        )
        matrices = matrices_of(layout, own)
        for block in direction.blocks():
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
                tape=strided(tape),
                output=strided(outputs[..., part]),
                initial=[state[d].data_ptr() for state in initial],
                last=[state[d].data_ptr() for state in gradient_initial],
                matrices=[matrix.data_ptr() for matrix in matrices],
                biases=0,
                input=NOTHING,
                input_size=0,
                input_weights=0,
                from_step=block.start,
                until_step=block.stop,
                gradient=strided(gradients[..., part]),
                gradient_last=[0 if g is None else g[d].data_ptr() for g in incoming],
                delta=direction.place(block),
            )
            direction.add(block, gradient_x)
        gradient_weights.append(direction.gradients)
    if gradient_x is not None:
        gradient_x = time_major(gradient_x, batch_first)
    return gradient_x, gradient_initial, gradient_weights


def _kept(size: Geometry, tape: Tensor, slot: int) -> Tensor | None:
    """The sequence of a state other than the output, where it is on the tape."""
    return None if slot < 0 else tape[..., size.tape(slot) : size.tape(slot + 1)]


def _zeros(like: Tensor) -> Tensor:
    return torch.zeros_like(like, memory_format=torch.contiguous_format)


class _Direction:
    """The adjoints of one direction, block by block, and the gradients that they sum up to.

    A layer that goes up in time has its last block first, and each of its steps reads the adjoints
    of the step after it; one that goes down, the other way round. So a block has room for one more
    step, at the side of the block before it.
    """

    def __init__(
        self,
        layout: Layout,
        size: Geometry,
        own: Weights,
        x: Tensor,
        states: Sequence[Tensor | None],
        initial: Sequence[Tensor],
        tape: Tensor,
        lengths: Tensor | None,
        descending: bool,
    ) -> None:
        self._layout, self._size, self._own = layout, size, own
        self._x, self._states, self._initial, self._tape = x, states, initial, tape
        self._lengths, self._descending = lengths, descending
        blocks = max(1, ceil(size.steps * size.rows * size.delta_width / _BLOCK))
        self._length = max(1, ceil(size.steps / blocks))
        self._delta = fresh(x, self._length + 1, size.rows, size.delta_width)
        self.gradients = Weights(
            _zeros(own.input),
            _zeros(own.recurrent),
            None if own.input_bias is None else _zeros(own.input_bias),
            None if own.recurrent_bias is None else _zeros(own.recurrent_bias),
            None if own.projection is None else _zeros(own.projection),
        )

    def blocks(self) -> list[range]:
        """Numbers of the steps of each block, in the order of going; one even if empty."""
        steps, length = self._size.steps, self._length
        return [range(i, min(i + length, steps)) for i in range(0, max(steps, 1), length)]

    def _times(self, block: range) -> tuple[int, int]:
        """The block in time: from, until."""
        steps = self._size.steps
        if self._descending:
            return block.start, block.stop
        return steps - block.stop, steps - block.start

    def place(self, block: range) -> tuple[int, int, int]:
        """Where the kernel leaves a block's adjoints, beside the one step that it reads."""
        delta, count = self._delta, len(block)
        start, _ = self._times(block)
        if block.start > 0:
            if self._descending:
                delta[0] = delta[self._length]
            else:
                delta[count] = delta[0]
        first = start - 1 if self._descending else start  # the time at the buffer's beginning
        pointer, step, row = strided(delta)
        return pointer - first * step * delta.element_size(), step, row

    def add(self, block: range, gradient_x: Tensor | None) -> None:
        """Add a block's part to the gradients, now that its adjoints are known."""
        layout, size, own = self._layout, self._size, self._own
        start, stop = self._times(block)
        if start == stop:
            return
        first = 1 if self._descending else 0
        delta = self._delta[first : first + stop - start]
        adjoints = flat(delta)
        sums = adjoints.sum(0)
        x = flat(self._x[start:stop])
        for slot, row, count in layout.gate_runs:
            columns = slice(size.delta(slot), size.delta(slot + count))
            rows = slice(row * size.hidden, (row + count) * size.hidden)
            self.gradients.input[rows].addmm_(adjoints[:, columns].t(), x)
            if self.gradients.input_bias is not None:
                self.gradients.input_bias[rows] += sums[columns]
            if gradient_x is not None:
                flat(gradient_x[start:stop]).addmm_(adjoints[:, columns], own.input[rows])
        tensors = {"U": self.gradients.recurrent, "P": self.gradients.projection}
        for name, operands in layout.matrix_runs.items():
            to = tensors[name]
            assert to is not None
            for operand in operands:
                for slot, row, count in operand["runs"]:
                    columns = slice(size.delta(slot), size.delta(slot + count))
                    height = (columns.stop - columns.start) // count
                    rows = slice(row * height, (row + count) * height)
                    self._add_product(to[rows], delta[..., columns], start, operand)
                    if name == "U" and self.gradients.recurrent_bias is not None:
                        self.gradients.recurrent_bias[rows] += sums[columns]

    def _add_product(
        self, to: Tensor, adjoint: Tensor, start: int, operand: dict[str, object]
    ) -> None:
        """``to`` += sum over a block's steps of the adjoint times the operand."""
        index = operand["index"]
        assert isinstance(index, int)
        stop = start + adjoint.shape[0]
        if operand["place"] == "previous":
            state = self._states[index]
            assert state is not None
            self._add_previous(to, adjoint, start, state, self._initial[index])
            return
        of = (
            self._states[0] if operand["place"] == "state" else _kept(self._size, self._tape, index)
        )
        assert of is not None
        to.addmm_(flat(adjoint).t(), flat(of[start:stop]))

    def _add_previous(
        self, to: Tensor, adjoint: Tensor, start: int, state: Tensor, initial: Tensor
    ) -> None:
        """The same, where the operand is a state before each step."""
        steps, stop = self._size.steps, start + adjoint.shape[0]
        if self._descending:
            until = min(stop, steps - 1)
            to.addmm_(flat(adjoint[: until - start]).t(), flat(state[start + 1 : until + 1]))
            if self._lengths is not None:  # each row begins at its own end
                begin = self._lengths - 1 - start
                here = (begin >= 0) & (begin < stop - start)
                rows = here.nonzero().flatten()
                to.addmm_(adjoint[begin[rows], rows].t(), initial[rows])
            elif stop == steps:
                to.addmm_(adjoint[-1].t(), initial)
        else:
            first = max(start, 1)
            to.addmm_(flat(adjoint[first - start :]).t(), flat(state[first - 1 : stop - 1]))
            if start == 0:
                to.addmm_(adjoint[0].t(), initial)
