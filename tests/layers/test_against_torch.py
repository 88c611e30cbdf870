"""The drop-ins give torch.nn's numbers: outputs, states and every gradient.

Float32 by the kernels is held against torch.nn in float64; float64, by the reference and by
torch's own layers under ours, against torch.nn to the last digits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import unrolled

T, N, INPUT, HIDDEN = 7, 3, 5, 9  # odd on purpose

LAYERS: dict[str, tuple[str, dict[str, Any]]] = {
    "RNN": ("RNN", {}),
    "RNN-relu": ("RNN", {"nonlinearity": "relu"}),
    "LSTM": ("LSTM", {}),
    "LSTM-projected": ("LSTM", {"proj_size": 4}),
    "GRU": ("GRU", {}),
}
ENGINES = [("kernels", torch.float32), ("reference", torch.float64), ("torch", torch.float64)]


def options() -> Iterator[Any]:
    """Every combination of a layer's structural options, with a legible name."""
    for layers, bidirectional, batch_first, bias in product((1, 2), *[(False, True)] * 3):
        words = [f"{layers}-layers", *["bidirectional"] * bidirectional]
        words += ["batch-first"] * batch_first + ["no-bias"] * (not bias)
        given = {"num_layers": layers, "bidirectional": bidirectional}
        yield pytest.param({**given, "batch_first": batch_first, "bias": bias}, id="-".join(words))


def pair(layer: str, dtype: torch.dtype, more: dict[str, Any]) -> tuple[Any, Any]:
    """Ours in this dtype and torch.nn's in float64, with the same weights."""
    kind, own = LAYERS[layer]
    ours = getattr(unrolled, kind)(INPUT, HIDDEN, dtype=dtype, **own, **more)
    theirs = getattr(torch.nn, kind)(INPUT, HIDDEN, dtype=torch.float64, **own, **more)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    return ours, theirs


