"""The way of a call from the layer to the kernels is short; what is kept on it is never stale."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
import torch

import unrolled
from unrolled.engine import _cpu
from unrolled.engine.cpu import forward_pass

# two of them are torch.nn.Module's
DEPTH = {"inference": 9, "training": 7}
ENTERED = {"inference": 80, "training": 45}


def chain(function: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The functions that are on the stack when the kernels are called."""
    found: list[str] = []

    class Spy:
        @staticmethod
        def forward(*arguments: Any) -> Any:
            frame: FrameType | None = sys._getframe(1)
            while frame is not None and frame.f_code is not here:
                found.append(frame.f_code.co_qualname)
                frame = frame.f_back
            return _cpu.forward(*arguments)

    here = function.__code__
    with monkeypatch.context() as patch:
        patch.setattr(forward_pass, "_cpu", Spy)
        function()
    return found


def entered(function: Callable[[], Any]) -> int:
    """Python functions that are called."""
    count = 0

    def profile(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_the_way_to_the_kernels_is_short(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = unrolled.GRU(6, 4), torch.randn(20, 6, 6)  # a few rows take a shorter way

    def call() -> None:
        layer(x)

    with torch.set_grad_enabled(mode == "training"):
        call()
        path = chain(call, monkeypatch)
        assert path[0] == "forward"
        assert len(path) <= DEPTH[mode], path
        assert entered(call) <= ENTERED[mode]


def test_what_is_kept_follows_the_layer() -> None:
    """An attribute that is set later counts, as in torch.nn; values of parameters are not kept."""
    layer, x = unrolled.GRU(6, 4), torch.randn(3, 9, 6)
    layer(x)
    layer.batch_first = True
    output, last = layer(x)
    assert last.shape == (1, 3, 4)
    torch.testing.assert_close(output[:, -1], last[0])
    before = output.clone()
    with torch.no_grad():
        layer.get_parameter("weight_hh_l0").mul_(2)
    assert not torch.allclose(layer(x)[0], before)
    layer.reset_after = False
    assert "OriginalGRU" in repr(layer.cell)
    twin = unrolled.GRU(6, 4, batch_first=True, reset_after=False)
    twin.weight_ih_l0, twin.weight_hh_l0 = layer.weight_ih_l0, layer.weight_hh_l0
    twin.bias_ih_l0, twin.bias_hh_l0 = layer.bias_ih_l0, layer.bias_hh_l0
    assert torch.equal(layer(x)[0], twin(x)[0])
    layer.input_size = 5
    with pytest.raises(ValueError, match="weight_ih_l0 must have shape"):
        layer(x)


def test_a_mode_is_kept_by_itself() -> None:
    layer, x = unrolled.GRU(6, 4, recurrent_dropout=0.5), torch.randn(9, 3, 6)
    evaluated = layer.eval()(x)[0]
    trained = layer.train()(x)[0]
    assert not torch.allclose(trained, evaluated)
    assert torch.equal(layer.eval()(x)[0], evaluated)
    states = layer(x, return_states=True)[2].states
    assert torch.equal(states["h"][0], evaluated)


@pytest.mark.parametrize(
    "make", [lambda: unrolled.LSTM(6, 4), lambda: unrolled.Recurrent(unrolled.cells.GRU, 6, 4)]
)
def test_nothing_kept_is_in_a_copy_or_a_file(make: Callable[[], torch.nn.Module]) -> None:
    layer = make()
    before = set(vars(pickle.loads(pickle.dumps(layer))))
    layer(torch.randn(9, 3, 6))
    assert set(vars(layer)) - before == {"_kept"}
    for twin in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert set(vars(twin)) == before


def test_nothing_kept_stays_in_a_layer_of_torchs() -> None:
    theirs = torch.nn.GRU(6, 4)
    before = set(vars(theirs))
    unrolled.accelerate(theirs)
    theirs(torch.randn(9, 3, 6))
    unrolled.deaccelerate(theirs)
    assert set(vars(theirs)) == before
