"""Batches run as a whole and held against their pieces run alone, for the tests of layers."""

from __future__ import annotations

import copy
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

import unrolled
from unrolled.layers import GRU, LSTM, RNN, Recurrent
from unrolled.layers.drop_in import DropIn

from .cells import Memory, Shared

INPUT, HIDDEN = 3, 5
LAYERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "RNN": (RNN, {}),
    "RNN-relu": (RNN, {"nonlinearity": "relu"}),
    "RNN-sigmoid": (RNN, {"nonlinearity": "sigmoid"}),
    "RNN-identity": (RNN, {"nonlinearity": "identity"}),
    "LSTM": (LSTM, {}),
    "LSTM-projected": (LSTM, {"proj_size": 2}),
    "GRU": (GRU, {}),
    "GRU-original": (GRU, {"reset_after": False}),
    "Recurrent-two-states": (Recurrent, {"cell": Memory(leak=[0.9, 0.5, -0.25, 0.0, 1.0])}),
    "Recurrent-no-product": (Recurrent, {"cell": Shared}),
}
ENGINES = {"kernels": torch.float32, "torch": torch.float64, "reference": torch.float64}


def make(name: str, dtype: torch.dtype, **more: Any) -> Any:
    kind, own = LAYERS[name]
    return kind(input_size=INPUT, hidden_size=HIDDEN, dtype=dtype, **own, **more)


def as_list(states: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    return [states] if isinstance(states, Tensor) else list(states)


def as_given(states: list[Tensor]) -> Any:
    return states[0] if len(states) == 1 else tuple(states)


def drawn_states(layer: Any, rows: int) -> list[Tensor]:
    expected = layer.expected(1 + layer.bidirectional)
    return [torch.randn(expected.stacked, rows, size).double() for _, size in expected.states]


def gradients_of(results: list[Tensor], leaves: list[Tensor]) -> list[Tensor]:
    """Of a loss in which every number has its own weight; zero for what no step used."""
    total = torch.zeros((), dtype=torch.float64)
    for r in results:
        weights = torch.linspace(0.5, 2, max(r.numel(), 1))[: r.numel()].view(r.shape)
        total = total + (r.double() * weights.double()).sum()
    return list(torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True))


def compare(actual: list[Tensor], expected: list[Tensor], bar: float) -> None:
    for a, b in zip(actual, expected, strict=True):
        scale = max(1e-2, float(b.detach().abs().max()) if b.numel() else 0.0)
        torch.testing.assert_close(a.double(), b, rtol=0, atol=bar * scale)


IN_TORCH = ("rnn", "rnn,nonlinearity=relu", "lstm", "gru")


def alone(layer: Any) -> Any:
    """The layer that runs one piece: torch.nn's own, where it has the cell."""
    if not isinstance(layer, DropIn) or layer.cell.name not in IN_TORCH:
        return layer
    own = {"nonlinearity": layer.nonlinearity} if isinstance(layer, RNN) else {}
    own |= {"proj_size": layer.proj_size} if layer.proj_size else {}
    theirs: Any = getattr(torch.nn, type(layer).__name__)(
        layer.input_size,
        layer.hidden_size,
        num_layers=layer.num_layers,
        bias=layer.bias,
        bidirectional=layer.bidirectional,
        dtype=torch.float64,
        **own,
    )
    # the same parameters, so that gradients come out at the layer's
    for parameter, value in layer.named_parameters():
        setattr(theirs, parameter, value)
    theirs._flat_weights = list(layer.parameters())
    return theirs


def piecewise(
    layer: Any,
    x: Tensor,
    states: list[Tensor],
    lengths: list[int],
    reset: Tensor | None = None,
) -> list[Tensor]:
    """Output (zero past the end) and last states; x is ``[T, N, ·]``, the mask ``[T, N]``."""
    directions = 1 + layer.bidirectional
    outputs, lasts = [], []
    for row, length in enumerate(lengths):
        own = [state[:, row] for state in states]
        cuts = [] if reset is None else [t for t in range(1, length) if reset[t, row]]
        pieces = [
            layer(x[a:b, row], as_given(own))
            for a, b in zip([0, *cuts], [*cuts, length], strict=True)
            if b > a
        ]
        size = directions * own[0].shape[-1]
        rest = x.new_zeros(len(x) - length, size)
        outputs.append(torch.cat([*(output for output, _ in pieces), rest]))
        if pieces:
            first, final = as_list(pieces[0][1]), as_list(pieces[-1][1])
            down = torch.arange(layer.num_layers * directions) % directions == 1
            own = [torch.where(down.unsqueeze(-1), a, b) for a, b in zip(first, final, strict=True)]
        lasts.append(own)
    return [torch.stack(outputs, 1), *[torch.stack(p, 1) for p in zip(*lasts, strict=True)]]


