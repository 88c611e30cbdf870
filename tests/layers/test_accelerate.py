"""accelerate: models from the wild compute the same by our engine, and nobody else notices."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

import unrolled
from unrolled.layers import accelerate

from .wild import FEATURES, WILD


def drawn(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    return WILD[name].make(), (torch.randn(3, 10, FEATURES), *WILD[name].more())


def computed(model: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, list[Tensor]]:
    """Output and gradients, of the input too."""
    torch.manual_seed(1)  # the same dropout
    x = given[0].clone().requires_grad_()
    output = model(x, *given[1:])
    return output, list(torch.autograd.grad(output.square().sum(), [x, *model.parameters()]))


def far(found: Tensor, expected: Tensor) -> float:
    return float(((found - expected).norm() / expected.norm().clamp(min=1e-6)).detach())


@pytest.mark.parametrize("mode", ["training", "evaluation"])
@pytest.mark.parametrize("name", WILD)
def test_a_model_computes_the_same(name: str, mode: str) -> None:
    model, given = drawn(name)
    model.train(mode == "training")
    output, gradients = computed(model, given)
    report = accelerate(model)
    assert [place for found in report.replaced for place in found.names] == [*WILD[name].layers]
    assert not report.left
    assert model.training == (mode == "training")
    ours, our_gradients = computed(model, given)
    assert far(ours, output) < 1e-5
    for found, expected in zip(our_gradients, gradients, strict=True):
        assert far(found, expected) < 1e-4
    with torch.no_grad():
        torch.manual_seed(1)
        assert far(model(*given), output) < 1e-5


@pytest.mark.parametrize("name", WILD)
def test_training_goes_on(name: str) -> None:
    """With the optimizer of before, its momenta included, and to the same weights."""
    model, given = drawn(name)
    twin = copy.deepcopy(model)
    for trained, ours in ((model, True), (twin, False)):
        optimizer = torch.optim.SGD(trained.parameters(), 0.05, momentum=0.9)
        for step in range(3):
            if ours and step == 1:
                accelerate(trained)
            torch.manual_seed(step)
            optimizer.zero_grad()
            trained(*given).square().mean().backward()
            optimizer.step()
    for found, expected in zip(model.parameters(), twin.parameters(), strict=True):
        assert far(found.detach(), expected.detach()) < 1e-4


@pytest.mark.parametrize("name", WILD)
def test_saved_and_loaded_either_way(name: str) -> None:
    model, given = drawn(name)
    model.eval()
    expected, file = model(*given), io.BytesIO()
    accelerate(model)
    torch.save(model.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    for other, _ in (drawn(name), drawn(name)):
        other.eval().load_state_dict(state)
        assert far(other(*given), expected) < 1e-5
        accelerate(other)
        assert far(copy.deepcopy(other)(*given), expected) < 1e-5
    whole = io.BytesIO()
    torch.save(model, whole)
    whole.seek(0)
    assert far(torch.load(whole, weights_only=False)(*given), expected) < 1e-5


@pytest.mark.filterwarnings("ignore")  # theirs
@pytest.mark.parametrize("name", WILD)
def test_integrated_gradients_in_evaluation_mode(name: str) -> None:
    captum: Any = pytest.importorskip("captum.attr")
    model, given = drawn(name)
    model.eval()

    def score(x: Tensor, *more: Tensor) -> Tensor:
        found: Tensor = model(x, *more)
        return found[:, :, 0].sum(1)

    if name == "deepar":  # its noise is by row, and captum makes rows
        given = (given[0][:1],)
    found = []
    for step in (lambda: None, lambda: accelerate(model)):
        step()
        explained = captum.IntegratedGradients(score)
        found.append(
            explained.attribute(given[0], additional_forward_args=given[1:] or None, n_steps=5)
        )
    assert far(found[1], found[0]) < 1e-4


def test_a_module_stays_the_object_that_it_was() -> None:
    lstm = nn.LSTM(3, 4, 2, batch_first=True, dtype=torch.float64).eval()
    model = nn.ModuleDict({"encoder": lstm, "inside": nn.ModuleList([lstm])})
    before, parameters, seen = dict(vars(lstm)), list(model.parameters()), []
    lstm.register_forward_hook(lambda *call: seen.append(call))
    report = accelerate(model)
    assert model["encoder"] is lstm
    assert type(lstm) is unrolled.LSTM
    assert isinstance(lstm, nn.LSTM)
    assert vars(lstm) == before
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    lstm(torch.randn(2, 5, 3, dtype=torch.float64))
    assert len(seen) == 1
    (found,) = report.replaced
    assert found.names == ("encoder", "inside.0")
    assert repr(lstm) == found.layer == "LSTM(3, 4, num_layers=2, batch_first=True)"


@pytest.mark.parametrize(
    "layer",
    [nn.RNN(3, 4), nn.RNN(3, 4, nonlinearity="relu"), nn.GRU(3, 4), nn.LSTM(3, 4, proj_size=2)],
    ids=repr,
)
def test_the_model_may_be_a_layer(layer: nn.RNNBase) -> None:
    """And is what the class of ours would have been."""
    layer, x = copy.deepcopy(layer), torch.randn(9, 2, 3)
    output, gradients = computed(nn.Sequential(layer, First()), (x,))
    assert str(accelerate(layer)).startswith("(the model)  ")
    assert unrolled.explain(layer, x).startswith(f"{layer!r}: CPU kernels")
    ours, our_gradients = computed(nn.Sequential(layer, First()), (x,))
    assert far(ours, output) < 1e-5
    assert max(map(far, our_gradients, gradients)) < 1e-4
    layer(x, lengths=[9, 0])


class First(nn.Module):
    """The first of several."""

    def forward(self, results: tuple[Tensor, ...]) -> Tensor:
        return results[0]


@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm"])
def test_parametrised_layers(kind: str) -> None:
    """Their class is their own and its copies'; the parametrization goes on, and comes off."""
    lstm, x = (
        getattr(parametrizations, kind)(nn.LSTM(3, 4), "weight_hh_l0").eval(),
        torch.randn(9, 2, 3),
    )
    twin = copy.deepcopy(lstm)
    assert len(accelerate(lstm).replaced) == 1
    assert isinstance(lstm, unrolled.LSTM)
    assert not isinstance(twin, unrolled.LSTM)
    output, gradients = computed(nn.Sequential(twin, First()), (x,))
    for layer in (copy.deepcopy(lstm), lstm):
        ours, our_gradients = computed(nn.Sequential(layer, First()), (x,))
        assert far(ours, output) < 1e-5
        assert max(map(far, our_gradients, gradients)) < 1e-4
    parametrize.remove_parametrizations(lstm, "weight_hh_l0")
    assert type(lstm) is unrolled.LSTM
    assert far(lstm(x)[0], output) < 1e-5


