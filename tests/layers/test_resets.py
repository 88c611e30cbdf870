"""A mask of resets gives what the pieces between the cuts give alone, in both directions.

The expectation cuts every row by hand and runs each piece by itself from the initial states: by
torch.nn in float64 where it has the cell, else by the reference without a mask.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import unrolled
from unrolled.layers import GRU, LSTM, RNN, explain

from .batches import HIDDEN, INPUT, LAYERS, LAYOUTS, as_list, check, laid_out, layer_options, make

ENGINES = {"kernels": torch.float32, "reference": torch.float64}


@pytest.mark.parametrize("lengths", [None, [4, 0, 6, 1, 6]], ids=["uniform", "ragged"])
@pytest.mark.parametrize("batch_first", [False, True], ids=["time-first", "batch-first"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "bidirectional"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", LAYERS)
def test_each_piece_is_as_if_it_were_alone(
    name: str, engine: str, bidirectional: bool, batch_first: bool, lengths: list[int] | None
) -> None:
    torch.manual_seed(0)
    more = {"num_layers": 2, "bidirectional": bidirectional, "batch_first": batch_first}
    # at the first step, at the last, at a row's end, two in a row, and in rows without a step
    reset = torch.tensor(
        [
            [1, 1, 0, 0, 0],
            [0, 0, 0, 1, 1],
            [0, 1, 1, 0, 1],
            [1, 0, 1, 0, 0],
            [1, 0, 0, 0, 0],
            [0, 1, 1, 0, 0],
        ]
    ).bool()
    check(make(name, ENGINES[engine], **more), engine, torch.randn(6, 5, INPUT), lengths, reset)


def laid_out_mask(layout: str, steps: int, rows: int, share: float) -> Tensor:
    """Random ``[T, N]`` in one of the ways a mask can lie in memory."""
    if layout == "transposed":
        return (torch.rand(rows, steps) < share).transpose(0, 1)
    if layout == "expanded-rows":
        return (torch.rand(steps, 1) < share).expand(steps, rows)
    if layout == "expanded-steps":
        return (torch.rand(1, rows) < share).expand(steps, rows)
    if layout == "every-second":
        return (torch.rand(2 * steps, 2 * rows) < share)[::2, 1::2]
    return torch.rand(steps, rows) < share


@given(data=st.data())
def test_any_layer_on_any_shape_layout_and_mask(data: st.DataObject) -> None:
    steps, rows = data.draw(st.integers(1, 7), "T"), data.draw(st.integers(1, 5), "N")
    lengths = data.draw(
        st.none() | st.lists(st.integers(0, steps), min_size=rows, max_size=rows), "lengths"
    )
    more = layer_options(data)
    masks = ["contiguous", "transposed", "expanded-rows", "expanded-steps", "every-second"]
    reset = laid_out_mask(
        data.draw(st.sampled_from(masks), "mask"),
        steps,
        rows,
        data.draw(st.sampled_from([0.1, 0.5, 1.0]), "share"),
    )
    x = laid_out(data.draw(st.sampled_from(LAYOUTS), "layout"), steps, rows)
    name = data.draw(st.sampled_from(list(LAYERS)), "layer")
    engine = data.draw(st.sampled_from(list(ENGINES)), "engine")
    check(make(name, ENGINES[engine], **more), engine, x, lengths, reset)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", LAYERS)
def test_gradients_stop_at_a_reset(name: str, engine: str) -> None:
    """Exactly: nothing of a piece's loss is felt in another piece, in either direction."""
    torch.manual_seed(0)
    layer = make(name, ENGINES[engine], num_layers=2, bidirectional=True)
    x = torch.randn(7, 2, INPUT, dtype=ENGINES[engine], requires_grad=True)
    reset = torch.zeros(7, 2, dtype=torch.bool)
    reset[3, 0] = reset[5, 0] = True
    with unrolled.using(engine):
        output, _ = layer(x, reset=reset)
    (found,) = torch.autograd.grad(output[3:5, 0].square().sum(), x)
    assert found[3:5, 0].any()
    assert not found[:3].any()
    assert not found[5:].any()
    assert not found[:, 1].any()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", LAYERS)
def test_a_nan_does_not_outlive_its_piece(name: str, engine: str) -> None:
    layer = make(name, ENGINES[engine], num_layers=2, bidirectional=True)
    x = torch.randn(7, 2, INPUT, dtype=ENGINES[engine])
    x[3, 0, 1] = torch.nan
    x.requires_grad_()
    reset = torch.zeros(7, 2, dtype=torch.bool)
    reset[2, 0] = reset[4, 0] = True
    with unrolled.using(engine):
        output, last = layer(x, reset=reset)
    bad = torch.zeros(7, 2, dtype=torch.bool)
    bad[2:4, 0] = True
    assert torch.equal(output.isnan().any(-1), bad)
    assert all(state.isfinite().all() for state in as_list(last))
    (found,) = torch.autograd.grad(output.square().masked_fill(bad.unsqueeze(-1), 0).sum(), x)
    assert found[~bad].isfinite().all()


