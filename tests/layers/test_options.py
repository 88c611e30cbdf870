"""Options of a layer are the papers' equations, here once more as loops in plain torch.

The masks are those of `engine.noise`, which has its own test.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import unrolled
from unrolled import GRU, LSTM, RNN, Recurrent
from unrolled.cells import Cell, gelu, relu, tanh
from unrolled.engine.noise import event

T, N, X, H, S = 7, 3, 4, 6, 4
ENGINES = pytest.mark.parametrize("engine", ["kernels", "reference"])
REFERENCE = pytest.mark.parametrize("engine", ["reference"])
"""Where kernels would show nothing that they do not show in another test; each takes a compiler."""
Step = Callable[..., Any]


class Blocks:
    """A layer's parameters by gate, in float64, as leaves."""

    def __init__(self, layer: Any, gates: str) -> None:
        own = {
            name.removesuffix("_l0"): p.detach().double().requires_grad_()
            for name, p in layer.named_parameters()
        }
        self.leaves = own
        count = len(gates)
        self.W = dict(zip(gates, own["weight_ih"].chunk(count), strict=True))
        self.U = dict(zip(gates, own["weight_hh"].chunk(count), strict=True))
        zeros = torch.zeros(count * H, dtype=torch.float64)
        self.b = dict(zip(gates, own.get("bias_ih", zeros).chunk(count), strict=True))
        self.c = dict(zip(gates, own.get("bias_hh", zeros).chunk(count), strict=True))
        self.P = own.get("weight_hr")
        if "vector" in own:
            gains = own["vector"].chunk(2 * count)
            self.gain_W = dict(zip(gates, gains[:count], strict=True))
            self.gain_U = dict(zip(gates, gains[count:], strict=True))


def compare(
    layer: Any, gates: str, loop: Callable[[Blocks, Tensor], Tensor], engine: str, seed: int = 5
) -> None:
    """The layer's output and the gradients of its parameters are the loop's."""
    x = torch.randn(T, N, X, generator=torch.Generator().manual_seed(1))
    weight = torch.randn(T, N, layer.output_size, generator=torch.Generator().manual_seed(2))
    blocks = Blocks(layer, gates)
    wanted = loop(blocks, x.double())
    gradients = torch.autograd.grad((wanted * weight).sum(), list(blocks.leaves.values()))
    if engine == "reference":
        layer, x, weight = layer.double(), x.double(), weight.double()
    torch.manual_seed(seed)
    with unrolled.using(engine):
        assert ("kernels" in unrolled.explain(layer, x)) == (engine == "kernels")
        output, _ = layer(x)
    tolerance = 1e-10 if engine == "reference" else 2e-5
    torch.testing.assert_close(output.double(), wanted, rtol=tolerance, atol=tolerance)
    found = torch.autograd.grad((output * weight).sum(), list(layer.parameters()))
    for one, other in zip(found, gradients, strict=True):
        assert float((one - other).norm()) <= max(tolerance, 1e-10) * 5 * float(1 + other.norm())


def seeded(seed: int = 5) -> Tensor:
    """The seed that a layer's first call draws after `torch.manual_seed`."""
    torch.manual_seed(seed)
    return torch.randint(2**63 - 1, (1,))


def dropout_mask(number: int, t: int, rate: float, size: int = H) -> Tensor:
    dropped = event(seeded(), (2 * number, t), N, size, rate)
    return (~dropped).double() / (1 - rate)


def zoneout_mask(number: int, t: int, rate: float, size: int = H) -> Tensor:
    return event(seeded(), (2 * number, t), N, size, rate).double()


def zeros(size: int = H) -> Tensor:
    return torch.zeros(N, size, dtype=torch.float64)


def lstm_step(
    p: Blocks,
    x: Tensor,
    h: Tensor,
    c: Tensor,
    *,
    candidate: Callable[[Tensor], Tensor] = lambda g: g,
    memory: Callable[[Tensor], Tensor] = lambda c: c,
    phi: Callable[[Tensor], Tensor] = torch.tanh,
    sigma: Callable[[Tensor], Tensor] = torch.sigmoid,
) -> tuple[Tensor, Tensor]:
    i, f, g, o = (x @ p.W[k].T + p.b[k] + h @ p.U[k].T + p.c[k] for k in "ifgo")
    c = memory(sigma(f) * c + sigma(i) * candidate(phi(g)))
    return sigma(o) * phi(c), c