quantized: Any = torch.ao.nn.quantized.dynamic


class Own(nn.LSTM):
    """A subclass; nobody knows what it computes."""


def patched() -> Any:
    layer: Any = nn.GRU(3, 4)
    layer.forward = lambda x: x
    return layer


LEFT: dict[str, tuple[Callable[[], Any], str]] = {
    "subclass": (lambda: Own(3, 4), "Own is a subclass of torch.nn.LSTM"),
    "cell": (lambda: nn.LSTMCell(3, 4), "single step"),
    "patched": (patched, "forward has been replaced"),
    "scripted": (lambda: torch.jit.script(nn.GRU(3, 4)), "compiled by torch.jit"),
    "quantized": (lambda: quantized.LSTM(3, 4), "quantized"),
    "ours": (lambda: unrolled.GRU(3, 4), "unrolled's already"),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:torch.quantize")
@pytest.mark.parametrize("kind", LEFT)
def test_what_may_compute_something_else_is_left(kind: str) -> None:
    make, reason = LEFT[kind]
    module = make()
    cls, report = type(module), accelerate(nn.ModuleDict({"this": module, "other": nn.GRU(3, 4)}))
    assert type(module) is cls
    (found,) = [found for found in report.left if "this" in found.names]
    assert reason in found.obstacle
    assert [found.names for found in report.replaced] == [("other",)]


def test_the_report_is_a_table_and_is_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    model = nn.ModuleDict(
        {"encoder": nn.LSTM(3, 4), "cell": nn.GRUCell(3, 4), "a": nn.Linear(3, 4)}
    )
    assert str(accelerate(model)).splitlines() == [
        "encoder  LSTM(3, 4)     replaced",
        "cell     GRUCell(3, 4)  left: is a single step, not a layer",
    ]
    assert str(accelerate(model)).splitlines()[0].endswith("left: is one of unrolled's already")
    assert str(accelerate(nn.Linear(3, 4))) == "no recurrent layer found"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("wrong", "came"), [({}, "dict"), (nn.LSTM, "the class LSTM"), (None, "NoneType")]
)
def test_what_is_no_module(wrong: Any, came: str) -> None:
    with pytest.raises(TypeError, match=f"accelerate: model must be a torch.nn.Module, got {came}"):
        accelerate(wrong)
