"""Errors name the layer, the argument, what was expected and what came, in one line."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import unrolled
from unrolled.errors import ArgumentError, DeviceError, DtypeError, KindError, ShapeError
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
        ShapeError,
        "LSTM: input has 40 features in its last dimension, this layer was built for input_size=64 "
        "(torch.nn: input.size(-1) must be equal to input_size. Expected 64, got 40)",
    ),
    "features-packed": (
        GRU_1,
        {"input": pack_sequence([torch.zeros(4, 2)])},
        ShapeError,
        "GRU: input has 2 features in its last dimension, this layer was built for input_size=64 "
        "(torch.nn: input.size(-1) must be equal to input_size. Expected 64, got 2)",
    ),
    "dimensions": (
        GRU_1,
        {"input": torch.zeros(64)},
        ShapeError,
        "GRU: input must be [time, features] or [time, batch, features], got shape [64] "
        "(torch.nn: Expected input to be 2D or 3D, got 1D)",
    ),
    "dimensions-batch-first": (
        PROJECTED,
        {"input": torch.zeros(1, 5, 3, 64)},
        ShapeError,
        "LSTM: input must be [time, features] or [batch, time, features], got shape [1, 5, 3, 64] "
        "(torch.nn: Expected input to be 2D or 3D, got 4D)",
    ),
    "dimensions-packed": (
        GRU_1,
        {"input": PackedSequence(torch.zeros(3, 2, 64), torch.tensor([2, 1]))},
        ShapeError,
        "GRU: input must be packed data [total, features], got shape [3, 2, 64] "
        "(torch.nn: input must have 2 dimensions, got 3)",
    ),
    "not-a-tensor": (
        GRU_1,
        {"input": [[1.0]]},
        KindError,
        "GRU: input must be a tensor or a PackedSequence, got a list of 1",
    ),
    "integers": (
        LSTM_2,
        {"input": torch.zeros(5, 3, 64, dtype=torch.int64)},
        DtypeError,
        "LSTM: input is torch.int64, the weights are torch.float32 "
        "(torch.nn: RNN input dtype (torch.int64) does not match weight dtype (torch.float32). "
        "Convert input: input.to(torch.float32), or convert model: model.to(torch.int64))",
    ),
    "double": (
        LSTM_2,
        {"input": x.double()},
        DtypeError,
        "LSTM: input is torch.float64, the weights are torch.float32 "
        "(torch.nn: RNN input dtype (torch.float64) does not match weight dtype (torch.float32). "
        "Convert input: input.to(torch.float32), or convert model: model.to(torch.float64))",
    ),
    "device": (
        GRU_1,
        {"input": x.to("meta")},
        DeviceError,
        "GRU: input is on meta, the weights are on cpu "
        "(torch.nn: Input and parameter tensors are not at the same device)",
    ),
    "one-state-for-lstm": (
        LSTM_2,
        {"hx": h},
        KindError,
        "LSTM: hx must be a tuple (h_0, c_0), got a tensor",
    ),
    "three-states-for-lstm": (
        LSTM_2,
        {"hx": (h, h, c)},
        KindError,
        "LSTM: hx must be a tuple (h_0, c_0), got a tuple of 3",
    ),
    "number-among-states": (
        LSTM_2,
        {"hx": (h, 0.0)},
        KindError,
        "LSTM: c_0 must be a tensor, got float",
    ),
    "tuple-for-gru": (
        GRU_1,
        {"hx": (h, c)},
        KindError,
        "GRU: hx must be one tensor h_0, got a tuple of 2",
    ),
    "state-shape": (
        LSTM_2,
        {"hx": (h, c[:, :2])},
        ShapeError,
        "LSTM: c_0 must have shape [4, 3, 8] (layers * directions, batch, size), got [4, 2, 8] "
        "(torch.nn: Expected hidden[1] size (4, 3, 8), got [4, 2, 8])",
    ),
    "state-shape-projected": (
        PROJECTED,
        {"hx": (torch.zeros(1, 5, 8), torch.zeros(1, 5, 8))},
        ShapeError,
        "LSTM: h_0 must have shape [1, 5, 3] (layers * directions, batch, size), got [1, 5, 8] "
        "(torch.nn: Expected hidden[0] size (1, 5, 3), got [1, 5, 8])",
    ),
    "state-shape-unbatched": (
        GRU_1,
        {"input": x[:, 0], "hx": torch.zeros(1, 1, 8)},
        ShapeError,
        "GRU: h_0 must have shape [1, 8] (layers * directions, size), got [1, 1, 8] "
        "(torch.nn: For unbatched 2-D input, hx should also be 2-D but got 3-D tensor)",
    ),
    "state-shape-packed": (
        GRU_1,
        {"input": packed, "hx": torch.zeros(1, 4, 8)},
        ShapeError,
        "GRU: h_0 must have shape [1, 2, 8] (layers * directions, batch, size), got [1, 4, 8] "
        "(torch.nn: Expected hidden size (1, 2, 8), got [1, 4, 8])",
    ),
    "state-dtype": (
        GRU_1,
        {"hx": torch.zeros(1, 3, 8, dtype=torch.float64)},
        DtypeError,
        "GRU: h_0 is torch.float64, the input is torch.float32; they must have the same dtype",
    ),
    "state-device": (
        GRU_1,
        {"hx": torch.zeros(1, 3, 8, device="meta")},
        DeviceError,
        "GRU: h_0 is on meta, the input is on cpu "
        "(torch.nn: Input and hidden tensors are not at the same device)",
    ),
    "lengths-shape": (
        GRU_1,
        {"lengths": [5, 5]},
        ShapeError,
        "GRU: lengths must have shape [3] (one for each row of the batch), got [2]",
    ),
    "lengths-shape-batch-first": (
        PROJECTED,
        {"lengths": torch.ones(3, dtype=torch.int64)},
        ShapeError,
        "LSTM: lengths must have shape [5] (one for each row of the batch), got [3]",
    ),
    "lengths-unbatched": (
        GRU_1,
        {"input": x[:, 0], "lengths": [2, 2]},
        ShapeError,
        "GRU: lengths must have shape [] (one number: input is unbatched), got [2]",
    ),
    "lengths-fractions": (
        GRU_1,
        {"lengths": torch.ones(3)},
        KindError,
        "GRU: lengths must be integers, got torch.float32",
    ),
    "lengths-mask": (
        GRU_1,
        {"lengths": torch.ones(3, dtype=torch.bool)},
        KindError,
        "GRU: lengths must be integers, got torch.bool",
    ),
    "lengths-text": (
        GRU_1,
        {"lengths": "123"},
        KindError,
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
        KindError,
        "GRU: reset must be a tensor of bools, got a list of 5",
    ),
    "reset-dtype": (
        GRU_1,
        {"reset": torch.ones(5, 3)},
        DtypeError,
        "GRU: reset must be torch.bool, got torch.float32",
    ),
    "reset-shape": (
        GRU_1,
        {"reset": torch.ones(3, 5, dtype=torch.bool)},
        ShapeError,
        "GRU: reset must have shape [5, 3] ([time, batch]), got [3, 5]",
    ),
    "reset-shape-batch-first": (
        PROJECTED,
        {"reset": torch.ones(5, dtype=torch.bool)},
        ShapeError,
        "LSTM: reset must have shape [5, 3] ([batch, time]), got [5]",
    ),
    "reset-shape-unbatched": (
        GRU_1,
        {"input": x[:, 0], "reset": torch.ones(5, 1, dtype=torch.bool)},
        ShapeError,
        "GRU: reset must have shape [5] ([time]), got [5, 1]",
    ),
    "reset-device": (
        GRU_1,
        {"reset": torch.ones(5, 3, dtype=torch.bool, device="meta")},
        DeviceError,
        "GRU: reset is on meta, the input is on cpu",
    ),
    "checkpoint-kind": (
        GRU_1,
        {"checkpoint": 2.5},
        KindError,
        'GRU: checkpoint must be a number of steps or "auto", got float',
    ),
    "checkpoint-bool": (
        GRU_1,
        {"checkpoint": True},
        KindError,
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
    "state-shape-batched": (
        GRU_1,
        {"hx": torch.zeros(1, 8)},
        ShapeError,
        "GRU: h_0 must have shape [1, 3, 8] (layers * directions, batch, size), got [1, 8] "
        "(torch.nn: For batched 3-D input, hx should also be 3-D but got 2-D tensor)",
    ),
    "sparse": (
        GRU_1,
        {"input": x.to_sparse()},
        KindError,
        "GRU: input must be a dense tensor, got one of torch.sparse_coo",
    ),
    "opaque": (
        GRU_1,
        {"input": x.to_mkldnn()},
        KindError,
        "GRU: input must be a dense tensor, got one of torch._mkldnn",
    ),
    "nested": (
        GRU_1,
        {"input": torch.nested.nested_tensor([x[:, 0]], layout=torch.jagged)},
        KindError,
        "GRU: input must be a dense tensor, got a nested one; "
        "give a padded batch with lengths instead",
    ),
    "state-sparse": (
        GRU_1,
        {"hx": torch.zeros(1, 3, 8).to_sparse()},
        KindError,
        "GRU: h_0 must be a dense tensor, got one of torch.sparse_coo",
    ),
    "packed-integers-as-fractions": (
        GRU_1,
        {"input": PackedSequence(torch.zeros(3, 64), torch.tensor([2.0, 1.0]))},
        KindError,
        "GRU: batch_sizes of a PackedSequence must be int64 numbers, one for each step, "
        "got torch.float32 of shape [2]",
    ),
    "packed-without-steps": (
        GRU_1,
        {"input": PackedSequence(torch.zeros(0, 64), torch.zeros(0, dtype=torch.int64))},
        ShapeError,
        "GRU: batch_sizes of a PackedSequence must be one number or more, none negative and none "
        "larger than the one before, got []",
    ),
    "packed-growing": (
        GRU_1,
        {"input": PackedSequence(torch.zeros(3, 64), torch.tensor([1, 2]))},
        ShapeError,
        "GRU: batch_sizes of a PackedSequence must be one number or more, none negative and none "
        "larger than the one before, got [1, 2]",
    ),
    "packed-negative": (
        GRU_1,
        {"input": PackedSequence(torch.zeros(1, 64), torch.tensor([2, -1]))},
        ShapeError,
        "GRU: batch_sizes of a PackedSequence must be one number or more, none negative and none "
        "larger than the one before, got [2, -1]",
    ),
    "packed-too-many-rows": (
        GRU_1,
        {"input": PackedSequence(torch.zeros(30, 64), torch.ones(20, dtype=torch.int64))},
        ShapeError,
        "GRU: batch_sizes of a PackedSequence must sum up to the 30 rows of its data, "
        "got [1, 1, 1, 1, 1, 1, 1, 1, ...], 20 in all",
    ),
    "packed-order": (
        GRU_1,
        {
            "input": PackedSequence(
                torch.zeros(3, 64), torch.tensor([2, 1]), torch.tensor([0]), torch.tensor([0])
            ),
            "hx": torch.zeros(1, 2, 8),
        },
        ShapeError,
        "GRU: sorted_indices of a PackedSequence must have shape [2], one for each sequence, "
        "got [1]",
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


def twin(layer: Any) -> torch.nn.Module:
    """torch.nn's layer with the same sizes and parameters."""
    kept = ("input_size", "hidden_size", "num_layers", "batch_first", "bidirectional")
    sizes = {name: getattr(layer, name) for name in kept}
    if layer.proj_size:
        sizes["proj_size"] = layer.proj_size
    made: torch.nn.Module = getattr(torch.nn, type(layer).__name__)(**sizes)
    made.load_state_dict(layer.state_dict())
    return made


