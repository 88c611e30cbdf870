"""Weights begin as the cell and the layer's options say, and otherwise as torch.nn draws them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import unrolled
from unrolled import cells
from unrolled.cells import Cell, sigmoid
from unrolled.layers import GRU, LSTM, RNN, Recurrent

from .batches import as_list
from .cells import Bare, Highway, Memory, Shared, ThreeStates

LAYERS: dict[str, Any] = {
    "LSTM": LSTM,
    "GRU": GRU,
    "GRU-original": lambda *sizes, **more: GRU(*sizes, reset_after=False, **more),
    "Recurrent": lambda *sizes, **more: Recurrent(cells.LSTM, *sizes, **more),
    "Recurrent-vectors": lambda *sizes, **more: Recurrent(Memory, *sizes, **more),
}
each_layer = pytest.mark.parametrize("name", LAYERS)
OPTIONS: dict[str, dict[str, Any]] = {
    "forget-bias": {"forget_bias": 1.5},
    "chrono": {"chrono": 50},
    "orthogonal": {"recurrent_init": "orthogonal"},
    "identity": {"recurrent_init": "identity"},
    "learned": {"learn_initial": True},
}


def gates(layer: Any) -> dict[str, float]:
    return dict(layer.cell.gates_of_memory)


@each_layer
def test_forget_bias_is_the_sum_of_both_biases(name: str) -> None:
    layer = LAYERS[name](3, 8, 2, bidirectional=True, forget_bias=1.5)
    gate, sign = next(iter(gates(layer).items()))
    for k, reverse in ((0, False), (0, True), (1, False), (1, True)):
        assert (layer.gate(f"W.{gate}.bias", k, reverse) == 1.5 * sign).all()
        assert (layer.gate(f"U.{gate}.bias", k, reverse) == 0).all()


def test_forget_bias_of_a_gate_that_forgets_is_negative() -> None:
    layer = Recurrent(Shared, 3, 8, forget_bias=2)
    assert (layer.gate("W.f.bias") == -2).all()


def test_a_gate_without_w_has_its_bias_in_u() -> None:
    class Alone(Cell):
        gates_of_memory = {"f": 1}  # noqa: RUF012

        def step(W: Any, U: Any, x: Any, h: Any) -> Any:  # noqa: N805
            return sigmoid(U.f(h)) * h + W.n(x)

    assert (Recurrent(Alone, 3, 4, forget_bias=3.0).gate("U.f.bias") == 3).all()


@each_layer
def test_chrono_draws_times_between_one_and_the_longest(name: str) -> None:
    """b = log u, u uniform on [1, T_max - 1]; gates that let in have the opposite."""
    torch.manual_seed(0)
    layer = LAYERS[name](3, 4000, chrono=101)
    (first, sign), *others = gates(layer).items()
    bias = sign * layer.gate(f"W.{first}.bias").detach()
    times = bias.exp()
    assert 1 <= times.min() < 1.5
    assert 99.5 < times.max() <= 100.001
    assert abs(times.mean() - 50.5) < 2
    assert (layer.gate(f"U.{first}.bias") == 0).all()
    for gate, other_sign in others:
        assert torch.equal(layer.gate(f"W.{gate}.bias"), other_sign * bias)
        assert (layer.gate(f"U.{gate}.bias") == 0).all()


@each_layer
def test_orthogonal_blocks(name: str) -> None:
    layer = LAYERS[name](3, 8, 2, recurrent_init="orthogonal")
    for gate in layer.program.rows("U"):
        block = layer.gate(f"U.{gate}", 1)
        torch.testing.assert_close(block @ block.T, torch.eye(8))
    assert not torch.equal(*(layer.gate(f"U.{gate}") for gate in layer.program.rows("U")[:2]))


def test_blocks_of_heads_and_of_a_projection() -> None:
    heads = Recurrent(cells.GRU, 3, 8, heads=2, recurrent_init="orthogonal")
    for block in heads.gate("U.z").chunk(2):
        torch.testing.assert_close(block @ block.T, torch.eye(4))
    identity = Recurrent(cells.GRU, 3, 8, heads=2, recurrent_init="identity")
    assert torch.equal(identity.gate("U.z"), torch.eye(4).repeat(2, 1))
    projected = LSTM(3, 8, proj_size=5, recurrent_init="orthogonal")
    block = projected.gate("U.f")
    torch.testing.assert_close(block.T @ block, torch.eye(5))


def test_identity_in_bfloat16_and_orthogonal_in_float16() -> None:
    layer: Any = RNN(3, 4, recurrent_init="identity", dtype=torch.bfloat16)
    assert torch.equal(layer.weight_hh_l0, torch.eye(4, dtype=torch.bfloat16))
    layer = RNN(3, 4, recurrent_init="orthogonal", dtype=torch.float16)
    short = layer.weight_hh_l0.float()
    torch.testing.assert_close(short @ short.T, torch.eye(4), rtol=0, atol=5e-3)


def test_what_the_cell_says_itself() -> None:
    layer = Recurrent(Highway, 4, 4, 2)
    for k in range(2):
        assert (layer.gate("W.t.bias", k) == -1).all()
        assert (layer.gate("U.t.bias", k) == 0).all()
        assert 2 < layer.gate("s.r", k) < 3
    assert (Recurrent(Bare, 4, 4).gate("V.a") == 0.5).all()
    assert (Recurrent(Highway, 4, 4, forget_bias=3.0).gate("W.t.bias") == 3).all()
    assert Recurrent(Highway, 4, 4, bias=False).gate("s.r") > 2  # and there is no bias to set
    vector = Recurrent(Memory, 3, 400, leak=0.5).gate("V.f").detach()
    assert 0.04 < vector.abs().max() <= 0.05  # ±1/√H, as all others


@pytest.mark.parametrize("option", OPTIONS)
@each_layer
def test_the_same_seed_gives_the_same_weights_also_when_drawn_again(name: str, option: str) -> None:
    def drawn(**more: Any) -> dict[str, Tensor]:
        torch.manual_seed(7)
        layer = LAYERS[name](3, 8, 2, **more)
        first = {k: v.clone() for k, v in layer.state_dict().items()}
        torch.manual_seed(7)
        layer.reset_parameters()
        for k, v in layer.state_dict().items():
            assert torch.equal(v, first[k])
        return first

    plain, found = drawn(), drawn(**OPTIONS[option])
    touched = {"forget-bias": "bias", "chrono": "bias", "learned": "initial"}.get(option, "_hh")
    for key, value in plain.items():  # an option leaves alone what it does not set
        assert touched in key or torch.equal(found[key], value)
    assert any(k not in plain or not torch.equal(plain[k], v) for k, v in found.items())


@pytest.mark.parametrize("option", OPTIONS)
def test_layers_on_meta_are_drawn_when_they_are_there(option: str) -> None:
    layer = LSTM(3, 8, device="meta", **OPTIONS[option])
    filled = layer.to_empty(device="cpu")
    filled.reset_parameters()
    assert all(p.isfinite().all() for p in filled.parameters())


def perturbed(layer: Any) -> Any:
    """A layer whose learned initial states are no longer zero."""
    with torch.no_grad():
        for key, parameter in layer.named_parameters():
            if key.startswith("initial"):
                assert not parameter.any()
                parameter.normal_()
    return layer


LEARNED: dict[str, Any] = {
    "LSTM": lambda **more: LSTM(3, 4, 2, **more),
    "LSTM-projected": lambda **more: LSTM(3, 4, 2, proj_size=2, **more),
    "GRU": lambda **more: GRU(3, 4, 2, **more),
    "Recurrent": lambda **more: Recurrent(ThreeStates, 3, 4, 2, **more),
}


@pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "bidirectional"])
@pytest.mark.parametrize("engine", ["kernels", "torch", "reference"])
@pytest.mark.parametrize("name", LEARNED)
def test_a_learned_initial_state_is_one_that_is_given_to_every_row(
    name: str, engine: str, bidirectional: bool
) -> None:
    """With lengths and resets; its gradient is the sum over rows and pieces."""
    torch.manual_seed(0)
    layer = perturbed(LEARNED[name](learn_initial=True, bidirectional=bidirectional)).double()
    if engine == "kernels":
        layer.float()
    x = torch.randn(6, 3, 3, dtype=layer.weight_ih_l0.dtype)
    ends = [f"_l{k}{r}" for k in range(2) for r in ["", "_reverse"][: 1 + bidirectional]]
    own = [
        [layer.get_parameter(f"initial_{state.name}{end}") for end in ends]
        for state in layer.program.states
    ]
    given = [torch.stack(each).unsqueeze(1).expand(-1, 3, -1).contiguous() for each in own]
    hx = given[0] if len(given) == 1 else tuple(given)
    for options in ({}, {"lengths": [6, 0, 3]}, {"reset": torch.rand(6, 3) < 0.4}):
        with unrolled.using(engine):
            found, wanted = (layer(x, states, **options) for states in (None, hx))
        values = [[result[0], *as_list(result[1])] for result in (found, wanted)]
        for a, b in zip(*values, strict=True):
            torch.testing.assert_close(a, b)
        leaves = [parameter for each in own for parameter in each]
        gradients = [
            torch.autograd.grad(sum(v.sin().sum() for v in each), leaves, retain_graph=True)
            for each in values
        ]
        for a, b in zip(*gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
        assert all(gradient.any() for gradient in gradients[0])


def test_learned_initial_states_of_unbatched_packed_and_streamed_input() -> None:
    layer, x = perturbed(LSTM(3, 4, 2, learn_initial=True)), torch.randn(6, 3, 3)
    output, _ = layer(x)
    torch.testing.assert_close(layer(x[:, 1])[0], output[:, 1])
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor([6, 6, 6]))
    torch.testing.assert_close(layer(packed)[0].data, output.flatten(0, 1))
    stream = layer.stream(3)
    torch.testing.assert_close(stream.run(x), output.detach())
    stream.reset()
    torch.testing.assert_close(stream(x[0]), output[0].detach())
    zeros = torch.zeros(2, 3, 4)
    assert not torch.equal(layer(x, (zeros, zeros))[0], output)
    single = perturbed(GRU(3, 4, learn_initial=True))
    torch.testing.assert_close(single.stream(3).run(x), single(x)[0].detach())


ERRORS: dict[str, tuple[Any, type[Exception], str]] = {
    "no gate of memory": (
        lambda: RNN(3, 4, forget_bias=1.0),
        ValueError,
        "RNN: forget_bias needs a gate of memory, and this cell has none",
    ),
    "no gate for chrono": (
        lambda: Recurrent(ThreeStates, 3, 4, chrono=10),
        ValueError,
        "Recurrent(ThreeStates): chrono needs a gate of memory",
    ),
    "kind": (
        lambda: LSTM(3, 4, forget_bias="1"),  # type: ignore[arg-type]
        TypeError,
        "forget_bias must be a number, got str",
    ),
    "no bias": (
        lambda: LSTM(3, 4, bias=False, forget_bias=1.0),
        ValueError,
        "forget_bias sets a bias, so bias must be True, got False",
    ),
    "short": (lambda: LSTM(3, 4, chrono=2), ValueError, "chrono must be more than 2 steps"),
    "both": (
        lambda: GRU(3, 4, chrono=9, forget_bias=1.0),
        ValueError,
        "GRU: forget_bias and chrono set the same bias",
    ),
    "matrix": (
        lambda: GRU(3, 4, recurrent_init="eye"),  # type: ignore[arg-type]
        ValueError,
        "recurrent_init must be one of orthogonal, identity, got 'eye'",
    ),
    "no matrix": (
        lambda: Recurrent(Shared, 3, 4, recurrent_init="identity"),
        ValueError,
        "recurrent_init needs a recurrent matrix U; there is none",
    ),
    "flag": (
        lambda: GRU(3, 4, learn_initial=1),  # type: ignore[arg-type]
        TypeError,
        "learn_initial must be a bool, got int",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_the_option(name: str) -> None:
    call, kind, text = ERRORS[name]
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cell_that_names_a_weight_it_does_not_have() -> None:
    class Wrong(Cell):
        initial = {"V.q": 1.0}  # noqa: RUF012

        def step(W: Any, x: Any, h: Any) -> Any:  # noqa: N805
            return h + W.a(x)

    with pytest.raises(ValueError, match=r"there is no 'V\.q'; there are W\.a, W\.a\.bias"):
        Recurrent(Wrong, 3, 4)


def test_options_are_shown() -> None:
    assert repr(LSTM(3, 4, forget_bias=1)) == "LSTM(3, 4, forget_bias=1)"
    assert repr(GRU(3, 4, reset_after=False, chrono=9)) == "GRU(3, 4, chrono=9, reset_after=False)"
    assert repr(RNN(3, 4, nonlinearity="sigmoid", learn_initial=True)) == (
        "RNN(3, 4, learn_initial=True, nonlinearity=sigmoid)"
    )
