"""Parameters that do not fit their layer: one line that names them, whatever engine would run."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import unrolled
from unrolled.cells import FastGRNN, IndRNN

LAYERS: dict[str, Callable[[], Any]] = {
    "rnn": lambda: unrolled.RNN(1, 2),
    "gru": lambda: unrolled.GRU(3, 4, num_layers=2, bidirectional=True),
    "lstm": lambda: unrolled.LSTM(3, 4, proj_size=2, learn_initial=True),
    "normalised": lambda: unrolled.LSTM(3, 4, layer_norm=True),
    "indrnn": lambda: unrolled.Recurrent(IndRNN, 3, 4),
    "fastgrnn": lambda: unrolled.Recurrent(FastGRNN, 3, 4, num_layers=2),
    "heads": lambda: unrolled.Recurrent(unrolled.cells.LSTM, 4, 4, heads=2),
    "none": lambda: unrolled.GRU(3, 4, bias=False, reset_after=False),
}


SPOILS: dict[str, Callable[[Tensor], Tensor]] = {
    "a row cut": lambda weight: weight[1:],
    "a row more": lambda weight: torch.cat([weight, weight[:1]]),
    "half of it": lambda weight: weight[: len(weight) // 2],
    "a column cut": lambda weight: weight[..., 1:],
    "twice over": lambda weight: weight.repeat(2, *[1] * (weight.ndim - 1)),
    "a dimension more": lambda weight: weight.unsqueeze(0),
    "empty": lambda weight: weight.new_empty(0),
    "meta": lambda weight: weight.to("meta"),
    "float64": lambda weight: weight.double(),
    "bfloat16": lambda weight: weight.bfloat16(),
}


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("kind", LAYERS)
def test_spoilt_parameters_are_named(kind: str, spoil: str) -> None:
    """Every parameter of every layer, one at a time, in training and not, and as a stream."""
    x = torch.randn(9, 3, LAYERS[kind]().input_size)
    for name in dict(LAYERS[kind]().named_parameters()):
        layer = LAYERS[kind]()
        whole = getattr(layer, name)
        changed = SPOILS[spoil](whole.detach()).clone()
        setattr(layer, name, nn.Parameter(changed))
        calls: list[Callable[[], Any]] = [
            partial(layer, x),
            partial(layer, x, lengths=[9, 0, 4]),
            partial(unrolled.explain, layer, x),
        ]
        if not layer.bidirectional:
            calls.append(layer.stream)
        for engine, call in itertools.product(("auto", "reference"), calls):
            with (
                unrolled.using(engine),
                pytest.raises(ValueError, match=rf"weight_ih_l0|{name}") as caught,
            ):
                call()
            assert "\n" not in str(caught.value)


def test_a_parameter_that_is_none_or_gone() -> None:
    layer: Any = unrolled.GRU(3, 4)
    layer.bias_hh_l0 = None
    with pytest.raises(TypeError, match="GRU: bias_hh_l0 must be a tensor, got NoneType"):
        layer(torch.randn(9, 3, 3))
    del layer.weight_hh_l0
    with pytest.raises(AttributeError, match="weight_hh_l0"):
        layer(torch.randn(9, 3, 3))


def test_a_storage_that_was_freed() -> None:
    """As sharding does between calls: the tensor has its shape still, and no numbers."""
    for name, start in itertools.product(("weight_ih_l0", "bias_hh_l0"), (0, 5)):
        layer: Any = unrolled.GRU(3, 4)
        parameter = getattr(layer, name)
        whole = torch.zeros(start + parameter.numel())
        parameter.data = whole[start:].view(parameter.shape)
        parameter.untyped_storage().resize_(0)
        for grad in (True, False):
            with torch.set_grad_enabled(grad), pytest.raises(ValueError, match="has no memory"):
                layer(torch.randn(9, 3, 3))
        with pytest.raises(ValueError, match="has no memory"):
            layer.stream()


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_views_that_only_promise_to_negate(kind: str) -> None:
    """Inputs, states, parameters and gradients whose numbers in memory have the other sign."""

    def negated(tensor: Tensor) -> Tensor:
        found: Tensor = torch._neg_view(-tensor)
        return found

    torch.manual_seed(0)
    layer = LAYERS[kind]()
    x, states = torch.randn(9, 3, layer.input_size), layer(torch.randn(9, 3, layer.input_size))[1]
    gradient = torch.randn_like(layer(x)[0])

    def run(change: Callable[[Tensor], Tensor]) -> list[Tensor]:
        hx = tuple(map(change, states)) if isinstance(states, tuple) else change(states)
        leaf = change(x.clone()).requires_grad_()
        weights = {name: change(p.detach()) for name, p in layer.named_parameters()}
        weights = {name: weight.requires_grad_() for name, weight in weights.items()}
        output, _ = torch.func.functional_call(layer, weights, (leaf, hx))
        inputs = [leaf, *weights.values()]
        found = torch.autograd.grad(output, inputs, change(gradient), allow_unused=True)
        return [output, *(each for each in found if each is not None)]

    def detached(states: Any) -> Any:
        return tuple(s.detach() for s in states) if isinstance(states, tuple) else states.detach()

    states = detached(states)
    for a, b in zip(run(negated), run(lambda tensor: tensor), strict=True):
        torch.testing.assert_close(a, b)


def test_numbers_at_odd_addresses() -> None:
    """A tensor over somebody else's bytes may begin anywhere."""
    layer = unrolled.GRU(3, 4)
    x = torch.randn(9, 2, 3)
    raw = torch.empty(x.nbytes + 1, dtype=torch.uint8)
    raw[1:] = x.view(-1).view(torch.uint8)
    odd = torch.frombuffer(raw.numpy()[1:], dtype=torch.float32).view(9, 2, 3)
    assert odd.data_ptr() % 4 == 1
    assert torch.equal(layer(odd)[0], layer(x)[0])
    with pytest.raises(ValueError, match=r"take \.clone"):
        layer.stream(2)(odd[0])
