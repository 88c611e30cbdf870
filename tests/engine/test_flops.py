"""torch's counter of operations counts our kernels as its own layers' products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from unrolled import cells
from unrolled.layers import GRU, LSTM, RNN, Recurrent

T, N, X, H = 9, 3, 6, 4


def counted(layer: Any, steps: int = T, hx: Any = None, need_x: bool = True) -> tuple[int, int]:
    x = torch.randn(steps, N, X, requires_grad=need_x)
    with FlopCounterMode(display=False) as forward:
        output = layer(x, hx)[0]
    with FlopCounterMode(display=False) as backward:
        output.sum().backward()
    return forward.get_total_flops(), backward.get_total_flops()


PAIRS: dict[str, tuple[Callable[..., Any], Callable[..., Any], dict[str, Any]]] = {
    "GRU": (GRU, nn.GRU, {"num_layers": 2, "bidirectional": True}),
    "RNN": (RNN, nn.RNN, {"bias": False}),
    "any cell": (lambda *sizes, **more: Recurrent(cells.GRU, *sizes, **more), nn.GRU, {}),
}


@pytest.mark.parametrize("need_x", [True, False])
@pytest.mark.parametrize("steps", [T, 2])
@pytest.mark.parametrize("name", PAIRS)
def test_as_torch_counts(name: str, steps: int, need_x: bool) -> None:
    """With initial states that need a gradient, which torch otherwise leaves out at the first step.

    Of its LSTM on the CPU it counts nothing.
    """
    ours, theirs, more = PAIRS[name]
    layer, other = ours(X, H, **more), theirs(X, H, **more)
    h = torch.zeros(other.num_layers * (1 + other.bidirectional), N, H, requires_grad=True)
    assert counted(layer, steps, h, need_x) == counted(other, steps, h, need_x)


def test_an_lstm_with_a_projection() -> None:
    forward, backward = counted(LSTM(X, H, proj_size=2))
    assert forward == 2 * T * N * (4 * H * (X + 2) + 2 * H)
    assert backward == 2 * forward


def test_heads_and_checkpoints() -> None:
    layer, x = Recurrent(cells.LSTM, X, H, heads=2), torch.randn(T, N, X)
    once = 2 * T * N * 4 * H * (X + H // 2)
    with FlopCounterMode(display=False) as counter:
        output = layer(x, checkpoint=3)[0]
    assert counter.get_total_flops() == once
    with FlopCounterMode(display=False) as counter:
        output.sum().backward()
    assert counter.get_total_flops() == once + once + 2 * T * N * 4 * H * (H // 2)
