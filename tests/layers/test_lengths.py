"""A padded batch with lengths gives what each sequence gives alone; padding cannot be seen.

The expectation runs every row by itself, cut to its length, by the reference in float64.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import unrolled
from unrolled.layers import LSTM

from .batches import ENGINES, HIDDEN, INPUT, LAYERS, LAYOUTS, check, laid_out, layer_options, make


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
        layer = make(name, ENGINES[engine], **more)
        check(layer, engine, torch.randn(6, 5, INPUT), lengths, padding=padding)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "lengths",
    [[0, 0, 0], [4, 4, 4], [1, 1, 1], [0, 2, 0]],
    ids=["all-empty", "all-full", "one-step", "first-and-last-empty"],
)
def test_lengths_at_their_limits(engine: str, lengths: list[int]) -> None:
    torch.manual_seed(0)
    for name in LAYERS:
        layer = make(name, ENGINES[engine], num_layers=2, bidirectional=True)
        check(layer, engine, torch.randn(4, 3, INPUT), lengths, padding=float("nan"))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int16, torch.uint8])
def test_lengths_of_any_integer_dtype_and_layout(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    lengths = [3, 1, 0, 4]
    for given_lengths in (
        torch.tensor(lengths, dtype=dtype),
        torch.tensor([[n, 9] for n in lengths], dtype=dtype)[:, 0],  # not contiguous
        tuple(lengths),
    ):
        layer, x = make("GRU", torch.float32), torch.randn(4, 4, INPUT)
        check(layer, "kernels", x, lengths, given_lengths=given_lengths)


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
    layer = make(name, ENGINES[engine], bidirectional=True)
    x = torch.randn(4, 3, INPUT, dtype=ENGINES[engine], requires_grad=True)
    with unrolled.using(engine):
        output, _ = layer(x, lengths=[2, 0, 4])
    gradient = torch.ones_like(output)
    gradient[2:, 0] = gradient[:, 1] = float("nan")
    found = torch.autograd.grad(output, [x, *layer.parameters()], gradient)
    assert all(each.isfinite().all() for each in found)


@given(data=st.data())
def test_any_layer_on_any_shape_layout_and_lengths(data: st.DataObject) -> None:
    steps, rows = data.draw(st.integers(0, 6), "T"), data.draw(st.integers(0, 5), "N")
    # All full in half the examples: only then does the layer see x as it lies in memory.
    least = data.draw(st.sampled_from([0, steps]), "least")
    lengths = data.draw(st.lists(st.integers(least, steps), min_size=rows, max_size=rows))
    more = layer_options(data)
    name = data.draw(st.sampled_from(list(LAYERS)), "layer")
    engine = data.draw(st.sampled_from(list(ENGINES)), "engine")
    x = laid_out(data.draw(st.sampled_from(LAYOUTS), "layout"), steps, rows)
    layer = make(name, ENGINES[engine], **more)
    if rows:
        check(layer, engine, x, lengths, padding=float("nan"))
        return
    batch = x.transpose(0, 1) if layer.batch_first else x
    with unrolled.using(engine):
        output, _ = layer(batch.to(ENGINES[engine]), lengths=[])
    assert output.shape[:2] == batch.shape[:2]
