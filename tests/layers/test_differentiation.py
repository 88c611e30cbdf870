"""Derivatives of every kind: once, twice, forward, per sample, in evaluation, recomputed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vmap
from torch.utils.checkpoint import checkpoint

import unrolled
from unrolled.engine.torch.engine import TorchEngine, arguments_of
from unrolled.layers import GRU, LSTM, RNN

functional: Any = torch.autograd.functional  # untyped

LAYERS: dict[str, Callable[..., torch.nn.RNNBase]] = {
    "RNN": RNN,
    "RNN-sigmoid": lambda i, h, n=1, **more: RNN(i, h, n, "sigmoid", **more),
    "LSTM": LSTM,
    "LSTM-projected": lambda i, h, n=1, **more: LSTM(i, h, n, proj_size=2, **more),
    "GRU": GRU,
    "GRU-original": lambda *sizes, **more: GRU(*sizes, reset_after=False, **more),
}
layers = pytest.mark.parametrize("name", LAYERS)
# torch itself still scripts the decompositions that forward mode uses.
forward_mode = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")


def flat(result: tuple[Tensor, Any]) -> tuple[Tensor, ...]:
    output, last = result
    return (output, last) if isinstance(last, Tensor) else (output, *last)


def loss_of(result: tuple[Tensor, Any]) -> Tensor:
    """Curved in every number."""
    return torch.stack([value.sin().sum() for value in flat(result)]).sum()


def inputs(layer: torch.nn.RNNBase, steps: int = 3, rows: int = 2) -> list[Tensor]:
    """An input and initial states, double precision, differentiable."""
    stacked = layer.num_layers * (1 + layer.bidirectional)
    sizes = [layer.proj_size or layer.hidden_size]
    if isinstance(layer, LSTM):
        sizes.append(layer.hidden_size)
    found = [torch.randn(steps, rows, layer.input_size)]
    found += [torch.randn(stacked, rows, size) for size in sizes]
    return [tensor.double().requires_grad_() for tensor in found]


@pytest.mark.parametrize("lengths", [None, [1, 3]], ids=["full", "lengths"])
@layers
def test_gradcheck_and_gradgradcheck_pass_through_the_layer(
    name: str, lengths: list[int] | None
) -> None:
    torch.manual_seed(0)
    layer = LAYERS[name](2, 3, bidirectional=True, dtype=torch.float64)
    names = list(dict(layer.named_parameters()))
    given = inputs(layer)
    states = len(given) - 1

    def run(*tensors: Tensor) -> tuple[Tensor, ...]:
        own = dict(zip(names, tensors[1 + states :], strict=True))
        hx = tensors[1] if states == 1 else tensors[1 : 1 + states]
        return flat(functional_call(layer, own, (tensors[0], hx), {"lengths": lengths}))

    everything = [*given, *[p.detach().clone().requires_grad_() for p in layer.parameters()]]
    with unrolled.using("reference"):
        assert torch.autograd.gradcheck(run, everything, fast_mode=True)
        assert torch.autograd.gradgradcheck(run, everything, fast_mode=True)


@pytest.mark.parametrize("lengths", [None, [4, 0, 2]], ids=["full", "lengths"])
@layers
def test_second_derivatives_through_the_kernels(name: str, lengths: list[int] | None) -> None:
    torch.manual_seed(0)
    layer = LAYERS[name](3, 4, 2, bidirectional=True)
    x = torch.randn(4, 3, 3)

    def second(layer: torch.nn.RNNBase, x: Tensor) -> list[Tensor]:
        x = x.clone().requires_grad_()
        parameters = list(layer.parameters())
        first = torch.autograd.grad(
            loss_of(layer(x, lengths=lengths)), [x, *parameters], create_graph=True
        )
        penalty = torch.stack([each.square().sum() for each in first]).sum()
        return list(torch.autograd.grad(penalty, [x, *parameters]))

    assert "kernels" in unrolled.explain(layer, x, lengths=lengths)
    actual = second(layer, x)
    with unrolled.using("reference"):
        expected = second(copy.deepcopy(layer).double(), x.double())
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=0, atol=1e-4 * float(b.abs().max()))


@layers
def test_gradients_in_evaluation_mode_are_those_of_training(name: str) -> None:
    layer = LAYERS[name](3, 4, 2)
    x = torch.randn(5, 2, 3)
    parameters = list(layer.parameters())
    expected = torch.autograd.grad(loss_of(layer(x)), parameters)
    layer.eval()
    torch.testing.assert_close(torch.autograd.grad(loss_of(layer(x)), parameters), expected)


@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
def test_cudnn_is_run_in_training_mode_without_dropout_for_the_sake_of_backward(
    kind: Any,
) -> None:
    layer, x = kind(3, 4, 2, dropout=0.5).eval(), torch.randn(5, 2, 3)
    with unrolled.using("torch"):
        request = layer.request(x)
        evaluation = layer(x)
    on_cuda: Any = SimpleNamespace(is_cuda=True)
    assert arguments_of(request)[-3:-1] == (0.0, False)
    assert arguments_of(request._replace(x=on_cuda))[-3:-1] == (0.0, True)
    with torch.no_grad():
        assert arguments_of(request._replace(x=on_cuda))[-3:-1] == (0.0, False)
    # What would run on CUDA, run on the CPU: the numbers are those of evaluation.
    output, last, _ = TorchEngine().run(request._replace(training=True))
    torch.testing.assert_close((output, last[0] if len(last) == 1 else tuple(last)), evaluation)


@layers
def test_a_kept_graph_gives_the_same_gradients_again(name: str) -> None:
    layer = LAYERS[name](3, 4, 2)
    x = torch.randn(5, 2, 3, requires_grad=True)
    loss = loss_of(layer(x))
    leaves = [x, *layer.parameters()]
    first = torch.autograd.grad(loss, leaves, retain_graph=True)
    second = torch.autograd.grad(loss, leaves)
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)


@layers
def test_frozen_weights_get_no_gradient_and_change_no_other(name: str) -> None:
    layer = LAYERS[name](3, 4, 2)
    x = torch.randn(5, 2, 3)
    torch.autograd.backward(loss_of(layer(x)))
    expected = {key: p.grad for key, p in layer.named_parameters()}
    layer.zero_grad()
    frozen = ("weight_hh_l0", "bias_ih_l1", "weight_ih_l1")
    for key in frozen:
        getattr(layer, key).requires_grad_(False)
    torch.autograd.backward(loss_of(layer(x)))
    for key, p in layer.named_parameters():
        if key in frozen:
            assert p.grad is None
        else:
            torch.testing.assert_close(p.grad, expected[key])


@pytest.mark.parametrize("reentrant", [False, True], ids=["hooks", "reentrant"])
@layers
def test_checkpointing_recomputes_the_same_gradients(name: str, reentrant: bool) -> None:
    layer = LAYERS[name](3, 4, 2)
    x = torch.randn(5, 2, 3, requires_grad=True)

    def gradients(output: Tensor) -> list[Tensor | None]:
        for leaf in (x, *layer.parameters()):
            leaf.grad = None
        torch.autograd.backward(output.sin().sum())
        return [leaf.grad for leaf in (x, *layer.parameters())]

    expected = gradients(layer(x)[0])
    again = checkpoint(lambda x: layer(x)[0], x, use_reentrant=reentrant)
    torch.testing.assert_close(gradients(again), expected)


@layers
def test_inference_mode_and_no_grad_keep_nothing(name: str) -> None:
    layer = LAYERS[name](3, 4, 2)
    x = torch.randn(5, 2, 3)
    expected = layer(x)[0]
    with torch.inference_mode():
        inside = layer(x)[0]
    with torch.no_grad():
        without = layer(x)[0]
    assert inside.is_inference()
    assert not without.requires_grad
    torch.testing.assert_close(inside, expected.detach())
    assert torch.equal(inside, without)


@layers
def test_torch_func_gradients_are_those_of_backward(name: str) -> None:
    layer = LAYERS[name](3, 4, 2, bidirectional=True)
    x = torch.randn(5, 2, 3)
    weights = {key: p.detach() for key, p in layer.named_parameters()}

    def loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return loss_of(functional_call(layer, weights, (x,)))

    expected = dict(
        zip(weights, torch.autograd.grad(loss_of(layer(x)), list(layer.parameters())), strict=True)
    )
    torch.testing.assert_close(grad(loss)(weights, x), expected)
    many = torch.randn(3, 5, 2, 3)
    each = vmap(grad(loss), in_dims=(None, 0))(weights, many)  # per-sample gradients
    for row, own in enumerate(many):
        torch.testing.assert_close({k: v[row] for k, v in each.items()}, grad(loss)(weights, own))


@layers
def test_vmap_over_input_lengths_and_states(name: str) -> None:
    layer = LAYERS[name](3, 4, 2)
    x, lengths = torch.randn(3, 5, 2, 3), torch.tensor([[5, 1], [0, 2], [3, 3]])
    result = vmap(lambda x, n: flat(layer(x, lengths=n)))(x, lengths)
    for row in range(3):
        expected = flat(layer(x[row], lengths=lengths[row]))
        torch.testing.assert_close(tuple(value[row] for value in result), expected)
    unbatched = vmap(lambda x: layer(x)[0])(x[:, :, 0])
    torch.testing.assert_close(unbatched, torch.stack([layer(each)[0] for each in x[:, :, 0]]))


@forward_mode
@layers
def test_forward_mode_and_jacobians_agree(name: str) -> None:
    layer = LAYERS[name](2, 3, dtype=torch.float64)
    x, direction = torch.randn(4, 1, 2).double(), torch.randn(4, 1, 2).double()

    def run(x: Tensor) -> Tensor:
        output: Tensor = layer(x)[0]
        return output

    jacobian = jacrev(run)(x)
    torch.testing.assert_close(jacfwd(run)(x), jacobian)
    expected = torch.tensordot(jacobian, direction, dims=3)
    torch.testing.assert_close(jvp(run, (x,), (direction,))[1], expected)
    curvature = hessian(lambda x: run(x).sum())(x).reshape(8, 8)
    torch.testing.assert_close(curvature, curvature.T)


@forward_mode
def test_forward_mode_works_in_single_precision_where_the_kernels_cannot() -> None:
    layer = LSTM(2, 3)
    x, direction = torch.randn(4, 1, 2), torch.randn(4, 1, 2)
    output, tangent = jvp(lambda x: layer(x)[0], (x,), (direction,))[:2]
    exact = copy.deepcopy(layer).double()
    expected = jvp(lambda x: exact(x)[0], (x.double(),), (direction.double(),))[1]
    torch.testing.assert_close(output, layer(x)[0])
    torch.testing.assert_close(tangent, expected.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("engine", ["auto", "reference"])
@pytest.mark.parametrize("mapped_by", ["autograd", "func", "both"])
def test_many_gradients_at_once(mapped_by: str, engine: str) -> None:
    """`is_grads_batched` and `torch.func.vmap` over one forward pass; and one within the other."""
    layer = LSTM(3, 4, 2, bidirectional=True, batch_first=True)
    x = torch.randn(2, 9, 3, requires_grad=True)
    with unrolled.using(engine):
        output, (h, _) = layer(x, lengths=[9, 4])
    leaves = [x, *layer.parameters()]

    def gradients(of_output: Tensor, batched: bool = False) -> Any:
        of_h = torch.ones_like(h) if not batched else torch.ones(len(of_output), *h.shape)
        return torch.autograd.grad(
            [output, h], leaves, [of_output, of_h], retain_graph=True, is_grads_batched=batched
        )

    given = torch.randn(2, 3, *output.shape)
    expected = [[gradients(one) for one in each] for each in given]
    if mapped_by == "autograd":
        found = [gradients(each, batched=True) for each in given]
    elif mapped_by == "func":
        found = [torch.func.vmap(gradients)(each) for each in given]
    else:
        outer = torch.func.vmap(torch.func.vmap(gradients))(given)
        found = list(zip(*outer, strict=True))
    for each, wanted in zip(found, expected, strict=True):
        stacked = [torch.stack(of_one) for of_one in zip(*wanted, strict=True)]
        torch.testing.assert_close(list(each), stacked, rtol=1e-4, atol=1e-5)


@forward_mode
@pytest.mark.parametrize("make", [lambda: LSTM(3, 4), lambda: GRU(3, 4, reset_after=False)])
def test_jacobian_and_hessian_at_once(make: Callable[[], torch.nn.RNNBase]) -> None:
    layer, x = make(), torch.randn(9, 1, 3)
    for strategy in ("reverse-mode", "forward-mode"):
        torch.testing.assert_close(
            functional.jacobian(lambda x: layer(x)[0], x, vectorize=True, strategy=strategy),
            functional.jacobian(lambda x: layer(x)[0], x),
        )

    def loss(x: Tensor) -> Tensor:
        found: Tensor = layer(x)[0].square().sum()
        return found

    torch.testing.assert_close(
        functional.hessian(loss, x, vectorize=True), functional.hessian(loss, x)
    )
    of_graph = functional.jacobian(loss, x, vectorize=True, create_graph=True)
    assert of_graph.requires_grad