# The phrases that PyTorch's own tests of its recurrent layers look for, and by which people search.
TORCH_WORDS: dict[str, str] = {
    "features": r"input\.size\(-1\) must be equal to input_size",
    "features-packed": r"input\.size\(-1\) must be equal to input_size",
    "dimensions": "Expected input to be 2D or 3D, got 1D",
    "dimensions-packed": "input must have 2 dimensions, got 3",
    "integers": r"RNN input dtype .* does not match weight dtype .* Convert input: input\.to\(.*\)",
    "double": r"Convert input: input\.to\(.*\), or convert model: model\.to\(.*\)",
    "device": "Input and parameter tensors are not at the same device",
    "state-shape": r"Expected hidden\[1\] size \(4, 3, 8\), got \[4, 2, 8\]",
    "state-shape-projected": "Expected hidden.*size.*got",
    "state-shape-packed": "Expected hidden.*size.*got",
    "state-shape-unbatched": "For unbatched 2-D input, hx should also be 2-D but got 3-D tensor",
    "state-shape-batched": "For batched 3-D input, hx should also be 3-D but got 2-D tensor",
    "state-dtype": "must have the same dtype",
    "state-device": "Input and hidden tensors are not at the same device",
}
# torch.nn raises IndexError by accident for one tensor in place of a tuple, and for no step at all,
# and NotImplementedError for an opaque tensor; it computes with a sparse state, and with data that
# goes on after the sizes.
NOT_TORCH_KIND = {
    "one-state-for-lstm",
    "opaque",
    "packed-without-steps",
    "state-sparse",
    "packed-too-many-rows",
}


