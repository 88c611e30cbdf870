"""A padded batch with lengths gives what each sequence gives alone; padding cannot be seen.

The expectation runs every row by itself, cut to its length, by the reference in float64.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import unrolled
from unrolled.layers import GRU, LSTM, RNN

LAYERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "RNN": (RNN, {}),
    "RNN-relu": (RNN, {"nonlinearity": "relu"}),
    "RNN-sigmoid": (RNN, {"nonlinearity": "sigmoid"}),
    "RNN-identity": (RNN, {"nonlinearity": "identity"}),
    "LSTM": (LSTM, {}),
    "LSTM-projected": (LSTM, {"proj_size": 2}),
    "GRU": (GRU, {}),
    "GRU-original": (GRU, {"reset_after": False}),
}
ENGINES = {"kernels": torch.float32, "torch": torch.float64, "reference": torch.float64}
INPUT, HIDDEN = 3, 5


def as_list(states: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    return [states] if isinstance(states, Tensor) else list(states)


def as_given(states: list[Tensor]) -> Any:
    return states[0] if len(states) == 1 else tuple(states)


def gradients_of(results: list[Tensor], leaves: list[Tensor]) -> list[Tensor]:
    """Of a loss in which every number has its own weight; zero for what no step used."""
    total = torch.zeros((), dtype=torch.float64)
    for r in results:
        weights = torch.linspace(0.5, 2, max(r.numel(), 1))[: r.numel()].view(r.shape)
        total = total + (r.double() * weights.double()).sum()
    return list(torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True))


def alone(
    layer: torch.nn.RNNBase, x: Tensor, states: list[Tensor], lengths: list[int]
) -> list[Tensor]:
    """Output (zero past the end) and states of rows run one by one; x is ``[T, N, ·]``."""
    outputs, lasts = [], []
    for row, length in enumerate(lengths):
        own = [state[:, row] for state in states]
        if length:
            output, last = layer(x[:length, row], as_given(own))
        else:
            output, last = (
                x.new_zeros(0, (layer.proj_size or HIDDEN) * (1 + layer.bidirectional)),
                own,
            )
            last = as_given(last)
        outputs.append(torch.cat([output, output.new_zeros(len(x) - length, output.shape[-1])]))
        lasts.append(as_list(last))
    return [
        torch.stack(outputs, 1),
        *[torch.stack(parts, 1) for parts in zip(*lasts, strict=True)],
    ]


def compare(actual: list[Tensor], expected: list[Tensor], bar: float) -> None:
    for a, b in zip(actual, expected, strict=True):
        scale = max(1e-2, float(b.detach().abs().max()) if b.numel() else 0.0)
        torch.testing.assert_close(a.double(), b, rtol=0, atol=bar * scale)


def check(
    name: str,
    engine: str,
    more: dict[str, Any],
    x: Tensor,
    lengths: list[int],
    given_lengths: Any,
    padding: float,
) -> None:
    """Hold one batch against its rows; x is ``[T, N, ·]`` and may be laid out in any way."""
    dtype = ENGINES[engine]
    kind, own = LAYERS[name]
    layer = kind(INPUT, HIDDEN, dtype=dtype, **own, **more)
    exact = kind(INPUT, HIDDEN, dtype=torch.float64, **own, **more)
    exact.load_state_dict(layer.state_dict())
    exact.batch_first = False
    stacked = layer.num_layers * (1 + layer.bidirectional)
    sizes = [layer.proj_size or HIDDEN, *[HIDDEN] * ("LSTM" in name)]
    states = [torch.randn(stacked, len(lengths), size).double() for size in sizes]

    leaves = [x.double().requires_grad_(), *[state.clone().requires_grad_() for state in states]]
    with unrolled.using("reference"):
        expected = alone(exact, leaves[0], leaves[1:], lengths)
    wanted = gradients_of(expected, [*leaves, *exact.parameters()])

    ended = torch.arange(len(x)).unsqueeze(-1) >= torch.tensor(lengths)
    padded = x.to(dtype)
    if ended.any():
        padded = padded.masked_fill(ended.unsqueeze(-1), padding)
    leaves = [padded.requires_grad_(), *[state.to(dtype).requires_grad_() for state in states]]
    batch = leaves[0].transpose(0, 1) if layer.batch_first else leaves[0]
    with unrolled.using(engine):
        output, last = layer(batch, as_given(leaves[1:]), lengths=given_lengths)
    output = output.transpose(0, 1) if layer.batch_first else output
    actual = [output, *as_list(last)]
    gradients = gradients_of(actual, [*leaves, *layer.parameters()])

    compare(actual, expected, 1e-5 if dtype == torch.float32 else 1e-12)
    compare(gradients, wanted, 1e-4 if dtype == torch.float32 else 1e-11)
    assert (output.masked_select(ended.unsqueeze(-1)) == 0).all()
    assert (gradients[0].masked_select(ended.unsqueeze(-1)) == 0).all()


@pytest.mark.parametrize("batch_first", [False, True], ids=["time-first", "batch-first"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "bidirectional"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", LAYERS)
def test_each_row_is_as_if_it_were_alone(
    name: str, engine: str, bidirectional: bool, batch_first: bool
) -> None:
    torch.manual_seed(0)
    more = {"num_layers": 2, "bidirectional": bidirectional, "batch_first": batch_first}
    lengths = [4, 0, 6, 1, 6]
    for padding in (float("nan"), float("inf")):
        check(name, engine, more, torch.randn(6, 5, INPUT), lengths, lengths, padding)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "lengths",
    [[0, 0, 0], [4, 4, 4], [1, 1, 1], [0, 2, 0]],
    ids=["all-empty", "all-full", "one-step", "first-and-last-empty"],
)
def test_lengths_at_their_limits(engine: str, lengths: list[int]) -> None:
    torch.manual_seed(0)
    for name in LAYERS:
        more = {"num_layers": 2, "bidirectional": True}
        check(name, engine, more, torch.randn(4, 3, INPUT), lengths, lengths, float("nan"))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int16, torch.uint8])
def test_lengths_of_any_integer_dtype_and_layout(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    lengths = [3, 1, 0, 4]
    for given_lengths in (
        torch.tensor(lengths, dtype=dtype),
        torch.tensor([[n, 9] for n in lengths], dtype=dtype)[:, 0],  # not contiguous
        tuple(lengths),
    ):
        check("GRU", "kernels", {}, torch.randn(4, 4, INPUT), lengths, given_lengths, 0.0)


@pytest.mark.parametrize("engine", ENGINES)
def test_unbatched_input_takes_one_length(engine: str) -> None:
    layer = LSTM(INPUT, HIDDEN, bidirectional=True, dtype=ENGINES[engine])
    x = torch.randn(6, INPUT, dtype=ENGINES[engine])
    with unrolled.using(engine):
        output, states = layer(x, lengths=4)
        short, short_states = layer(x[:4])
    torch.testing.assert_close(output[:4], short)
    assert (output[4:] == 0).all()
    torch.testing.assert_close(states, short_states)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", LAYERS)
def test_gradients_that_are_nan_in_the_padding_go_nowhere(name: str, engine: str) -> None:
    kind, own = LAYERS[name]
    layer = kind(INPUT, HIDDEN, bidirectional=True, dtype=ENGINES[engine], **own)
    x = torch.randn(4, 3, INPUT, dtype=ENGINES[engine], requires_grad=True)
    with unrolled.using(engine):
        output, _ = layer(x, lengths=[2, 0, 4])
    gradient = torch.ones_like(output)
    gradient[2:, 0] = gradient[:, 1] = float("nan")
    found = torch.autograd.grad(output, [x, *layer.parameters()], gradient)
    assert all(each.isfinite().all() for each in found)


LAYOUTS = ["contiguous", "transposed", "feature-major", "expanded-rows", "every-second", "reversed"]


def laid_out(layout: str, steps: int, rows: int) -> Tensor:
    """Random ``[T, N, INPUT]`` in one of the ways a tensor can lie in memory."""
    if layout == "transposed":
        return torch.randn(rows, steps, INPUT).transpose(0, 1)
    if layout == "feature-major":
        return torch.randn(INPUT, steps, rows).permute(1, 2, 0)
    if layout == "expanded-rows":
        return torch.randn(steps, 1, INPUT).expand(steps, rows, INPUT)
    if layout == "every-second":
        return torch.randn(2 * steps, 2 * rows, 2 * INPUT)[::2, 1::2, ::2]
    if layout == "reversed":
        return torch.randn(steps, rows, INPUT).flip(0)
    return torch.randn(steps, rows, INPUT)


@given(data=st.data())
def test_any_layer_on_any_shape_layout_and_lengths(data: st.DataObject) -> None:
    steps, rows = data.draw(st.integers(0, 6), "T"), data.draw(st.integers(0, 5), "N")
    # All full in half the examples: only then does the layer see x as it lies in memory.
    least = data.draw(st.sampled_from([0, steps]), "least")
    lengths = data.draw(st.lists(st.integers(least, steps), min_size=rows, max_size=rows))
    more = {
        "num_layers": data.draw(st.integers(1, 3), "layers"),
        "bidirectional": data.draw(st.booleans(), "bidirectional"),
        "batch_first": data.draw(st.booleans(), "batch_first"),
        "bias": data.draw(st.booleans(), "bias"),
    }
    name = data.draw(st.sampled_from(list(LAYERS)), "layer")
    engine = data.draw(st.sampled_from(list(ENGINES)), "engine")
    x = laid_out(data.draw(st.sampled_from(LAYOUTS), "layout"), steps, rows)
    if not rows:
        lengths = []
        with unrolled.using(engine):
            layer = LAYERS[name][0](INPUT, HIDDEN, dtype=ENGINES[engine], **LAYERS[name][1], **more)
            batch = x.transpose(0, 1) if layer.batch_first else x
            output, _ = layer(batch.to(ENGINES[engine]), lengths=lengths)
        assert output.shape[:2] == batch.shape[:2]
        return
    check(name, engine, more, x, lengths, lengths, float("nan"))
