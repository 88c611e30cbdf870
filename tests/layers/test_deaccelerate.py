"""deaccelerate: torch.nn's layers again, for tools that look a module's class up."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

import unrolled
from unrolled import cells
from unrolled.layers import GRU, LSTM, RNN, Recurrent, accelerate, deaccelerate
from unrolled.layers.layer import Layer

BACK: dict[str, tuple[Callable[[], Layer], type[nn.Module]]] = {
    "LSTM": (lambda: LSTM(3, 4, 2, bidirectional=True, batch_first=True), nn.LSTM),
    "LSTM-projected": (lambda: LSTM(3, 4, proj_size=2, forget_bias=1.0), nn.LSTM),
    "GRU": (lambda: GRU(3, 4, bias=False, recurrent_init="orthogonal"), nn.GRU),
    "RNN": (lambda: RNN(3, 4, nonlinearity="relu"), nn.RNN),
    "any LSTM": (lambda: Recurrent(cells.LSTM, 3, 4, 2, proj_size=2), nn.LSTM),
    "any GRU": (lambda: Recurrent(cells.GRU, 3, 4, bidirectional=True), nn.GRU),
    "any RNN": (lambda: Recurrent(cells.RNN, 3, 4, nonlinearity="relu", bias=False), nn.RNN),
    "parametrised": (lambda: weight_norm(LSTM(3, 4), "weight_hh_l0"), nn.LSTM),
}


@pytest.mark.parametrize("name", BACK)
def test_torchs_own_layer_of_the_same_parameters(name: str) -> None:
    make, theirs = BACK[name]
    layer = make()
    model = nn.ModuleDict({"a": layer, "b": nn.ModuleList([layer])}).eval()
    x, parameters = torch.randn(9, 2, 3), list(model.parameters())
    expected, text = layer(x), f"{type(layer).__name__}({layer.extra_repr()})"
    report = deaccelerate(model)
    assert [found.names for found in report.replaced] == [("a", "b.0")]
    assert text in str(report)
    assert model["a"] is layer
    if name != "parametrised":
        assert type(layer) is theirs
    assert isinstance(layer, theirs)
    assert Layer not in type(layer).__mro__
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        parameters[0].mul_(2)
    changed = layer(x)
    if name != "parametrised":  # torch copies none that has run
        torch.testing.assert_close(copy.deepcopy(layer).double()(x.double()), changed, **loose)
    assert len(accelerate(model).replaced) == 1
    torch.testing.assert_close(layer(x), changed, rtol=1e-5, atol=1e-5)


loose: Any = {"check_dtype": False, "rtol": 1e-5, "atol": 1e-5}


def test_the_way_back_leaves_nothing() -> None:
    lstm = nn.LSTM(3, 4)
    before = dict(vars(lstm))
    accelerate(lstm)
    deaccelerate(lstm)
    assert type(lstm) is nn.LSTM
    assert vars(lstm) == before
    made = LSTM(3, 4)
    deaccelerate(made)
    assert vars(made).keys() == before.keys()
    assert str(deaccelerate(nn.Linear(3, 4))) == "no recurrent layer found"


class Own(LSTM):
    """A subclass; nobody knows what it computes."""


BEYOND: dict[str, tuple[Callable[[], Layer], str]] = {
    "published GRU": (lambda: GRU(3, 4, reset_after=False), "cell OriginalGRU()"),
    "sigmoid": (lambda: RNN(3, 4, nonlinearity="sigmoid"), "cell RNN(nonlinearity=sigmoid)"),
    "options": (
        lambda: LSTM(3, 4, layer_norm=True, zoneout=0.1, weight_drop=0.2).eval(),
        "layer_norm=True, zoneout=0.1, weight_drop=0.2",
    ),
    "noise": (lambda: GRU(3, 4, recurrent_dropout=0.1).eval(), "recurrent_dropout=0.1"),
    "learned": (lambda: GRU(3, 4, learn_initial=True), "learn_initial=True"),
    "heads": (lambda: Recurrent(cells.LSTM, 3, 4, heads=2), "heads=2"),
    "projected": (lambda: RNN(3, 4, proj_size=2), "proj_size=2"),
    "other cell": (lambda: Recurrent(cells.MGU, 3, 4), "cell MGU()"),
    "subclass": (lambda: Own(3, 4), "Own is a class of its own and may compute something else"),
}


def test_what_torch_has_not_is_listed_and_nothing_is_changed() -> None:
    model = nn.ModuleDict({name: make() for name, (make, _) in BEYOND.items()})
    model["fine"] = fine = LSTM(3, 4)
    with pytest.raises(ValueError, match=r"deaccelerate: torch.nn has no such layer: ") as error:
        deaccelerate(model)
    for name, (_, beyond) in BEYOND.items():
        assert f"{name} ({model[name]!r}): {beyond}" in str(error.value)
    assert "fine" not in str(error.value)
    assert type(fine) is LSTM
    with pytest.raises(TypeError, match=r"deaccelerate: model must be a torch.nn.Module, got dict"):
        deaccelerate({})  # type: ignore[arg-type]


class Tagger(nn.Module):
    """Two layers and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.gru = unrolled.LSTM(8, 16), unrolled.GRU(16, 16, bidirectional=True)
        self.head = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.gru(self.lstm(x)[0])[0])
        return found


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:torch.quantize")
def test_dynamic_quantization() -> None:
    """It knows torch.nn's layers by their exact class."""
    model, x = Tagger().eval(), torch.randn(9, 2, 8)
    expected = model(x)
    quantize: Any = torch.ao.quantization.quantize_dynamic
    deaccelerate(model)
    quantized = quantize(model, {nn.LSTM, nn.GRU, nn.Linear})
    assert type(quantized.lstm) is torch.ao.nn.quantized.dynamic.LSTM
    assert type(quantized.gru) is torch.ao.nn.quantized.dynamic.GRU
    torch.use_deterministic_algorithms(False)  # torch's quantized layers have no such code
    torch.testing.assert_close(quantized(x), expected, rtol=0, atol=0.05)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_script() -> None:
    model, x = Tagger(), torch.randn(9, 2, 8)
    expected = model(x)
    deaccelerate(model)
    script: Any = torch.jit.script
    torch.testing.assert_close(script(model)(x), expected, rtol=1e-5, atol=1e-5)