@pytest.mark.parametrize(
    "name",
    [name for name, case in CASES.items() if case[1].keys() <= {"input", "hx"}],
)
def test_an_error_is_of_torch_kind(name: str) -> None:
    """Code that catches what torch.nn raises, or reads its words, works with our layers."""
    layer, arguments, kind, _ = CASES[name]
    arguments = {"input": x, **arguments}
    with pytest.raises(kind, match=TORCH_WORDS.get(name)):
        layer(**arguments)
    assert {ArgumentError, TypeError if kind is KindError else ValueError} < set(kind.__mro__)
    if name not in NOT_TORCH_KIND:
        with pytest.raises(Exception, match=TORCH_WORDS.get(name)) as theirs:
            twin(layer)(**arguments)
        assert issubclass(kind, theirs.type)


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (torch.zeros(24, 3), ShapeError),
        (torch.zeros(24, 8, device="meta"), DeviceError),
        (torch.zeros(24, 8, dtype=torch.float64), DtypeError),
        (None, KindError),
    ],
    ids=["shape", "device", "dtype", "none"],
)
def test_an_error_of_a_parameter_is_of_torch_kind(wrong: Any, kind: type[ArgumentError]) -> None:
    """torch.nn has no words of its own for these: its products fail."""
    ours, theirs = GRU(64, 8), torch.nn.GRU(64, 8)
    for layer in (ours, theirs):
        layer.weight_hh_l0 = wrong if wrong is None else torch.nn.Parameter(wrong)
    with pytest.raises(kind, match="GRU: weight_hh_l0 "):
        ours(x)
    with pytest.raises((RuntimeError, TypeError)) as failed:
        theirs(x)
    assert issubclass(kind, failed.type)


