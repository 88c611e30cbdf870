"""Plain calls with a gradient give the bits of any other call, and all others take the long way.

Each test compares with `using("kernels")`, under which a layer looks at everything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter
from torch.nn.utils import parametrizations, prune
from torch.utils.checkpoint import checkpoint

import unrolled
from unrolled import using
from unrolled.cells import CELLS
from unrolled.engine import register
from unrolled.engine.observer import Observer
from unrolled.layers.training_call import TrainingCall


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each call with a gradient whether it took the short way."""
    answers: list[bool] = []
    run = TrainingCall.run

    def counted(*arguments: Any) -> Any:
        result = run(*arguments)
        answers.append(result is not None)
        return result

    monkeypatch.setattr(TrainingCall, "run", counted)
    return answers


def flat(result: Any) -> list[Tensor]:
    """Output and last states."""
    output, states = result
    return [output, *([states] if isinstance(states, Tensor) else states)]


def numbers(layer: Any, x: Tensor, hx: Any = None) -> list[Tensor]:
    """Output, last states and the gradients of everything."""
    found = flat(layer(x, hx))
    given = [] if hx is None else [hx] if isinstance(hx, Tensor) else [*hx]
    leaves = [t for t in (x, *given, *layer.parameters()) if t.requires_grad]
    weighted = [(v * torch.linspace(-1, 2, v.numel()).view_as(v)).sum() for v in found]
    return [*found, *torch.autograd.grad(torch.stack(weighted).sum(), leaves)]


def same(layer: Any, x: Tensor, hx: Any = None) -> bool:
    """Whether a call gives the numbers, shapes and strides of one that looks at everything."""
    short = numbers(layer, x, hx)
    with using("kernels"):
        long = numbers(layer, x, hx)
    return all(
        torch.equal(one, other) and one.stride() == other.stride() and one.dtype == other.dtype
        for one, other in zip(short, long, strict=True)
    )


@pytest.fixture
def layer() -> Any:
    torch.manual_seed(0)
    return unrolled.GRU(5, 12)


x = torch.linspace(-1, 1, 30).reshape(3, 2, 5)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.__name__)
def test_every_cell(cell: Any, taken: list[bool]) -> None:
    torch.manual_seed(1)
    size = 6 if unrolled.Recurrent(cell, 6, 6).program.reads_input else 5
    many: list[dict[str, Any]] = [{}, {"bidirectional": True, "batch_first": True}, {"bias": False}]
    for options in many:
        layer = unrolled.Recurrent(cell, size, 6, **options)
        for steps, rows in ((0, 2), (1, 1), (4, 3), (5, 9)):
            shape = (rows, steps, size) if layer.batch_first else (steps, rows, size)
            assert same(layer, torch.randn(shape))
        if not layer.program.vectors and layer.program.rows("U") and not cell.antisymmetric:
            assert taken[-2]  # the last one is under `using`


@pytest.mark.parametrize("count", [1, 2])
def test_states_and_what_needs_a_gradient(count: int, taken: list[bool]) -> None:
    layer: Any = unrolled.LSTM(5, 4, proj_size=3) if count == 2 else unrolled.RNN(5, 3)
    for of_x in (False, True):
        for of_states in (False, True):
            given = x.clone().requires_grad_(of_x)
            states: Any = [torch.rand(1, 2, n) for n in (3, 4)[:count]]
            states = [state.requires_grad_(of_states) for state in states]
            assert same(layer, given, tuple(states) if count == 2 else states[0])
    layer.weight_ih_l0.requires_grad_(False)
    assert same(layer, x)
    assert all(taken[::2])


def test_nothing_that_needs_a_gradient(layer: Any, taken: list[bool]) -> None:
    layer.requires_grad_(False)
    assert not layer(x)[0].requires_grad
    assert taken == [False]


@pytest.mark.parametrize(
    "make",
    [
        lambda: unrolled.GRU(5, 4, num_layers=2),
        lambda: unrolled.GRU(5, 4, learn_initial=True),
        lambda: unrolled.GRU(5, 4, zoneout=0.1),
        lambda: unrolled.GRU(5, 4, recurrent_dropout=0.5),
        lambda: unrolled.GRU(5, 4, weight_drop=0.5),
        lambda: unrolled.Recurrent(unrolled.cells.PeepholeLSTM, 5, 4),
        lambda: unrolled.GRU(5, 4).double(),
        lambda: unrolled.GRU(5, 4).bfloat16(),
        lambda: parametrizations.weight_norm(unrolled.GRU(5, 4), "weight_hh_l0"),
        lambda: prune.l1_unstructured(  # type: ignore[no-untyped-call]
            unrolled.GRU(5, 4), "weight_hh_l0", 0.5
        ),
    ],
)
def test_layers_that_take_the_long_way(make: Callable[[], Any], taken: list[bool]) -> None:
    layer = make()
    given = x.to(layer.bias_ih_l0.dtype)
    torch.manual_seed(3)
    found = numbers(layer, given)
    assert taken == [False]
    torch.manual_seed(3)
    with using("auto"):
        again = numbers(layer, given)
    assert all(torch.equal(one, other) for one, other in zip(found, again, strict=True))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_calls_that_take_the_long_way(layer: Any, taken: list[bool]) -> None:
    class Mine:
        name, variants, is_one_node = "mine", (), False

        def obstacle(self, request: Any) -> str:
            return "never"

    layer(x, lengths=[3, 1])
    layer(x, reset=torch.zeros(3, 2, dtype=torch.bool))
    layer(x, checkpoint=2)
    layer(x, return_states=True)
    assert taken == []
    layer(x[:, 0])
    with using("reference"):
        layer(x)
    with register(Mine()):  # type: ignore[arg-type]
        layer(x)
    with torch.autocast("cpu"):
        layer(x)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, torch.ones_like(x))  # type: ignore[no-untyped-call]
        output = forward_ad.unpack_dual(layer(dual)[0])  # type: ignore[no-untyped-call]
        assert output.tangent is not None
    layer.watch = lambda level, direction: Observer()
    layer(x)
    layer.watch = None
    assert taken == [False] * len(taken)
    layer(x)
    assert taken[-1]


