"""``checkpoint=`` changes what is kept between forward and backward, and no number."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.utils.rnn import pack_sequence

import unrolled
from unrolled.engine.cpu import automatic, tape_width
from unrolled.layers import GRU, LSTM

from .batches import HIDDEN, INPUT, LAYERS, as_list, compare, gradients_of, make

T, N = 11, 3
LENGTHS = [4, 0, 11]


def results(
    layer: Any, x: Tensor, checkpoint: Any, **options: Any
) -> tuple[list[Tensor], list[Tensor]]:
    """What a call returns, and its gradients."""
    output, last = layer(x, checkpoint=checkpoint, **options)
    values = [getattr(output, "data", output), *as_list(last)]
    return values, gradients_of(values, [x, *layer.parameters()])


@pytest.mark.parametrize("checkpoint", [1, 3, 4, 11, 50], ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_outputs_to_the_bit_and_gradients_to_rounding(name: str, checkpoint: int) -> None:
    torch.manual_seed(0)
    layer = make(name, torch.float32, num_layers=2, bidirectional=True, batch_first=True)
    x = torch.randn(N, T, INPUT, requires_grad=True)
    reset = torch.rand(N, T) < 0.3
    for options in ({}, {"lengths": LENGTHS}, {"reset": reset, "lengths": LENGTHS}):
        expected, wanted = results(layer, x, None, **options)
        actual, gradients = results(layer, x, checkpoint, **options)
        for a, b in zip(actual, expected, strict=True):
            assert torch.equal(a, b)
        compare(gradients, [g.double() for g in wanted], 1e-5)


def test_packed_and_unbatched_input() -> None:
    layer = LSTM(INPUT, HIDDEN, bidirectional=True)
    rows = [torch.randn(n, INPUT) for n in (9, 4, 1)]
    for given in (pack_sequence(rows), rows[0]):
        found = [layer(given, checkpoint=every)[0] for every in (None, 2)]
        assert torch.equal(*(getattr(output, "data", output) for output in found))


def held(layer: Any, x: Tensor, checkpoint: Any) -> int:
    """Bytes that autograd keeps for backward."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        layer(x, checkpoint=checkpoint)
    return sum(kept.values())


@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_less_is_kept(kind: Any) -> None:
    layer, x = kind(8, 32), torch.randn(1000, 2, 8)
    must = 4 * 1000 * 2 * (8 + 32) + sum(4 * p.numel() for p in layer.parameters())
    everything = held(layer, x, None) - must
    assert everything > 4 * 1000 * 2 * 4 * 32
    assert held(layer, x, 50) - must < everything / 20


def test_automatic_segments() -> None:
    """Short sequences are kept whole; a segment's tape stays in the cache; states stay few."""
    H = 256
    width = tape_width("lstm", H, H)
    assert width == 5 * H
    assert automatic(width, 100, 8) == 0
    every = automatic(width, 100_000, 8)
    assert every * 8 * width * 4 <= 2**25  # twice the tape: the root is rounded up
    assert 100_000 / every * 2 < every * 5 * 2
    assert automatic(tape_width("rnn", H, H), 100_000, 8) == 0  # has no tape


def test_other_engines_take_no_notice() -> None:
    layer = GRU(INPUT, HIDDEN).double()
    x = torch.randn(T, N, INPUT).double()
    for engine in ("torch", "reference"):
        with unrolled.using(engine):
            assert torch.equal(layer(x)[0], layer(x, checkpoint=3)[0])
            assert unrolled.explain(layer, x) == unrolled.explain(layer, x, checkpoint=3)


def test_double_backward() -> None:
    layer = GRU(INPUT, HIDDEN)
    x = torch.randn(T, N, INPUT, requires_grad=True)
    found = []
    for checkpoint in (None, 3):
        (first,) = torch.autograd.grad(
            layer(x, checkpoint=checkpoint)[0].square().sum(), x, create_graph=True
        )
        found.append(torch.autograd.grad(first.square().sum(), x)[0])
    torch.testing.assert_close(*found)