def test_every_phrase_belongs_to_a_case() -> None:
    assert TORCH_WORDS.keys() | NOT_TORCH_KIND <= CASES.keys()


@pytest.mark.parametrize("kind", [KindError, ShapeError, DtypeError, DeviceError])
def test_an_error_survives_pickling(kind: type[ArgumentError]) -> None:
    """As it must to come back from a worker of a DataLoader."""
    error = pickle.loads(pickle.dumps(kind("ours", "theirs")))
    assert type(error) is kind
    assert str(error) == "ours (torch.nn: theirs)"


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64, torch.float64])
def test_what_autocast_leaves_alone_is_refused(dtype: torch.dtype) -> None:
    """It converts float32, float16 and bfloat16 to each other, and nothing else."""
    with torch.autocast("cpu"):
        with pytest.raises(DtypeError, match="does not match weight dtype"):
            GRU_1(x.to(dtype))
        with pytest.raises(DtypeError, match=r"h_0 .* must have the same dtype"):
            GRU_1(x, torch.zeros(1, 3, 8).to(dtype))
        GRU_1(x.half(), torch.zeros(1, 3, 8).bfloat16())


@pytest.mark.parametrize("nonlinearity", ["softsign", ["tanh"], None])
def test_an_unknown_nonlinearity(nonlinearity: Any) -> None:
    for cls in (RNN, torch.nn.RNN):
        with pytest.raises(ValueError, match="Unknown nonlinearity"):
            cls(3, 4, nonlinearity=nonlinearity)
    with pytest.raises(ValueError, match="nonlinearity") as caught:
        RNN(3, 4, nonlinearity=nonlinearity)
    assert str(caught.value) == (
        "RNN: nonlinearity must be one of tanh, relu, sigmoid, identity, "
        f"got {nonlinearity!r} (torch.nn: Unknown nonlinearity '{nonlinearity}')"
    )