def test_transforms_and_other_parameters(layer: Any, taken: list[bool]) -> None:
    named = {name: parameter.detach() * 2 for name, parameter in layer.named_parameters()}

    def loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        output: Tensor = torch.func.functional_call(layer, weights, (x,))[0]
        return output.square().sum()

    found = torch.func.grad(loss)(named, x)
    per_row = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 1))(named, x.unsqueeze(2))
    leaves = {name: weight.clone().requires_grad_() for name, weight in named.items()}
    expected = torch.autograd.grad(loss(leaves, x), [*leaves.values()])
    assert not any(taken)
    for name, one in zip(named, expected, strict=True):
        torch.testing.assert_close(found[name], one)
        torch.testing.assert_close(per_row[name].sum(0), one)
    tied = {name: Parameter(weight) for name, weight in named.items()}
    through = torch.autograd.grad(loss(tied, x), [*tied.values()])  # type: ignore[arg-type]
    assert taken[-1]
    assert all(torch.equal(one, other) for one, other in zip(through, expected, strict=True))


def test_whatever_happens_to_the_parameters_counts(layer: Any) -> None:
    assert same(layer, x)
    layer.weight_hh_l0.data = layer.weight_hh_l0.data.t().contiguous().t() * 2
    assert same(layer, x)
    with torch.no_grad():
        layer.bias_ih_l0.add_(1)
    assert same(layer, x)
    layer.weight_ih_l0 = Parameter(torch._neg_view(torch.rand(36, 5)))
    assert same(layer, x)
    assert same(layer, torch._neg_view(x))
    assert same(layer, torch.rand(2, 5, 3).permute(2, 0, 1))
    layer.batch_first = True
    assert layer(x)[1].shape == (1, 3, 12)
    assert same(layer, x)
    layer.weight_ih_l0 = Parameter(torch.rand(36, 4))
    with pytest.raises(ValueError, match=r"weight_ih_l0 must have shape \[36, 5\], got \[36, 4\]"):
        layer(x)


def test_errors_are_the_layers_own(layer: Any) -> None:
    for wrong, text in ((x[..., :4], "has 4 features"), (x.double(), "input is torch.float64")):
        with pytest.raises(ValueError, match=text):
            layer(wrong)
    states: Any
    for states, text in ((torch.zeros(1, 3, 12), "h_0 must have shape"), ([], "hx must be one")):
        with pytest.raises((ValueError, TypeError), match=text):
            layer(x, states)


def test_what_autograd_offers(layer: Any, taken: list[bool]) -> None:
    """Hooks, a gradient's gradient, many gradients at once, torch's own checkpoints."""
    seen: list[Tensor] = []

    def doubled(gradient: Tensor) -> Tensor:
        seen.append(gradient)
        return gradient * 2

    handle = layer.bias_hh_l0.register_hook(doubled)
    layer(x)[0].sum().backward()
    assert torch.equal(layer.bias_hh_l0.grad, seen[0] * 2)
    handle.remove()

    given = x.clone().requires_grad_()

    def twice() -> Tensor:
        (first,) = torch.autograd.grad(layer(given)[0].square().sum(), given, create_graph=True)
        return torch.autograd.grad(first.square().sum(), given)[0]

    def many() -> Tensor:
        output = layer(given)[0]
        grads = torch.eye(output.numel())[:4].reshape(4, *output.shape)
        return torch.autograd.grad(output, given, grads, is_grads_batched=True)[0]

    def again() -> Tensor:
        output: Tensor = checkpoint(lambda t: layer(t)[0], given, use_reentrant=False)
        return torch.autograd.grad(output.sum(), given)[0]

    for function in (twice, many, again):
        taken.clear()
        found = function()
        assert all(taken)
        assert taken
        with using("kernels"):
            assert torch.equal(found, function())


def test_a_changed_tensor_is_noticed(layer: Any) -> None:
    loss = layer(x)[0].sum()
    with torch.no_grad():
        layer.weight_hh_l0.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
