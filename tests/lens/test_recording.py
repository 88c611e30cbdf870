"""Strands follow time, whatever the model does with its layers."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

import unrolled
from unrolled.lens.recording import call, recording


def test_names_levels_and_directions_of_strands() -> None:
    layer = unrolled.GRU(2, 3, num_layers=2, bidirectional=True)
    with recording(layer, "trace", graph=False) as recorder:
        call(layer, torch.randn(4, 1, 2))
    found = [(s.name, s.level, s.reverse) for s in recorder.strands.values()]
    assert found == [
        ("l0", 0, False),
        ("l0_reverse", 0, True),
        ("l1", 1, False),
        ("l1_reverse", 1, True),
    ]
    for strand in recorder.strands.values():
        assert [step.t for step in strand.steps] == [0, 1, 2, 3]


def test_states_pass_from_step_to_step_as_nodes() -> None:
    layer = unrolled.LSTM(2, 3)
    with recording(layer, "trace") as recorder:
        output = call(layer, torch.randn(4, 2, 2))
        steps = recorder.strands["l0"].steps
        for step, following in pairwise(steps):
            assert all(a is b for a, b in zip(step.after, following.before, strict=True))
        (gradient,) = torch.autograd.grad(output[-1].sum(), steps[0].after[1])
        assert gradient.abs().sum() > 0


def test_products_hold_what_was_multiplied() -> None:
    layer = unrolled.GRU(2, 3, dtype=torch.float64)
    with recording(layer, "trace") as recorder:
        call(layer, torch.randn(4, 2, 2, dtype=torch.float64))
    blocks = layer.get_parameter("weight_hh_l0").chunk(3)
    biases = layer.get_parameter("bias_hh_l0").chunk(3)
    for step in recorder.strands["l0"].steps:
        assert [made.product.gate for made in step.products] == ["r", "z", "n"]
        for made, block, bias in zip(step.products, blocks, biases, strict=True):
            wanted = step.before[0] @ block.T + bias
            torch.testing.assert_close(made.result, wanted)


def test_behind_the_limit_no_gradient_passes() -> None:
    layer = unrolled.RNN(2, 3)
    with recording(layer, "trace") as recorder:
        output = call(layer, torch.randn(4, 1, 2))
        first = recorder.strands["l0"].steps[0].after
        recorder.limit.end = 2
        kept = torch.autograd.grad(output[1].sum(), first, retain_graph=True)
        cut = torch.autograd.grad(output[3].sum(), first, retain_graph=True, allow_unused=True)
    assert kept[0].any()
    assert cut[0] is None or not cut[0].any()


def test_denormal_gradients_are_zero() -> None:
    layer = unrolled.RNN(1, 1, nonlinearity="identity")
    with torch.no_grad():
        layer.get_parameter("weight_hh_l0").fill_(1e-9)
    with recording(layer, "trace") as recorder:
        output = call(layer, torch.randn(9, 1, 1))
        states = [step.after[0] for step in recorder.strands["l0"].steps]
        found = torch.autograd.grad(output[-1].sum(), states)
    smallest = torch.finfo(torch.float32).tiny
    assert all(g.abs() >= smallest for g in found[5:])
    assert not any(g.any() for g in found[:4])


def test_a_module_used_twice_is_one_strand_of_both_runs() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            output: Tensor = self.rnn(self.rnn(x)[0])[0]
            return output

    model, x = Twice(), torch.randn(3, 1, 2)
    with recording(model, "trace", graph=False) as recorder:
        call(model, x)
    assert [step.t for step in recorder.strands["rnn.l0"].steps] == [0, 1, 2] * 2
    assert type(model.rnn) is nn.GRU
