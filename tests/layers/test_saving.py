"""What is saved of a layer: no other layer takes it for its own, and every way of saving works."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, load_model, save_file
from torch import nn
from torch.distributed.checkpoint.state_dict import get_model_state_dict, set_model_state_dict
from torch.func import functional_call
from torch.nn.utils.parametrizations import weight_norm
from torch.optim.swa_utils import AveragedModel

from unrolled import cells
from unrolled.cells import Cell, tanh
from unrolled.layers import GRU, LSTM, RNN, Options, Recurrent
from unrolled.layers.layer import Layer
from unrolled.training.run_folder.checkpoint import load_weights

PLAIN: dict[str, tuple[Callable[[], Layer], Callable[[], nn.Module]]] = {
    "LSTM": (lambda: LSTM(4, 4, 2, proj_size=2), lambda: nn.LSTM(4, 4, 2, proj_size=2)),
    "GRU": (lambda: GRU(4, 4, recurrent_dropout=0.1, weight_drop=0.1), lambda: nn.GRU(4, 4)),
    "RNN": (lambda: RNN(4, 4), lambda: nn.RNN(4, 4)),
    "any-cell": (lambda: Recurrent(cells.GRU, 4, 4), lambda: nn.GRU(4, 4)),
}

# Each has torch.nn's names, and all but the last two its shapes.
MARKED: dict[str, tuple[Callable[[], Layer], Callable[[], nn.Module]]] = {
    "published": (lambda: GRU(4, 4, reset_after=False), lambda: nn.GRU(4, 4)),
    "sigmoid": (lambda: RNN(4, 4, nonlinearity="sigmoid"), lambda: nn.RNN(4, 4)),
    "identity": (lambda: RNN(4, 4, nonlinearity="identity"), lambda: nn.RNN(4, 4)),
    "clipped": (lambda: LSTM(4, 4, cell_clip=0.5), lambda: nn.LSTM(4, 4)),
    "relu": (lambda: LSTM(4, 4, activation="relu"), lambda: nn.LSTM(4, 4)),
    "hard": (lambda: GRU(4, 4, recurrent_activation="relu"), lambda: nn.GRU(4, 4)),
    "zoneout": (lambda: LSTM(4, 4, zoneout=(0.1, 0.2)), lambda: nn.LSTM(4, 4)),
    "other": (lambda: Recurrent(cells.OriginalGRU, 4, 4, 2), lambda: nn.GRU(4, 4, 2)),
    "slstm": (lambda: Recurrent(cells.SLSTM, 4, 4), lambda: nn.LSTM(4, 4)),
    "normalised": (lambda: LSTM(4, 4, layer_norm=True), lambda: nn.LSTM(4, 4)),
    "heads": (lambda: Recurrent(cells.LSTM, 4, 4, heads=2), lambda: nn.LSTM(4, 4)),
}


def weights_of(layer: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in layer.state_dict().items() if value.numel()}


def same(a: nn.Module, b: nn.Module) -> None:
    x = torch.randn(9, 2, 4)
    torch.testing.assert_close(a.eval()(x)[0], b.eval()(x)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", PLAIN)
def test_equations_of_torchs_are_exchanged_both_ways(name: str) -> None:
    ours, theirs = (make() for make in PLAIN[name])
    theirs.load_state_dict(ours.state_dict())
    same(ours, theirs)
    other = PLAIN[name][0]()
    other.load_state_dict(PLAIN[name][1]().state_dict(), assign=True)
    other.load_state_dict(theirs.state_dict())
    same(other, theirs)


@pytest.mark.parametrize("name", MARKED)
def test_other_equations_are_refused_by_torch_and_by_others_of_ours(name: str) -> None:
    make, theirs = MARKED[name]
    layer = make()
    with pytest.raises(RuntimeError, match=r"unrolled_equations\("):
        theirs().load_state_dict(layer.state_dict())
    for key, (other, _) in MARKED.items():
        if key != name:
            with pytest.raises(RuntimeError, match=r"Unexpected|Missing"):
                other().load_state_dict(layer.state_dict())
    make().load_state_dict(layer.state_dict())


def test_the_mark_says_what_is_computed_inside_a_model() -> None:
    model = nn.ModuleDict({"encoder": LSTM(4, 4, cell_clip=0.5, layer_norm=True)})
    other = nn.ModuleDict({"encoder": nn.LSTM(4, 4)})
    with pytest.raises(
        RuntimeError, match=r'"encoder.unrolled_equations\(lstm,cell_clip=0_5,layer_norm\)"'
    ):
        other.load_state_dict(model.state_dict())
    assert other.load_state_dict(model.state_dict(), strict=False).unexpected_keys


def test_a_name_that_two_classes_have_had_in_one_process() -> None:
    """As in a notebook: what is saved says nothing of what else was defined."""

    def define(factor: float) -> type[Cell]:
        class Twice(Cell):
            def step(W: Any, U: Any, x: Any, h: Any) -> Any:  # noqa: N805
                return tanh(W.a(x) + U.a(h)) * factor

        return Twice

    first, second = (Recurrent(define(factor), 4, 4) for factor in (0.5, 0.25))
    assert first.program.name != second.program.name
    second.load_state_dict(first.state_dict())


@pytest.mark.parametrize("name", MARKED)
def test_checkpoints_from_before_the_mark_load(name: str) -> None:
    make, _ = MARKED[name]
    layer, other, third = make(), make(), make()
    other.load_state_dict(weights_of(layer))
    same(other, layer)
    load_weights(third, weights_of(layer), Path("weights.safetensors"))
    same(third, layer)
    model = nn.ModuleDict({"a": nn.ModuleList([make()])})
    model.load_state_dict({f"a.0.{key}": value for key, value in weights_of(layer).items()})
    same(model["a"][0], layer)  # type: ignore[index]


@pytest.mark.parametrize("name", ["published", "clipped", "zoneout"])
def test_every_way_of_saving(name: str, tmp_path: Path) -> None:
    make, theirs = MARKED[name]
    layer, file = make(), tmp_path / "weights.safetensors"
    ways: list[Callable[[nn.Module], Any]] = [
        lambda other: other.load_state_dict(layer.state_dict(), assign=True),
        lambda other: save_file(layer.state_dict(), file) or other.load_state_dict(load_file(file)),
        lambda other: load_model(other, file),
        lambda other: set_model_state_dict(other, get_model_state_dict(layer)),
        lambda other: nn.DataParallel(other).load_state_dict(nn.DataParallel(layer).state_dict()),
    ]
    for load in ways:
        other = make()
        load(other)
        same(other, layer)
        with pytest.raises(RuntimeError, match=r"unrolled_equations\("):
            load(theirs())
    x = torch.randn(9, 2, 4)
    found = functional_call(make().eval(), layer.state_dict(), (x,))
    torch.testing.assert_close(found, layer(x))
    averaged = AveragedModel(layer, use_buffers=True)
    averaged.update_parameters(layer)
    same(averaged.module, layer)
    normed, again = (weight_norm(make(), "weight_hh_l0") for _ in range(2))
    again.load_state_dict(normed.state_dict())
    same(again, normed)


WHOLE: dict[str, tuple[Callable[[], Layer], list[type]]] = {
    "LSTM": (lambda: LSTM(4, 4, 2, bidirectional=True), [LSTM]),
    "GRU": (lambda: GRU(4, 4, reset_after=False, layer_norm=True, zoneout=0.1), [GRU]),
    "RNN": (lambda: RNN(4, 4, activation="relu", learn_initial=True), [RNN]),
    "any-cell": (
        lambda: Recurrent(cells.LeakyRNN, 4, 4, alpha=0.3, nonlinearity="relu", heads=2),
        [Recurrent, cells.LeakyRNN],
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_layer_with_weights_only(name: str) -> None:
    """With classes that one can name: the layer's, the options', and that of a cell."""
    make, classes = WHOLE[name]
    layer, file = make(), io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    with torch.serialization.safe_globals([Options, *classes]):
        loaded = torch.load(file, weights_only=True)
    assert repr(loaded) == repr(layer)
    same(loaded, layer)