def as_list(states: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    return [states] if isinstance(states, Tensor) else list(states)


def run(
    layer: Any, x: Tensor, states: Sequence[Tensor] | None, form: str, sort: bool
) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs and final states; gradients of x, initial states and all parameters."""
    dtype = layer.weight_ih_l0.dtype
    leaf = x.to(dtype).requires_grad_()
    leaves = [leaf]
    hx: Any = None
    if states is not None:
        own = [state.to(dtype).requires_grad_() for state in states]
        leaves += own
        hx = own[0] if len(own) == 1 else tuple(own)
    given: Any = leaf
    if form == "packed":
        rows = x.shape[0 if layer.batch_first else 1]
        # An order that is not its own inverse.
        lengths = torch.tensor([3, 1, 7])[:rows].clamp(max=x.shape[layer.batch_first])
        if not sort:
            lengths = lengths.sort(descending=True).values
        given = pack_padded_sequence(leaf, lengths, layer.batch_first, enforce_sorted=not sort)
    output, last = layer(given, hx)
    if isinstance(given, PackedSequence):
        assert isinstance(output, PackedSequence)
        for name in ("batch_sizes", "sorted_indices", "unsorted_indices"):
            theirs, ours = getattr(given, name), getattr(output, name)
            assert (theirs is None) == (ours is None)
            assert theirs is None or torch.equal(theirs, ours)
        output = output.data
    results = [output, *as_list(last)]
    # A loss in which every number has its own weight, so that no two errors cancel.
    loss = torch.zeros((), dtype=dtype)
    for r in results:
        loss = loss + (r * torch.linspace(0.5, 2, r.numel()).view_as(r).to(dtype)).sum()
    leaves += list(layer.parameters())
    return [r.detach() for r in results], list(torch.autograd.grad(loss, leaves))


def compare(actual: Sequence[Tensor], expected: Sequence[Tensor], bar: float) -> None:
    """Within ``bar`` of the largest number in each tensor."""
    assert len(actual) == len(expected)
    for a, b in zip(actual, expected, strict=True):
        assert a.shape == b.shape
        scale = float(b.abs().max()) if b.numel() else 0.0
        torch.testing.assert_close(a.double(), b.double(), rtol=0, atol=bar * max(scale, 1e-3))


@pytest.mark.parametrize("form", ["padded", "packed", "packed-unsorted", "unbatched"])
@pytest.mark.parametrize("more", list(options()))
@pytest.mark.parametrize("layer", LAYERS)
def test_outputs_states_and_gradients_are_those_of_torch(
    layer: str, more: dict[str, Any], form: str
) -> None:
    torch.manual_seed(0)
    for engine, dtype in ENGINES:
        ours, theirs = pair(layer, dtype, more)
        stacked = more["num_layers"] * (1 + more["bidirectional"])
        x = torch.randn(N, T, INPUT) if more["batch_first"] else torch.randn(T, N, INPUT)
        states = [torch.randn(stacked, N, ours.proj_size or HIDDEN)]
        if "LSTM" in layer:
            states.append(torch.randn(stacked, N, HIDDEN))
        if form == "unbatched":
            x = x[0] if more["batch_first"] else x[:, 0]
            states = [state[:, 0] for state in states]
        name, sort = form.partition("-")[0], form.endswith("unsorted")
        forward, backward = (1e-5, 1e-4) if dtype == torch.float32 else (1e-12, 1e-11)
        for initial in (None, states) if engine == "kernels" else (states,):
            expected, expected_gradients = run(theirs, x, initial, name, sort)
            with unrolled.using(engine):
                actual, gradients = run(ours, x, initial, name, sort)
            compare(actual, expected, forward)
            compare(gradients, expected_gradients, backward)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("form", ["padded", "packed-unsorted"])
@pytest.mark.parametrize("layer", LAYERS)
def test_dropout_draws_the_mask_that_torch_draws(layer: str, form: str, training: bool) -> None:
    for batch_first in (False, True):
        more = {"num_layers": 3, "dropout": 0.4, "bidirectional": True, "batch_first": batch_first}
        ours, theirs = pair(layer, torch.float32, more)
        theirs.float()
        ours.train(training)
        theirs.train(training)
        x = torch.randn(N, T, INPUT)
        results = []
        for each in (theirs, ours):
            torch.manual_seed(1)
            results.append(run(each, x, None, form.partition("-")[0], True))
        compare(results[1][0], results[0][0], 1e-5)
        compare(results[1][1], results[0][1], 1e-4)


@pytest.mark.parametrize("layer", LAYERS)
def test_the_same_seed_gives_the_same_weights_and_state_dicts_load_both_ways(layer: str) -> None:
    kind, own = LAYERS[layer]
    for more in ({}, {"num_layers": 3, "bidirectional": True}, {"bias": False}):
        torch.manual_seed(5)
        ours = getattr(unrolled, kind)(INPUT, HIDDEN, **own, **more)
        torch.manual_seed(5)
        theirs = getattr(torch.nn, kind)(INPUT, HIDDEN, **own, **more)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(a, b)
        assert repr(ours) == repr(theirs)
        assert isinstance(ours, type(theirs))
        theirs.load_state_dict(ours.state_dict(), strict=True)
        ours.load_state_dict(theirs.state_dict(), strict=True)


def test_arguments_are_in_the_order_of_torch() -> None:
    ours = unrolled.RNN(3, 4, 2, "relu", False, True, 0.5, True, dtype=torch.float64)
    theirs = torch.nn.RNN(3, 4, 2, "relu", False, True, 0.5, True, dtype=torch.float64)
    assert repr(ours) == repr(theirs)
    assert ours.weight_ih_l0.dtype == torch.float64
    for kind in ("LSTM", "GRU"):
        given = (3, 4, 2, False, True, 0.5, True)
        assert repr(getattr(unrolled, kind)(*given)) == repr(getattr(torch.nn, kind)(*given))