def check(
    layer: Any,
    engine: str,
    x: Tensor,
    lengths: list[int] | None = None,
    reset: Tensor | None = None,
    padding: float | None = None,
    given_lengths: Any = None,
) -> None:
    """Hold one batch against its pieces, in float64; all gradients too.

    Args:
        layer: of the engine's dtype.
        engine: who runs the batch.
        x: time-major, and laid out in any way, as is the mask.
        lengths: of the rows.
        reset: the mask.
        padding: what stands after a row's end.
        given_lengths: the lengths as the layer is given them, where not as a list.
    """
    dtype = layer.weight_ih_l0.dtype
    exact = copy.deepcopy(layer).double()
    exact.batch_first = False
    rows = x.shape[1]
    states = drawn_states(layer, rows)
    leaves = [x.double().requires_grad_(), *[state.clone().requires_grad_() for state in states]]
    every = [len(x)] * rows if lengths is None else lengths
    with unrolled.using("reference"):
        expected = piecewise(alone(exact), leaves[0], leaves[1:], every, reset)
    wanted = gradients_of(expected, [*leaves, *exact.parameters()])

    # as it lies in memory: a conversion would make a copy
    given = x if x.dtype == dtype else x.to(dtype)
    ended = torch.arange(len(x)).unsqueeze(-1) >= torch.tensor(every)
    if padding is not None and ended.any():
        given = given.masked_fill(ended.unsqueeze(-1), padding)
    leaves = [
        given.detach().requires_grad_(),
        *[state.to(dtype).requires_grad_() for state in states],
    ]
    batch = leaves[0].transpose(0, 1) if layer.batch_first else leaves[0]
    mask = reset.transpose(0, 1) if layer.batch_first and reset is not None else reset
    if given_lengths is None:
        given_lengths = lengths
    with unrolled.using(engine):
        output, last = layer(batch, as_given(leaves[1:]), lengths=given_lengths, reset=mask)
    output = output.transpose(0, 1) if layer.batch_first else output
    actual = [output, *as_list(last)]
    gradients = gradients_of(actual, [*leaves, *layer.parameters()])

    compare(actual, expected, 1e-5 if dtype == torch.float32 else 1e-12)
    compare(gradients, wanted, 1e-4 if dtype == torch.float32 else 1e-11)
    assert (output.masked_select(ended.unsqueeze(-1)) == 0).all()
    assert (gradients[0].masked_select(ended.unsqueeze(-1)) == 0).all()


LAYOUTS = ["contiguous", "transposed", "feature-major", "expanded-rows", "every-second", "reversed"]


def laid_out(layout: str, steps: int, rows: int, size: int = INPUT) -> Tensor:
    """Random ``[T, N, size]`` in one of the ways a tensor can lie in memory."""
    if layout == "transposed":
        return torch.randn(rows, steps, size).transpose(0, 1)
    if layout == "feature-major":
        return torch.randn(size, steps, rows).permute(1, 2, 0)
    if layout == "expanded-rows":
        return torch.randn(steps, 1, size).expand(steps, rows, size)
    if layout == "every-second":
        return torch.randn(2 * steps, 2 * rows, 2 * size)[::2, 1::2, ::2]
    if layout == "reversed":
        return torch.randn(steps, rows, size).flip(0)
    return torch.randn(steps, rows, size)


def layer_options(data: st.DataObject, layers: int = 3) -> dict[str, Any]:
    """A constructor's arguments, drawn."""
    return {
        "num_layers": data.draw(st.integers(1, layers), "layers"),
        "bidirectional": data.draw(st.booleans(), "bidirectional"),
        "batch_first": data.draw(st.booleans(), "batch_first"),
        "bias": data.draw(st.booleans(), "bias"),
    }