def gru_gates(p: Blocks, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    r, z = (torch.sigmoid(x @ p.W[k].T + p.b[k] + h @ p.U[k].T + p.c[k]) for k in "rz")
    return r, z


def in_steps(
    step: Callable[..., tuple[Tensor, ...]], x: Tensor, states: Sequence[Tensor]
) -> Tensor:
    """A step of (t, x, states) over a sequence; the first new state is the output."""
    outputs = []
    for t in range(T):
        states = step(t, x[t], *states)
        outputs.append(states[0])
    return torch.stack(outputs)


def norm(v: Tensor) -> Tensor:
    return (v - v.mean(-1, keepdim=True)) / (v.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()


def shake(layer: Any) -> Any:
    """Gains and biases that are not what they begin with."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if name.startswith(("vector", "bias")):
                parameter.copy_(torch.rand(parameter.shape, generator=generator) + 0.2)
    return layer


@pytest.mark.parametrize("bias", [True, False])
class TestLayerNorm:
    @REFERENCE
    def test_lstm(self, engine: str, bias: bool) -> None:
        def loop(p: Blocks, x: Tensor) -> Tensor:
            def step(t: int, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
                i, f, g, o = (
                    p.gain_W[k] * norm(x @ p.W[k].T)
                    + p.b[k]
                    + p.gain_U[k] * norm(h @ p.U[k].T)
                    + p.c[k]
                    for k in "ifgo"
                )
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                return o.sigmoid() * c.tanh(), c

            return in_steps(step, x, [zeros(), zeros()])

        compare(shake(LSTM(X, H, bias=bias, layer_norm=True)), "ifgo", loop, engine)

    @ENGINES
    def test_gru(self, engine: str, bias: bool) -> None:
        def loop(p: Blocks, x: Tensor) -> Tensor:
            def step(t: int, x: Tensor, h: Tensor) -> tuple[Tensor]:
                a = {k: p.gain_W[k] * norm(x @ p.W[k].T) + p.b[k] for k in "rzn"}
                u = {k: p.gain_U[k] * norm(h @ p.U[k].T) + p.c[k] for k in "rzn"}
                r, z = (a["r"] + u["r"]).sigmoid(), (a["z"] + u["z"]).sigmoid()
                return ((1 - z) * (a["n"] + r * u["n"]).tanh() + z * h,)

            return in_steps(step, x, [zeros()])

        compare(shake(GRU(X, H, bias=bias, layer_norm=True)), "rzn", loop, engine)


class TestRecurrentDropout:
    rate = 0.3

    @ENGINES
    def test_lstm(self, engine: str) -> None:
        def loop(p: Blocks, x: Tensor) -> Tensor:
            mask = dropout_mask(0, 0, self.rate)  # one for the sequence
            return in_steps(lambda t, x, h, c: lstm_step(p, x, mask * h, c), x, [zeros(), zeros()])

        compare(LSTM(X, H, recurrent_dropout=self.rate), "ifgo", loop, engine)

    @REFERENCE
    def test_of_the_projected_state(self, engine: str) -> None:
        def loop(p: Blocks, x: Tensor) -> Tensor:
            mask = dropout_mask(0, 0, self.rate, S)

            def step(t: int, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
                full, c = lstm_step(p, x, mask * h, c)
                assert p.P is not None
                return full @ p.P.T, c

            return in_steps(step, x, [zeros(S), zeros()])

        layer = LSTM(X, H, proj_size=S, recurrent_dropout=self.rate)
        compare(layer, "ifgo", loop, engine)

    @ENGINES
    @pytest.mark.parametrize("reset_after", [True, False])
    def test_gru(self, engine: str, reset_after: bool) -> None:
        """What the update gate keeps is not dropped."""

        def loop(p: Blocks, x: Tensor) -> Tensor:
            mask = dropout_mask(0, 0, self.rate)

            def step(t: int, x: Tensor, h: Tensor) -> tuple[Tensor]:
                r, z = gru_gates(p, x, mask * h)
                if reset_after:
                    recurrent = r * (mask * h @ p.U["n"].T + p.c["n"])
                else:
                    recurrent = r * mask * h @ p.U["n"].T + p.c["n"]
                n = (x @ p.W["n"].T + p.b["n"] + recurrent).tanh()
                return ((1 - z) * n + z * h,)

            return in_steps(step, x, [zeros()])

        layer = GRU(X, H, recurrent_dropout=self.rate, reset_after=reset_after)
        compare(layer, "rzn", loop, engine)


class TestCandidateDropout:
    rate = 0.4

    @ENGINES
    def test_lstm(self, engine: str) -> None:
        def loop(p: Blocks, x: Tensor) -> Tensor:
            def step(t: int, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
                mask = dropout_mask(0, t, self.rate)  # another one for every step
                return lstm_step(p, x, h, c, candidate=lambda g: mask * g)

            return in_steps(step, x, [zeros(), zeros()])

        compare(LSTM(X, H, candidate_dropout=self.rate), "ifgo", loop, engine)

    @ENGINES
    def test_gru(self, engine: str) -> None:
        def loop(p: Blocks, x: Tensor) -> Tensor:
            def step(t: int, x: Tensor, h: Tensor) -> tuple[Tensor]:
                r, z = gru_gates(p, x, h)
                n = (x @ p.W["n"].T + p.b["n"] + r * (h @ p.U["n"].T + p.c["n"])).tanh()
                return ((1 - z) * dropout_mask(0, t, self.rate) * n + z * h,)

            return in_steps(step, x, [zeros()])

        compare(GRU(X, H, candidate_dropout=self.rate), "rzn", loop, engine)


@ENGINES
@pytest.mark.parametrize("training", [True, False])
class TestZoneout:
    def test_each_state_with_a_rate_of_its_own(self, engine: str, training: bool) -> None:
        def loop(p: Blocks, x: Tensor) -> Tensor:
            def step(t: int, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
                keep_h: Any = zoneout_mask(0, t, 0.5) if training else 0.5
                keep_c: Any = zoneout_mask(1, t, 0.1) if training else 0.1
                new_h, new_c = lstm_step(p, x, h, c)
                return keep_h * h + (1 - keep_h) * new_h, keep_c * c + (1 - keep_c) * new_c

            return in_steps(step, x, [zeros(), zeros()])

        compare(LSTM(X, H, zoneout=[0.5, 0.1]).train(training), "ifgo", loop, engine)

    def test_a_projection_is_of_the_units_that_were_zoned_out(
        self, engine: str, training: bool
    ) -> None:
        def loop(p: Blocks, x: Tensor) -> Tensor:
            def step(t: int, x: Tensor, h: Tensor, full: Tensor) -> tuple[Tensor, Tensor]:
                keep: Any = zoneout_mask(0, t, 0.3) if training else 0.3
                r, z = gru_gates(p, x, h)
                n = (x @ p.W["n"].T + p.b["n"] + r * (h @ p.U["n"].T + p.c["n"])).tanh()
                full = keep * full + (1 - keep) * ((1 - z) * n + z * full)
                assert p.P is not None
                return full @ p.P.T, full

            return in_steps(step, x, [zeros(S), zeros()])

        compare(GRU(X, H, proj_size=S, zoneout=0.3).train(training), "rzn", loop, engine)


class TestProjection:
    @ENGINES
    def test_gru_as_first_published(self, engine: str) -> None:
        """Every recurrent product goes through P, that of r ∘ h too."""

        def loop(p: Blocks, x: Tensor) -> Tensor:
            P = p.P
            assert P is not None

            def step(t: int, x: Tensor, h: Tensor, full: Tensor) -> tuple[Tensor, Tensor]:
                r, z = gru_gates(p, x, h)
                n = (x @ p.W["n"].T + p.b["n"] + (r * full) @ P.T @ p.U["n"].T + p.c["n"]).tanh()
                full = (1 - z) * n + z * full
                return full @ P.T, full

            return in_steps(step, x, [zeros(S), zeros()])

        compare(GRU(X, H, proj_size=S, reset_after=False), "rzn", loop, engine)

    @REFERENCE
    def test_rnn(self, engine: str) -> None:
        def loop(p: Blocks, x: Tensor) -> Tensor:
            P = p.P
            assert P is not None

            def step(t: int, x: Tensor, h: Tensor) -> tuple[Tensor]:
                return ((x @ p.W["h"].T + p.b["h"] + h @ p.U["h"].T + p.c["h"]).tanh() @ P.T,)

            return in_steps(step, x, [zeros(S)])

        compare(RNN(X, H, proj_size=S), "h", loop, engine)


@ENGINES
def test_cell_clip(engine: str) -> None:
    """The output gate's tanh sees the memory clamped."""

    def loop(p: Blocks, x: Tensor) -> Tensor:
        def step(t: int, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
            return lstm_step(p, x, h, c, memory=lambda c: c.clamp(-0.1, 0.1))

        output = in_steps(step, x, [zeros(), zeros()])
        assert output.abs().max() < torch.tensor(0.1).tanh()
        return output

    compare(LSTM(X, H, cell_clip=0.1), "ifgo", loop, engine)


@ENGINES
def test_activations(engine: str) -> None:
    def loop(p: Blocks, x: Tensor) -> Tensor:
        def step(t: int, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
            return lstm_step(p, x, h, c, phi=functional.gelu, sigma=torch.tanh)

        return in_steps(step, x, [zeros(), zeros()])

    layer = LSTM(X, H, activation="gelu", recurrent_activation=tanh)
    compare(layer, "ifgo", loop, engine)


class TestWeightDrop:
    @pytest.mark.parametrize("engine", ["kernels", "torch", "reference"])
    def test_one_mask_for_a_call(self, engine: str) -> None:
        """Where a weight is dropped its gradient is zero, which tells the mask."""
        lstm, x = LSTM(X, H, weight_drop=0.5), torch.randn(T, N, X)
        with unrolled.using(engine):
            output, _ = lstm(x)
        output.square().sum().backward()
        gradient = lstm.get_parameter("weight_hh_l0").grad
        assert gradient is not None
        kept = gradient.ne(0)
        assert 0.2 < float(kept.double().mean()) < 0.8
        plain = torch.nn.LSTM(X, H)
        plain.load_state_dict(lstm.state_dict())
        with torch.no_grad():
            plain.get_parameter("weight_hh_l0").mul_(kept).mul_(2)
        torch.testing.assert_close(output, plain(x)[0])

    @pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
    def test_rate(self, rate: float) -> None:
        torch.manual_seed(0)
        layer = Recurrent(Sum, 1, 301, bias=False, weight_drop=rate)
        x = torch.zeros(2, 1, 1)
        layer(x, torch.ones(1, 1, 301))[0].sum().backward()
        gradient = layer.get_parameter("weight_hh_l0").grad
        assert gradient is not None
        dropped = float(gradient.eq(0).double().mean())
        assert abs(dropped - rate) < 4 * (rate * (1 - rate)) ** 0.5 / 301

    def test_both_directions_and_all_layers(self) -> None:
        layer = GRU(X, H, 2, bidirectional=True, weight_drop=1.0)
        layer(torch.randn(T, N, X))[0].sum().backward()
        for name, parameter in layer.named_parameters():
            assert parameter.grad is not None
            assert bool(parameter.grad.any()) == ("weight_hh" not in name)


class Sum(Cell):
    """The sum of a step's products."""

    def step(W: Any, U: Any, x: Any, h: Any) -> Any:  # noqa: N805
        return W.a(x) + U.a(h)


NOISY: dict[str, dict[str, Any]] = {
    "recurrent": {"recurrent_dropout": 0.5},
    "candidate": {"candidate_dropout": 0.5},
    "zoneout": {"zoneout": 0.5},
    "weights": {"weight_drop": 0.5},
}
noisy = pytest.mark.parametrize("options", NOISY.values(), ids=NOISY)


@noisy
class TestNoise:
    def test_a_seed_repeats_it(self, options: dict[str, Any]) -> None:
        layer, x = LSTM(X, H, 2, bidirectional=True, **options), torch.randn(T, N, X)

        def once(engine: str) -> Tensor:
            torch.manual_seed(3)
            with unrolled.using(engine):
                output: Tensor = layer(x)[0]
            return output

        assert torch.equal(once("kernels"), once("kernels"))
        torch.testing.assert_close(once("kernels"), once("reference"), rtol=1e-5, atol=1e-5)
        assert not torch.equal(layer(x)[0], layer(x)[0])

    def test_rows_and_directions_differ(self, options: dict[str, Any]) -> None:
        torch.manual_seed(0)
        layer, x = GRU(X, 32, **options), torch.randn(T, 1, X).expand(T, 2, X)
        output, _ = layer(x)
        same = torch.equal(output[:, 0], output[:, 1])
        assert same == ("weight_drop" in options)  # which is one mask for the call

    def test_layers_differ(self, options: dict[str, Any]) -> None:
        torch.manual_seed(0)
        layer = GRU(H, H, 2, **options)
        for one, other in zip(*layer.all_weights, strict=True):
            with torch.no_grad():
                other.copy_(one)
        seen = []
        for k in range(2):
            own = GRU(H, H, **options)
            own.load_state_dict(
                {n.replace(f"l{k}", "l0"): p for n, p in layer.state_dict().items() if f"l{k}" in n}
            )
            seen.append(own)
        x = torch.randn(T, N, H)
        torch.manual_seed(1)
        whole = layer(x)[0]
        torch.manual_seed(1)
        twice = seen[1](seen[0](x)[0])[0]
        if "weight_drop" not in options:  # whose masks are drawn before the first layer runs
            torch.testing.assert_close(whole, twice)
        torch.manual_seed(1)
        first = seen[0](x)[0]
        torch.manual_seed(1)
        assert not torch.allclose(seen[1](first)[0], twice)

    def test_gradients_see_the_same_noise(self, options: dict[str, Any]) -> None:
        layer, x = LSTM(X, H, **options), torch.randn(T, N, X)
        found = []
        for engine in ("kernels", "reference"):
            torch.manual_seed(4)
            with unrolled.using(engine):
                layer(x, lengths=[7, 0, 4])[0].square().sum().backward()
            found.append([p.grad.clone() for p in layer.parameters() if p.grad is not None])
            layer.zero_grad()
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)

    def test_checkpoints_change_nothing(self, options: dict[str, Any]) -> None:
        layer, x = LSTM(X, H, bidirectional=True, **options), torch.randn(T, N, X)
        found = []
        for checkpoint in (None, 3):
            torch.manual_seed(4)
            output, _ = layer(x, checkpoint=checkpoint)
            found.append(
                [output, *torch.autograd.grad(output.square().sum(), [*layer.parameters()])]
            )
        assert torch.equal(found[0][0], found[1][0])
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other)

    def test_double_backward(self, options: dict[str, Any]) -> None:
        layer = GRU(2, 3, **options).double()
        x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)

        def call(x: Tensor) -> Tensor:
            torch.manual_seed(4)
            output: Tensor = layer(x)[0]
            return output

        assert torch.autograd.gradgradcheck(call, x, fast_mode=True)


@noisy
@pytest.mark.parametrize("layer", [LSTM, GRU], ids=lambda layer: layer.__name__)
def test_evaluation_knows_no_dropout(layer: Any, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    plain = layer(X, H)
    noised = layer(X, H, **options)
    noised.load_state_dict(plain.state_dict())
    x = torch.randn(T, N, X)
    before = torch.get_rng_state()
    same = torch.equal(noised.eval()(x)[0], plain(x)[0])
    assert same == ("zoneout" not in options)
    assert torch.equal(torch.get_rng_state(), before)


EVERYTHING: dict[str, Any] = {
    "layer_norm": True,
    "activation": "relu",
    "recurrent_activation": "sigmoid",
    "cell_clip": 0.4,
    "recurrent_dropout": 0.2,
    "candidate_dropout": 0.1,
    "zoneout": 0.1,
    "weight_drop": 0.3,
    "proj_size": S,
}


def layers() -> Iterator[Any]:
    torch.manual_seed(7)
    yield GRU(X, H, 2, reset_after=False, **EVERYTHING)
    yield RNN(X, H, 2, **{**EVERYTHING, "candidate_dropout": 0.0})
    yield Recurrent(unrolled.cells.LSTM, X, H, 2, **EVERYTHING)


@pytest.mark.parametrize("layer", list(layers()), ids=lambda layer: layer.label)
class TestEverything:
    def test_both_engines_agree(self, layer: Any) -> None:
        layer, x = shake(layer), torch.randn(T, N, X)
        for training in (True, False):
            found = []
            for engine in ("kernels", "reference"):
                torch.manual_seed(4)
                layer.train(training).zero_grad()
                with unrolled.using(engine):
                    output, states = layer(x, lengths=[3, 7, 0])
                output.square().sum().backward()
                states = states if isinstance(states, tuple) else (states,)
                found.append([output, *states, *(p.grad for p in layer.parameters())])
            for one, other in zip(*found, strict=True):
                torch.testing.assert_close(one, other, rtol=2e-4, atol=2e-5)

    def test_a_stream_is_evaluation(self, layer: Any) -> None:
        x = torch.randn(T, N, X)
        with torch.no_grad():
            wanted, _ = layer.eval()(x)
        found = layer.train().stream(N).run(x)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)

    def test_copies_and_pickles(self, layer: Any) -> None:
        x = torch.randn(T, N, X)
        for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert repr(other) == repr(layer)
            torch.testing.assert_close(other.eval()(x)[0], layer.eval()(x)[0])

    def test_the_representation_says_everything(self, layer: Any) -> None:
        for name, value in EVERYTHING.items():
            if name != "candidate_dropout" or type(layer) is not RNN:
                assert f"{name}={value}" in repr(layer)


def test_functions_are_represented_by_name() -> None:
    layer = LSTM(X, H, activation=gelu, recurrent_activation=relu)
    assert "activation=gelu, recurrent_activation=relu" in repr(layer)
    assert pickle.loads(pickle.dumps(layer)).options == layer.options


def test_layer_norm_begins_with_gains_of_one() -> None:
    layer = LSTM(X, H, 2, layer_norm=True, forget_bias=1.0)
    assert layer.get_parameter("vector_l1").shape == (8 * H,)
    assert layer.get_parameter("vector_l1").eq(1).all()
    assert torch.equal(layer.gate("gain.U_f", layer=1), torch.ones(H))
    assert torch.equal(layer.gate("W.f.bias", layer=1), torch.ones(H))
    assert not layer.gate("W.i.bias").any()
    assert not layer.get_parameter("bias_hh_l0").any()


def test_the_state_of_a_projected_gru() -> None:
    """h as its gates keep it is a state like any other."""
    layer: Any = GRU(X, H, proj_size=S)
    x = torch.randn(T, N, X)
    output, (h, full) = layer(x)
    assert output.shape == (T, N, S)
    assert h.shape == (1, N, S)
    assert full.shape == (1, N, H)
    torch.testing.assert_close(full @ layer.weight_hr_l0.T, h)
    torch.testing.assert_close(layer(x[4:], layer(x[:4])[1])[0], output[4:])
    with pytest.raises(TypeError, match=r"GRU: hx must be a tuple \(h_0, h_full_0\)"):
        layer(x, h)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"layer_norm": 1}, TypeError, "layer_norm must be a bool, got int"),
        ({"activation": "tan"}, ValueError, "activation must be one of tanh, .*, got 'tan'"),
        ({"activation": 3}, TypeError, "activation must be a function's name, got int"),
        ({"recurrent_activation": unrolled.cells.where}, ValueError, "got 'where'"),
        ({"cell_clip": 0}, ValueError, "cell_clip must be more than 0, got 0"),
        ({"cell_clip": "1"}, TypeError, "cell_clip must be a number, got str"),
        ({"recurrent_dropout": 1.5}, ValueError, "recurrent_dropout must be from 0 to 1, got 1.5"),
        ({"weight_drop": True}, TypeError, "weight_drop must be a number, got bool"),
        ({"zoneout": [0.1, 0.2]}, ValueError, r"one for each state \(h\), got 2"),
        ({"zoneout": [-0.1]}, ValueError, "zoneout must be from 0 to 1, got -0.1"),
        ({"zoneout": "much"}, TypeError, "zoneout must be a number, got str"),
        ({"candidate_dropout": 0.1}, ValueError, "candidate_dropout needs a candidate"),
    ],
)
@pytest.mark.parametrize("make", [RNN, Recurrent], ids=["RNN", "Recurrent"])
def test_errors(make: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    first = (Sum,) if make is Recurrent else ()
    with pytest.raises(error, match=message) as found:
        make(*first, X, H, **options)
    text = str(found.value)
    assert text.startswith(("RNN: ", "Recurrent(Sum): "))
    assert "\n" not in text


@pytest.mark.parametrize("option", ["recurrent_dropout", "weight_drop"])
def test_what_drops_recurrent_weights_needs_some(option: str) -> None:
    class Leaky(Cell):
        def step(W: Any, x: Any, h: Any) -> Any:  # noqa: N805
            return 0.5 * h + W.a(x)

    make: Any = Recurrent
    with pytest.raises(ValueError, match=f"{option} needs a recurrent matrix U; there is none"):
        make(Leaky, X, H, **{option: 0.5})
