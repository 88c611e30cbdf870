"""A layer fed one step after the other, its state kept in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..engine.stream import Steps, row_numbers
from .checks import Expected, check_states

Array = TypeVar("Array", np.ndarray, Tensor)
"""A NumPy array or a tensor: what comes out is of the kind that went in."""

Rows = Sequence[int] | np.ndarray | Tensor
"""Numbers of some rows of a stream: distinct, in any order; arrays and tensors are of int64."""


class Stream:
    """A layer as a machine that takes one step at a time, in microseconds and constant memory.

    Made by a layer's ``stream`` method. A call is one step of all layers:

        >>> stream = GRU(64, 128).stream()
        >>> y = stream(np.zeros(64, np.float32))
        >>> y.shape
        (128,)

    The numbers are the layer's in evaluation mode (dropout is not applied), on the kernels to the
    bit. The weights are copied when the stream is made: training the layer further does not change
    it.

    A stream of many rows (``batch_size``) may step all of them or, with `step_rows`, only some. On
    the kernels a row gets the same bits whichever rows step with it.

    A step allocates nothing: **it returns the same array every time, which the next step
    overwrites.** Copy it, or give an ``out``, to keep it. No gradient flows through a stream.

    A stream runs on the thread that calls it, and belongs to one thread at a time; clones are
    independent of each other. The kernels run float32 on the CPU; any other dtype or device is run
    by a plain loop in torch operations, which has the same interface and none of the speed.

    Shape:
        N rows (``batch_size``), I = ``input_size``, S = ``hidden_size``, or ``proj_size`` if there
        is a projection.
    """

    __slots__ = ("_advance", "_expected", "_initial", "_like", "_rows", "_steps")

    def __init__(self, steps: Steps, expected: Expected, rows: int, like: Tensor) -> None:
        self._steps, self._expected, self._rows, self._like = steps, expected, rows, like
        self._advance = steps.step
        self._initial = steps.read()

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """One step.

        Args:
            x: ``[N, I]``, or ``[I]`` if N is 1: a NumPy array or a tensor; float32, each row
                contiguous.
            out: where to write the output; contiguous.

        Returns:
            The output of the last layer, ``[N, S]`` or ``[S]``: ``out``, or the stream's own array
            (tensor, if x is one), which the next step overwrites.

        Raises:
            TypeError: if an argument is no array and no tensor.
            ValueError: if one has a wrong shape, dtype, device or order in memory.
        """
        found: Array = self._advance(x, out)
        return found

    def run(self, block: Array, out: Array | None = None) -> Array:
        """Several steps in one call, which is quicker than one by one.

        Args:
            block: ``[T, N, I]``, or ``[T, I]`` if N is 1; as in a call.
            out: where to write the outputs; contiguous.

        Returns:
            The outputs, ``[T, N, S]`` or ``[T, S]``: ``out``, or a new array of the block's kind.

        Raises:
            TypeError: if an argument is no array and no tensor.
            ValueError: if one has a wrong shape, dtype, device or order in memory.
        """
        found: Array = self._steps.run(block, out)
        return found

    def step_rows(self, rows: Rows, x: Array, out: Array | None = None) -> Array:
        """One step of some rows; the others keep their states.

        It costs what a step of so many rows costs, however many the stream has:

            >>> stream = GRU(64, 128).stream(batch_size=1000)
            >>> stream.step_rows([17, 3], np.zeros((2, 64), np.float32)).shape
            (2, 128)

        Args:
            rows: ``[n]``, which rows step: distinct numbers from 0 to N - 1, in any order; n may be
                0.
            x: ``[n, I]``, the input of each, in the order of ``rows``; as in a call.
            out: where to write the outputs; contiguous. It may overlap x.

        Returns:
            The outputs of the last layer, ``[n, S]``, in the order of ``rows``: ``out``, or a new
            array of x's kind.

        Raises:
            TypeError: if an argument is of a wrong kind.
            ValueError: if a row is out of range or comes twice, or an argument has a wrong shape,
                dtype, device or order in memory. No state has changed then.
        """
        found: Array = self._steps.step_rows(rows, x, out)
        return found

    @property
    def state(self) -> Any:
        """The states as the layer returns them: h_n, or the tuple (h_n, c_n).

        Each is ``[num_layers, N, ·]``. Reading copies; so what was read can be assigned later to go
        back there, or be given to the layer. Assigned may be tensors or NumPy arrays, of
        ``[num_layers, ·]`` too if N is 1.
        """
        return _as_layers_do(self._steps.read())

    @state.setter
    def state(self, value: Any) -> None:
        self._steps.write(self._check(value, self._rows))

    def state_of(self, rows: Rows) -> Any:
        """The states of some rows, copied: h_n, or the tuple (h_n, c_n).

        Args:
            rows: ``[n]``, as in `step_rows`.

        Returns:
            ``[num_layers, n, ·]`` each, in the order of ``rows``.

        Raises:
            TypeError: if rows is of a wrong kind.
            ValueError: if a row is out of range or comes twice.
        """
        return _as_layers_do(self._steps.read(row_numbers(rows, self._rows)))

    def set_state_of(self, rows: Rows, state: Any) -> None:
        """Set the states of some rows; the others keep theirs.

        Args:
            rows: ``[n]``, as in `step_rows`.
            state: what `state_of` returns for as many rows of any stream of this layer, or what the
                layer returned: tensors or NumPy arrays, ``[num_layers, n, ·]``.

        Raises:
            TypeError: if an argument is of a wrong kind.
            ValueError: if a row is out of range or comes twice, or a state has a wrong shape, dtype
                or device. No state has changed then.
        """
        numbers = row_numbers(rows, self._rows)
        self._steps.write(self._check(state, len(numbers)), numbers)

    def reset(self) -> None:
        """Go back to the initial state: zeros, or what the stream was made with."""
        self._steps.write(self._initial)

    def reset_rows(self, rows: Rows) -> None:
        """Take some rows back to their initial state; the others keep theirs.

        Args:
            rows: ``[n]``, as in `step_rows`.

        Raises:
            TypeError: if rows is of a wrong kind.
            ValueError: if a row is out of range or comes twice.
        """
        numbers = row_numbers(rows, self._rows)
        self._steps.write([state[:, numbers] for state in self._initial], numbers)

    def clone(self) -> Stream:
        """Another stream in the same state; from here on each goes its own way.

        The packed weights are shared, the states are not.
        """
        other = Stream(self._steps.clone(), self._expected, self._rows, self._like)
        other._initial = self._initial
        return other

    def __repr__(self) -> str:
        """The layer's sizes."""
        size = self._expected
        return (
            f"Stream({size.name}, input_size={size.input_size}, num_layers={size.stacked}, "
            f"batch_size={self._rows})"
        )

    def _start(self, state: Any) -> None:
        """Make this the initial state."""
        self.state = state
        self._initial = self._steps.read()

    def _check(self, value: Any, rows: int) -> list[Tensor]:
        value = _tensors(value)
        bare = rows == 1 and all(
            state.ndim == 2
            for state in (value if isinstance(value, tuple) else (value,))
            if isinstance(state, Tensor)
        )
        states = check_states(self._expected, value, self._like, None if bare else rows)
        return [state.unsqueeze(1) for state in states] if bare else states


def _as_layers_do(states: list[Tensor]) -> Any:
    """The states in the form in which a layer returns them."""
    return states[0] if len(states) == 1 else tuple(states)


def _tensors(value: Any) -> Any:
    """NumPy arrays as tensors; anything else as it is."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, Sequence):
        return tuple(_tensors(each) for each in value)
    return value