@pytest.mark.parametrize("descending", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_state_that_has_overflowed_is_no_part_of_the_weights_gradient(
    engine: str, descending: bool
) -> None:
    """The state before a reset is not what the step was computed from: not even times zero."""
    dtype = ENGINES[engine]
    layer = RNN(1, 2, nonlinearity="identity", bidirectional=True, dtype=dtype)
    huge = torch.finfo(dtype).max / 4
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.fill_(8.0 if name.startswith("weight_ih") else 0.5)
    x = torch.ones(4, 1, 1, dtype=dtype)
    x[2 if descending else 1] = huge  # the last step of its piece in this direction
    reset = torch.tensor([[False], [False], [True], [False]])
    with unrolled.using(engine):
        output, _ = layer(x, reset=reset)
    mine = output[..., 2:] if descending else output[..., :2]
    assert mine.isinf().any()
    kept = mine[:2] if descending else mine[2:]
    suffix = "_reverse" if descending else ""
    weight = layer.get_parameter(f"weight_hh_l0{suffix}")
    (found,) = torch.autograd.grad(kept.sum(), weight)
    assert found.isfinite().all()
    assert found.any()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_reset_that_cuts_nothing_changes_no_bit(engine: str) -> None:
    """At the first step, and at or after a row's end; and a mask that is false everywhere."""
    layer = LSTM(INPUT, HIDDEN, 2, bidirectional=True, dtype=ENGINES[engine])
    x = torch.randn(9, 3, INPUT, dtype=ENGINES[engine])
    lengths = torch.tensor([9, 4, 0])
    idle = torch.arange(9).unsqueeze(-1) >= lengths
    idle[0] = True
    for reset in (idle, torch.zeros(9, 3, dtype=torch.bool)):
        found = []
        for given_reset in (None, reset):
            with unrolled.using(engine):
                output, (h, c) = layer(x, lengths=lengths, reset=given_reset)
            found.append([output, h, c])
        for a, b in zip(*found, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("engine", ENGINES)
def test_unbatched_input_takes_a_mask_of_its_steps(engine: str) -> None:
    layer = GRU(INPUT, HIDDEN, bidirectional=True, batch_first=True, dtype=ENGINES[engine])
    x = torch.randn(9, INPUT, dtype=ENGINES[engine])
    reset = torch.arange(9) == 4
    with unrolled.using(engine):
        output, last = layer(x, lengths=8, reset=reset)
        batched, batched_last = layer(x[None], lengths=[8], reset=reset[None])
        first, _ = layer(x[:4])
    torch.testing.assert_close(output, batched[0])
    torch.testing.assert_close(last, batched_last[:, 0])
    torch.testing.assert_close(output[:4], first)


def test_a_mask_changed_before_backward_is_noticed() -> None:
    layer, reset = GRU(INPUT, HIDDEN), torch.ones(9, 2, dtype=torch.bool)
    with unrolled.using("kernels"):
        output, _ = layer(torch.randn(9, 2, INPUT), reset=reset)
    reset[3] = False
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


def test_transforms_take_masks() -> None:
    """Every example with a mask of its own."""
    layer = GRU(INPUT, HIDDEN).double()
    x = torch.randn(4, 7, 2, INPUT).double()
    reset = torch.rand(4, 7, 2) < 0.4
    found = torch.func.vmap(lambda a, b: layer(a, reset=b)[0])(x, reset)
    for a, b, output in zip(x, reset, found, strict=True):
        torch.testing.assert_close(layer(a, reset=b)[0], output)


def test_who_runs_a_call_with_resets() -> None:
    x, reset = torch.zeros(5, 2, INPUT), torch.ones(5, 2, dtype=torch.bool)
    layer = GRU(INPUT, HIDDEN)
    with torch.no_grad():  # few steps: torch's layer would be faster
        assert "kernels" in explain(layer, x, reset=reset)
    with unrolled.using("torch"):
        text = explain(layer, x, reset=reset)
        assert "torch's own" in explain(layer, x, reset=~reset)
    assert text == (
        f"GRU({INPUT}, {HIDDEN}): the reference, a loop over the steps in torch operations, "
        'because using("torch") asks for it and torch\'s layer knows no resets.'
    )
    assert "float64" in explain(layer.double(), x.double(), reset=reset)
