"""Errors name the layer, the argument, what was expected and what came, in one line."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import unrolled
from unrolled.layers import GRU, LSTM, RNN

LSTM_2 = LSTM(64, 8, num_layers=2, bidirectional=True)
PROJECTED = LSTM(64, 8, proj_size=3, batch_first=True)
GRU_1 = GRU(64, 8)

x = torch.zeros(5, 3, 64)
h, c = torch.zeros(4, 3, 8), torch.zeros(4, 3, 8)
packed = pack_sequence([torch.zeros(4, 64), torch.zeros(2, 64)])

CASES: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "features": (
        LSTM_2,
        {"input": torch.zeros(5, 3, 40)},
        ValueError,
        "LSTM: input has 40 features in its last dimension, this layer was built for input_size=64",
    ),
    "features-packed": (
        GRU_1,
        {"input": pack_sequence([torch.zeros(4, 2)])},
        ValueError,
        "GRU: input has 2 features in its last dimension, this layer was built for input_size=64",
    ),
    "dimensions": (
        GRU_1,
        {"input": torch.zeros(64)},
        ValueError,
        "GRU: input must be [time, features] or [time, batch, features], got shape [64]",
    ),
    "dimensions-batch-first": (
        PROJECTED,
        {"input": torch.zeros(1, 5, 3, 64)},
        ValueError,
        "LSTM: input must be [time, features] or [batch, time, features], got shape [1, 5, 3, 64]",
    ),
    "dimensions-packed": (
        GRU_1,
        {"input": PackedSequence(torch.zeros(3, 2, 64), torch.tensor([2, 1]))},
        ValueError,
        "GRU: input must be packed data [total, features], got shape [3, 2, 64]",
    ),
    "not-a-tensor": (
        GRU_1,
        {"input": [[1.0]]},
        TypeError,
        "GRU: input must be a tensor or a PackedSequence, got list",
    ),
    "integers": (
        LSTM_2,
        {"input": torch.zeros(5, 3, 64, dtype=torch.int64)},
        ValueError,
        "LSTM: input is torch.int64, the weights are torch.float32; "
        "convert one: input.to(torch.float32), or the layer",
    ),
    "double": (
        LSTM_2,
        {"input": x.double()},
        ValueError,
        "LSTM: input is torch.float64, the weights are torch.float32; "
        "convert one: input.to(torch.float32), or the layer",
    ),
    "device": (
        GRU_1,
        {"input": x.to("meta")},
        ValueError,
        "GRU: input is on meta, the weights are on cpu",
    ),
    "one-state-for-lstm": (
        LSTM_2,
        {"hx": h},
        TypeError,
        "LSTM: hx must be a tuple (h_0, c_0), got a tensor",
    ),
    "three-states-for-lstm": (
        LSTM_2,
        {"hx": (h, h, c)},
        TypeError,
        "LSTM: hx must be a tuple (h_0, c_0), got a tuple of 3",
    ),
    "number-among-states": (
        LSTM_2,
        {"hx": (h, 0.0)},
        TypeError,
        "LSTM: c_0 must be a tensor, got float",
    ),
    "tuple-for-gru": (
        GRU_1,
        {"hx": (h, c)},
        TypeError,
        "GRU: hx must be one tensor h_0, got a tuple of 2",
    ),
    "state-shape": (
        LSTM_2,
        {"hx": (h, c[:, :2])},
        ValueError,
        "LSTM: c_0 must have shape [4, 3, 8] (layers * directions, batch, size), got [4, 2, 8]",
    ),
    "state-shape-projected": (
        PROJECTED,
        {"hx": (torch.zeros(1, 5, 8), torch.zeros(1, 5, 8))},
        ValueError,
        "LSTM: h_0 must have shape [1, 5, 3] (layers * directions, batch, size), got [1, 5, 8]",
    ),
    "state-shape-unbatched": (
        GRU_1,
        {"input": x[:, 0], "hx": torch.zeros(1, 1, 8)},
        ValueError,
        "GRU: h_0 must have shape [1, 8] (layers * directions, size), got [1, 1, 8]",
    ),
    "state-shape-packed": (
        GRU_1,
        {"input": packed, "hx": torch.zeros(1, 4, 8)},
        ValueError,
        "GRU: h_0 must have shape [1, 2, 8] (layers * directions, batch, size), got [1, 4, 8]",
    ),
    "state-dtype": (
        GRU_1,
        {"hx": torch.zeros(1, 3, 8, dtype=torch.float64)},
        ValueError,
        "GRU: h_0 is torch.float64, the input is torch.float32",
    ),
    "state-device": (
        GRU_1,
        {"hx": torch.zeros(1, 3, 8, device="meta")},
        ValueError,
        "GRU: h_0 is on meta, the input is on cpu",
    ),
    "lengths-shape": (
        GRU_1,
        {"lengths": [5, 5]},
        ValueError,
        "GRU: lengths must have shape [3] (one for each row of the batch), got [2]",
    ),
    "lengths-shape-batch-first": (
        PROJECTED,
        {"lengths": torch.ones(3, dtype=torch.int64)},
        ValueError,
        "LSTM: lengths must have shape [5] (one for each row of the batch), got [3]",
    ),
    "lengths-unbatched": (
        GRU_1,
        {"input": x[:, 0], "lengths": [2, 2]},
        ValueError,
        "GRU: lengths must have shape [] (one number: input is unbatched), got [2]",
    ),
    "lengths-fractions": (
        GRU_1,
        {"lengths": torch.ones(3)},
        TypeError,
        "GRU: lengths must be integers, got torch.float32",
    ),
    "lengths-mask": (
        GRU_1,
        {"lengths": torch.ones(3, dtype=torch.bool)},
        TypeError,
        "GRU: lengths must be integers, got torch.bool",
    ),
    "lengths-text": (
        GRU_1,
        {"lengths": "123"},
        TypeError,
        "GRU: lengths must be a tensor or a list of integers, got str",
    ),
    "lengths-too-long": (
        GRU_1,
        {"lengths": [5, 6, 1]},
        ValueError,
        "GRU: lengths must lie between 0 and the input's 5 steps, got 6 for row 1",
    ),
    "lengths-negative": (
        GRU_1,
        {"lengths": torch.tensor([5, 5, -1])},
        ValueError,
        "GRU: lengths must lie between 0 and the input's 5 steps, got -1 for row 2",
    ),
    "lengths-with-packed": (
        GRU_1,
        {"input": packed, "lengths": [4, 2]},
        ValueError,
        "GRU: lengths must be None with a PackedSequence, which has its own",
    ),
    "reset-kind": (
        GRU_1,
        {"reset": [[True] * 3] * 5},
        TypeError,
        "GRU: reset must be a tensor of bools, got a list of 5",
    ),
    "reset-dtype": (
        GRU_1,
        {"reset": torch.ones(5, 3)},
        ValueError,
        "GRU: reset must be torch.bool, got torch.float32",
    ),
    "reset-shape": (
        GRU_1,
        {"reset": torch.ones(3, 5, dtype=torch.bool)},
        ValueError,
        "GRU: reset must have shape [5, 3] ([time, batch]), got [3, 5]",
    ),
    "reset-shape-batch-first": (
        PROJECTED,
        {"reset": torch.ones(5, dtype=torch.bool)},
        ValueError,
        "LSTM: reset must have shape [5, 3] ([batch, time]), got [5]",
    ),
    "reset-shape-unbatched": (
        GRU_1,
        {"input": x[:, 0], "reset": torch.ones(5, 1, dtype=torch.bool)},
        ValueError,
        "GRU: reset must have shape [5] ([time]), got [5, 1]",
    ),
    "reset-device": (
        GRU_1,
        {"reset": torch.ones(5, 3, dtype=torch.bool, device="meta")},
        ValueError,
        "GRU: reset is on meta, the input is on cpu",
    ),
    "checkpoint-kind": (
        GRU_1,
        {"checkpoint": 2.5},
        TypeError,
        'GRU: checkpoint must be a number of steps or "auto", got float',
    ),
    "checkpoint-bool": (
        GRU_1,
        {"checkpoint": True},
        TypeError,
        'GRU: checkpoint must be a number of steps or "auto", got bool',
    ),
    "checkpoint-word": (
        GRU_1,
        {"checkpoint": "often"},
        ValueError,
        "GRU: checkpoint must be a number of steps or \"auto\", got 'often'",
    ),
    "checkpoint-none-at-all": (
        GRU_1,
        {"checkpoint": 0},
        ValueError,
        "GRU: checkpoint must be at least one step, got 0",
    ),
    "reset-with-packed": (
        GRU_1,
        {"input": packed, "reset": torch.ones(4, 2, dtype=torch.bool)},
        ValueError,
        "GRU: reset must be None with a PackedSequence; give a padded batch with lengths instead",
    ),
}


@pytest.mark.parametrize("engine", ["auto", "reference", "torch"])
@pytest.mark.parametrize("name", CASES)
def test_a_wrong_argument_is_told_in_one_line(name: str, engine: str) -> None:
    layer, arguments, kind, text = CASES[name]
    arguments = {"input": x, **arguments}
    with unrolled.using(engine):
        with pytest.raises(kind) as ran:
            layer(**arguments)
        with pytest.raises(kind) as explained:
            unrolled.explain(layer, **arguments)
    assert str(ran.value) == text
    assert str(explained.value) == text
    assert "\n" not in text


def test_an_unknown_nonlinearity() -> None:
    with pytest.raises(ValueError, match="nonlinearity") as caught:
        RNN(3, 4, nonlinearity="softsign")
    assert str(caught.value) == (
        "RNN: nonlinearity must be one of tanh, relu, sigmoid, identity, got 'softsign'"
    )


def test_only_our_layers_are_explained() -> None:
    with pytest.raises(TypeError) as caught:
        unrolled.explain(torch.nn.LSTM(3, 4), torch.zeros(5, 2, 3))
    assert str(caught.value) == (
        "explain: layer must be one of unrolled's, got torch.nn.modules.rnn.LSTM"
    )
