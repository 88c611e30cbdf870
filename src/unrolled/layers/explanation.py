"""Which engine would run a call, and why."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from .call import accept
from .checks import Lengths
from .layer import Layer
from .stack import Checkpoint


def explain(
    layer: nn.Module,
    input: Tensor | PackedSequence,  # noqa: A002
    hx: Any = None,
    lengths: Lengths | int | None = None,
    reset: Tensor | None = None,
    checkpoint: Checkpoint = None,
) -> str:
    """Say in a sentence which engine and instruction set would run ``layer(input, hx)``, and why.

    Nothing is run. The answer is for the state of things at the call: `unrolled.using`, autocast,
    active transforms and torch's number of threads count.

    Args:
        layer: one of this package's layers.
        input: as the layer takes it.
        hx: as the layer takes it.
        lengths: as the layer takes it.
        reset: as the layer takes it.
        checkpoint: as the layer takes it; it changes nothing in the choice.

    Raises:
        TypeError: if the layer is not one of ours, or as the layer would.
        ValueError: as the layer would.

    Example:
        >>> explain(LSTM(64, 128), torch.randn(50, 8, 64))
        'LSTM(64, 128): CPU kernels with AVX-512 on 4 threads.'
    """
    if not isinstance(layer, Layer):
        raise TypeError(f"explain: layer must be one of unrolled's, got {_full_name(layer)}")
    choice = accept(layer, input, hx, lengths, reset, checkpoint).choice
    return f"{type(layer).__name__}({layer.extra_repr()}): {choice}."


def _full_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"
