"""The defaults of torch belong to the user: whatever they are, the numbers are the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import unrolled
from unrolled.cells import IndRNN
from unrolled.compiler.program import Program
from unrolled.engine import cpu
from unrolled.engine.cpu import FLOAT32_SETS

from .cases import FEW, THOROUGH, Shape, by_kernels, case, exact, largest, numbers

DEFAULTS: list[dict[str, Any]] = [
    *({"dtype": dtype} for dtype in (torch.float64, torch.float16, torch.bfloat16)),
    {"device": "meta"},
    {"dtype": torch.float64, "device": "meta"},
]


@contextmanager
def defaults(dtype: torch.dtype = torch.float32, device: str = "cpu") -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
        torch.set_default_device(None)


@pytest.fixture(params=DEFAULTS, ids=lambda d: "-".join(str(v).split(".")[-1] for v in d.values()))
def other(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.param
    return found


SHAPES = [
    *FEW,
    Shape(1, 1, 1),
    Shape(1, 1, 4),
    Shape(0, 2, 3),
    Shape(7, 3, 36, heads=2),
    Shape(9, 7, 17, "ragged", directions=2, batch_first=True, checkpoint=4),
]


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("program", THOROUGH, ids=lambda p: p.name)
def test_kernels(program: Program, other: dict[str, Any]) -> None:
    """Outputs, final states and every gradient."""
    assert cpu.ensure(program, FLOAT32_SETS[0]) is None
    for shape in SHAPES:
        drawn = case(program, shape)
        exact_outputs, exact_gradients = exact(program, shape)
        with defaults(**other):
            outputs, gradients = numbers(drawn, by_kernels(FLOAT32_SETS[0]), torch.float32)
        assert largest(outputs, exact_outputs) < 1e-5
        assert largest(gradients, exact_gradients) < 1e-4


CALLS: dict[str, dict[str, Any]] = {
    "plain": {},
    "lengths": {"lengths": [5, 0, 3]},
    "reset": {"reset": torch.arange(15).reshape(5, 3) % 4 == 0},
    "checkpoint": {"checkpoint": 2},
    "states": {"return_states": True, "return_gates": True},
}
LAYERS: dict[str, Any] = {
    "rnn": lambda: unrolled.RNN(2, 4),
    "gru": lambda: unrolled.GRU(2, 4, num_layers=2, bidirectional=True, learn_initial=True),
    "lstm": lambda: unrolled.LSTM(2, 4, proj_size=3, layer_norm=True, weight_drop=0.5),
    "dropped": lambda: unrolled.LSTM(2, 4, zoneout=0.3, recurrent_dropout=0.5, cell_clip=0.9),
    "indrnn": lambda: unrolled.Recurrent(IndRNN, 2, 4),
    "float64": lambda: unrolled.GRU(2, 4, dtype=torch.float64, zoneout=0.3),
    "bfloat16": lambda: unrolled.LSTM(2, 4, dtype=torch.bfloat16),
}


def results(layer: Any, x: Tensor, call: dict[str, Any]) -> list[Tensor]:
    torch.manual_seed(3)
    leaf = x.clone().requires_grad_()
    output, last, *rest = layer(leaf, **call)
    states = last if isinstance(last, tuple) else (last,)
    found = [output, *states]
    for sequences in rest:
        found += [each for name in sequences.gates for each in sequences.gates[name]]
    sum((value.float().square().sum() for value in found), start=output.new_zeros(())).backward()
    gradients = [leaf.grad, *(parameter.grad for parameter in layer.parameters())]
    layer.zero_grad()
    return [value.detach() for value in [*found, *gradients] if value is not None]


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("engine", ["auto", "reference"])
def test_layers(kind: str, engine: str, other: dict[str, Any]) -> None:
    """Whole layers with their options, by the engine they take and by the reference; streams."""
    torch.manual_seed(0)
    layer = LAYERS[kind]()
    x = torch.randn(5, 3, 2, dtype=layer.weight_ih_l0.dtype)
    for call in CALLS.values():
        with unrolled.using(engine):
            expected = results(layer, x, call)
            with defaults(**other):
                found = results(layer, x, call)
        for a, b in zip(found, expected, strict=True):
            assert a.dtype == b.dtype
            assert torch.equal(a, b)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "dropped", "indrnn", "float64"])
def test_streams(kind: str, other: dict[str, Any]) -> None:
    torch.manual_seed(0)
    layer = LAYERS[kind]().eval()
    x = torch.randn(5, 3, 2, dtype=layer.weight_ih_l0.dtype)
    given: list[Any] = [x, x.numpy()]
    for block in given:
        expected = np.asarray(layer.stream(3).run(block))
        with defaults(**other):
            stream = layer.stream(3)
            run = stream.run(block)
            copy = stream.clone()
            stream.state = stream.state
            stream.reset()
            steps = [stream(step) for step in block][-1]
        assert np.array_equal(np.asarray(run), expected)
        assert np.array_equal(np.asarray(steps), expected[-1])
        last = copy.state
        shown = last[0] if isinstance(last, tuple) else last
        assert np.array_equal(np.asarray(shown)[-1], expected[-1])