CONSTRUCTIONS: dict[str, dict[str, Any]] = {
    f"{name}-{value}": {name: value}
    for name, values in {
        "input_size": (0, -1, 3.0, "3", None),
        "hidden_size": (0, -1, 3.0, "3", None, [4]),
        "num_layers": (0, -1, 1.5, "2", None),
        "bias": (0, 1, "True", None),
        "batch_first": (0, "False"),
        "dropout": (-0.1, 1.1, True, float("nan")),
        "proj_size": (-1, 4, 5, 1.5, "2", None),
        "dtype": ("float32", torch.int64),
        "device": ("nowhere",),
        "unknown": (1,),
    }.items()
    for value in values
}


@pytest.mark.parametrize("cls", [LSTM, GRU, RNN], ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("name", CONSTRUCTIONS)
def test_a_constructor_refuses_as_torch_nn_does(name: str, cls: type[LSTM]) -> None:
    arguments = {"input_size": 3, "hidden_size": 4, **CONSTRUCTIONS[name]}
    # torch.nn's RNN and GRU refuse every proj_size; ours are held against its LSTM.
    theirs = torch.nn.LSTM if "proj_size" in arguments else getattr(torch.nn, cls.__name__)
    with pytest.raises(Exception) as expected:  # noqa: PT011
        theirs(**arguments)
    with pytest.raises(expected.type):
        cls(**arguments)


@pytest.mark.parametrize("name", ["num_layers", "proj_size"])
@pytest.mark.parametrize("cls", [LSTM, GRU, RNN], ids=lambda cls: cls.__name__)
def test_a_size_that_is_no_integer_is_named(cls: type[LSTM], name: str) -> None:
    """Where torch.nn's class would say what happened to it inside."""
    given: dict[str, Any] = {name: 1.5}
    with pytest.raises(TypeError) as caught:
        cls(3, 4, **given)
    assert str(caught.value) == f"{cls.__name__}: {name} must be an integer, got float"


def test_only_our_layers_are_explained() -> None:
    with pytest.raises(TypeError) as caught:
        unrolled.explain(torch.nn.LSTM(3, 4), torch.zeros(5, 2, 3))
    assert str(caught.value) == (
        "explain: layer must be one of unrolled's, got torch.nn.modules.rnn.LSTM"
    )
