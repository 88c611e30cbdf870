"""Recurrent layers with a linear map of their input before them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from unrolled.layers import Recurrent, Stream
from unrolled.layers.stream import Array, Rows


class MappedInput(nn.Module):
    """Layers of a cell in whose equations x itself stands, for input of any number of features.

    Such a cell takes as many features as it has units; a linear map makes them.

    Args:
        input_size: Features of the input.
        layer: The layers.

    Shape:
        As the layer's, with ``input_size`` features of the input.
    """

    def __init__(self, input_size: int, layer: Recurrent) -> None:
        super().__init__()
        self.map = nn.Linear(input_size, layer.input_size)
        self.layer = layer

    def forward(
        self,
        x: Tensor | PackedSequence,
        hx: Any = None,
        lengths: Any = None,
        **keywords: Any,
    ) -> Any:
        """Output and last states, as the layer returns them for the mapped input."""
        if isinstance(x, PackedSequence):
            mapped: Any = x._replace(data=self.map(x.data))
        else:
            mapped = self.map(x)
        return self.layer(mapped, hx, lengths, **keywords)

    def stream(self, batch_size: int = 1, state: Any = None) -> MappedStream:
        """These layers one step at a time; weights are copied. Arguments and errors as a layer's.

        Raises:
            TypeError: An argument is of a wrong kind.
            ValueError: One has a wrong value, or the layer is bidirectional.
        """
        stream = self.layer.stream(batch_size, state)
        return MappedStream(
            stream, self.map.weight.detach().clone(), self.map.bias.detach().clone()
        )


class MappedStream:
    """A stream with a linear map before it; used as `unrolled.Stream`.

    Args:
        stream: The stream of the layers.
        weight: Of the map, ``[H, I]``.
        bias: Of the map, ``[H]``.
    """

    def __init__(self, stream: Stream, weight: Tensor, bias: Tensor) -> None:
        self._stream, self._weight, self._bias = stream, weight, bias

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """One step: x ``[N, I]``, or ``[I]`` if N is 1.

        Returns:
            The output, of x's kind; the next step overwrites it.

        Raises:
            TypeError: x is no array and no tensor.
            ValueError: It has a wrong shape or dtype.
        """
        return self._stream(self._mapped(x), out)

    def run(self, block: Array, out: Array | None = None) -> Array:
        """Several steps: block ``[T, N, I]``, or ``[T, I]`` if N is 1.

        Raises:
            TypeError: The block is no array and no tensor.
            ValueError: It has a wrong shape or dtype.
        """
        return self._stream.run(self._mapped(block), out)

    def step_rows(self, rows: Rows, x: Array, out: Array | None = None) -> Array:
        """One step of some rows: x ``[n, I]``; the others keep their states.

        Raises:
            TypeError: As `unrolled.Stream.step_rows`.
            ValueError: As `unrolled.Stream.step_rows`.
        """
        return self._stream.step_rows(rows, self._mapped(x), out)

    def state_of(self, rows: Rows) -> Any:
        """The states of some rows; copies."""
        return self._stream.state_of(rows)

    def set_state_of(self, rows: Rows, state: Any) -> None:
        """Set the states of some rows; the others keep theirs."""
        self._stream.set_state_of(rows, state)

    def reset_rows(self, rows: Rows) -> None:
        """Take some rows back to their initial state."""
        self._stream.reset_rows(rows)

    @property
    def state(self) -> Any:
        """The states as the layer returns them; a copy."""
        return self._stream.state

    @state.setter
    def state(self, value: Any) -> None:
        self._stream.state = value

    def reset(self) -> None:
        """Go back to the initial state."""
        self._stream.reset()

    def clone(self) -> MappedStream:
        """Another stream in the same state."""
        return MappedStream(self._stream.clone(), self._weight, self._bias)

    @torch.no_grad()
    def _mapped(self, x: Array) -> Array:
        if not isinstance(x, np.ndarray | Tensor):
            raise TypeError(f"Stream: x must be an array or a tensor, got {type(x).__name__}")
        features = self._weight.shape[1]
        if x.ndim == 0 or x.shape[-1] != features:
            raise ValueError(
                f"Stream: x must have {features} features in its last dimension, "
                f"got shape {list(x.shape)}"
            )
        values = torch.from_numpy(x) if isinstance(x, np.ndarray) else x
        if values.dtype != self._weight.dtype:
            raise ValueError(f"Stream: x must be {self._weight.dtype}, got {values.dtype}")
        mapped = functional.linear(values, self._weight, self._bias)
        found: Array = mapped.numpy() if isinstance(x, np.ndarray) else mapped
        return found
