"""An engine of one's own runs layers, and nothing else has to know of it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import unrolled
from unrolled.engine import register
from unrolled.engine.choice import names
from unrolled.engine.interface import Engine, Result
from unrolled.engine.request import Request
from unrolled.engine.stream import ReferenceStream, Steps


class Toy:
    """Runs one layer of ReLU units, in three lines and in no other module."""

    name = "toy"
    variants = ("loud-toy",)
    is_one_node = False

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def obstacle(self, request: Request) -> str | None:
        if request.program.name != "rnn,nonlinearity=relu":
            return "the toy knows relu only"
        return None if request.layers == 1 else "the toy has one layer"

    def run(self, request: Request) -> Result:
        self.requests.append(request)
        W, U, b, c = request.weights
        (h,), outputs = request.initial or request.zeros(request.x.shape[1]), []
        for x in request.x:
            h = (x @ W.T + b + h @ U.T + c).relu()
            outputs.append(h[0])
        return Result(torch.stack(outputs), [h])

    def stream(self, request: Request) -> Steps:
        self.requests.append(request)
        return ReferenceStream.of(request)

    def describe(self, request: Request) -> str:
        return f"the toy, asked for as {request.asked}"


@pytest.fixture
def layer() -> unrolled.RNN:
    return unrolled.RNN(3, 4, nonlinearity="relu")


def gradients(layer: torch.nn.Module, x: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(layer(x)[0].square().sum(), list(layer.parameters())))


def test_it_runs_what_it_can(layer: unrolled.RNN) -> None:
    x, toy = torch.randn(9, 2, 3), Toy()
    expected, by_kernels = layer(x), gradients(layer, x)
    with register(toy):
        assert unrolled.explain(layer, x).endswith(": the toy, asked for as auto.")
        torch.testing.assert_close(layer(x), expected)
        torch.testing.assert_close(gradients(layer, x), by_kernels)
    assert len(toy.requests) == 2
    assert "toy" not in unrolled.explain(layer, x)


def test_what_it_cannot_run_goes_on_to_the_next_with_its_reason(layer: unrolled.RNN) -> None:
    x, toy = torch.randn(9, 2, 3), Toy()
    with register(toy):
        text = unrolled.explain(unrolled.GRU(3, 4), x)
        assert text.startswith("GRU(3, 4): CPU kernels with ")
        assert text.endswith(", because the toy knows relu only.")
        layer.double()
        with unrolled.using("reference"):
            assert "the reference" in unrolled.explain(layer, x.double())
            layer(x.double())
        deep = unrolled.RNN(3, 4, 2, nonlinearity="relu", dtype=torch.float64)
        assert unrolled.explain(deep, x.double()).endswith(
            "torch's own fused layer, because the toy has one layer and the numbers are float64 "
            "and the kernels compute in float32 or bfloat16."
        )
    assert not toy.requests


def test_it_is_asked_for_by_its_names(layer: unrolled.RNN) -> None:
    x = torch.randn(9, 2, 3)
    with register(Toy()):
        assert names()[:3] == ("auto", "toy", "loud-toy")
        with unrolled.using("loud-toy"):
            assert unrolled.explain(layer, x).endswith("the toy, asked for as loud-toy.")
        with unrolled.using("kernels"):
            assert unrolled.explain(layer, x).endswith('because using("kernels") asks for it.')
    assert "toy" not in names()
    with (
        pytest.raises(ValueError, match="using: expected one of auto, kernels"),
        unrolled.using("toy"),
    ):
        pass


def test_it_runs_streams(layer: unrolled.RNN) -> None:
    toy = Toy()
    with register(toy):
        stream = layer.stream()
    (request,) = toy.requests
    assert request.x.shape == (0, 1, 3)
    x = torch.randn(9, 3)
    torch.testing.assert_close(stream.run(x), layer(x)[0].detach())


def test_a_name_is_taken_once() -> None:
    other = Toy()
    other.name = "avx2" if "avx2" in names() else "baseline"
    for engine in (other, Toy()):
        with pytest.raises(ValueError, match=r"register: there is an engine '.*' already"):
            _both(Toy(), engine)
    assert "toy" not in names()


def _both(first: Engine, second: Engine) -> None:
    with register(first), register(second):
        pass
