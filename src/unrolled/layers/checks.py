"""Arguments that a layer accepts: every error names one, what was expected and what came.

The errors are those of `unrolled.errors`; a wrong value, such as a length, raises ValueError.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ..engine.dispatch import readable
from ..errors import DeviceError, DtypeError, KindError, ShapeError

Lengths = Tensor | Sequence[int]


class Expected(NamedTuple):
    """What a layer was built for.

    Attributes:
        name: the layer's, with which every error begins.
        input_size: features of the input.
        states: for each state its name and size.
        stacked: first dimension of every state: layers times directions.
        batch_first: the order of the input's dimensions.
        tied: whether states come as a tuple (there are several).
    """

    name: str
    input_size: int
    states: tuple[tuple[str, int], ...]
    stacked: int
    batch_first: bool


def autocasts(device: torch.device) -> bool:
    """Whether `torch.autocast` is on for a device; of some it knows nothing."""
    known = torch.amp.is_autocast_available(device.type)
    return known and torch.is_autocast_enabled(device.type)


def check_input(expected: Expected, input: Tensor | PackedSequence, weight: Tensor) -> Tensor:  # noqa: A002
    """The input's tensor: itself, or the data of a packed sequence."""
    name = expected.name
    packed = isinstance(input, PackedSequence)
    x = input.data if isinstance(input, PackedSequence) else input
    if not isinstance(x, Tensor):
        raise KindError(f"{name}: input must be a tensor or a PackedSequence, got {_kind(x)}")
    _check_layout(name, "input", x)
    if x.ndim != 2 and (packed or x.ndim != 3):
        batched = "[batch, time, features]" if expected.batch_first else "[time, batch, features]"
        wanted = "packed data [total, features]" if packed else f"[time, features] or {batched}"
        raise ShapeError(
            f"{name}: input must be {wanted}, got shape {list(x.shape)}",
            f"input must have 2 dimensions, got {x.ndim}"
            if packed
            else f"Expected input to be 2D or 3D, got {x.ndim}D",
        )
    if x.shape[-1] != expected.input_size:
        raise ShapeError(
            f"{name}: input has {x.shape[-1]} features in its last dimension, "
            f"this layer was built for input_size={expected.input_size}",
            "input.size(-1) must be equal to input_size. "
            f"Expected {expected.input_size}, got {x.shape[-1]}",
        )
    if x.device != weight.device:
        raise DeviceError(
            f"{name}: input is on {x.device}, the weights are on {weight.device}",
            "Input and parameter tensors are not at the same device",
        )
    if x.dtype != weight.dtype and not _converted(x, weight):
        raise DtypeError(
            f"{name}: input is {x.dtype}, the weights are {weight.dtype}",
            f"RNN input dtype ({x.dtype}) does not match weight dtype ({weight.dtype}). Convert "
            f"input: input.to({weight.dtype}), or convert model: model.to({x.dtype})",
        )
    if isinstance(input, PackedSequence):
        _check_packed(name, input)
    return x


def _check_packed(name: str, packed: PackedSequence) -> None:
    """See that the sizes and orders of a packed sequence, which anyone can make, fit its data."""
    sizes = packed.batch_sizes
    if sizes.ndim != 1 or sizes.dtype != torch.int64:
        raise KindError(
            f"{name}: batch_sizes of a PackedSequence must be int64 numbers, one for each step, "
            f"got {sizes.dtype} of shape {list(sizes.shape)}"
        )
    found = sizes.tolist()
    if not found or found[-1] < 0 or any(a < b for a, b in pairwise(found)):
        raise ShapeError(
            f"{name}: batch_sizes of a PackedSequence must be one number or more, none negative "
            f"and none larger than the one before, got {_shortened(found)}"
        )
    if sum(found) != len(packed.data):
        raise ShapeError(
            f"{name}: batch_sizes of a PackedSequence must sum up to the {len(packed.data)} rows "
            f"of its data, got {_shortened(found)}, {sum(found)} in all"
        )
    for order in ("sorted_indices", "unsorted_indices"):
        rows = getattr(packed, order)
        if rows is not None and rows.shape != (found[0],):
            raise ShapeError(
                f"{name}: {order} of a PackedSequence must have shape [{found[0]}], one for each "
                f"sequence, got {list(rows.shape)}"
            )


def check_states(
    expected: Expected, hx: Tensor | Sequence[Tensor], x: Tensor, rows: int | None
) -> list[Tensor]:
    """The initial states as a list.

    Args:
        expected: the layer's sizes.
        hx: the states as given.
        x: the input's tensor.
        rows: the batch size; None for unbatched input.
    """
    name = expected.name
    names = ", ".join(state for state, _ in expected.states)
    if len(expected.states) == 1:
        if not isinstance(hx, Tensor):
            raise KindError(f"{name}: hx must be one tensor {names}, got {_kind(hx)}")
        states = [hx]
    else:
        if not isinstance(hx, (tuple, list)) or len(hx) != len(expected.states):
            raise KindError(f"{name}: hx must be a tuple ({names}), got {_kind(hx)}")
        states = list(hx)
    for k, (state, (label, size)) in enumerate(zip(states, expected.states, strict=True)):
        if not isinstance(state, Tensor):
            raise KindError(f"{name}: {label} must be a tensor, got {_kind(state)}")
        _check_layout(name, label, state)
        wanted = (expected.stacked, size) if rows is None else (expected.stacked, rows, size)
        if state.shape != wanted:
            meaning = "layers * directions, " + ("" if rows is None else "batch, ") + "size"
            raise ShapeError(
                f"{name}: {label} must have shape {list(wanted)} ({meaning}), "
                f"got {list(state.shape)}",
                _torch_on_state_shape("" if len(states) == 1 else f"[{k}]", wanted, state),
            )
        if state.device != x.device:
            raise DeviceError(
                f"{name}: {label} is on {state.device}, the input is on {x.device}",
                "Input and hidden tensors are not at the same device",
            )
        if state.dtype != x.dtype and not _converted(state, x):
            raise DtypeError(
                f"{name}: {label} is {state.dtype}, the input is {x.dtype}; "
                "they must have the same dtype"
            )
    return states


def _torch_on_state_shape(which: str, wanted: tuple[int, ...], state: Tensor) -> str:
    """torch.nn's words for a state of a wrong shape, which begin with its number of dimensions."""
    if state.ndim != len(wanted):
        input = "unbatched 2-D" if len(wanted) == 2 else "batched 3-D"  # noqa: A001
        return f"For {input} input, hx should also be {len(wanted)}-D but got {state.ndim}-D tensor"
    return f"Expected hidden{which} size {wanted}, got {list(state.shape)}"


def check_lengths(
    expected: Expected, lengths: Lengths | int, x: Tensor, batched: bool
) -> Tensor | None:
    """The lengths ``[N]`` as int64 on x's device; None if every row has all steps.

    Where the values are not there to be read (while tracing, on meta tensors, in a transform)
    they are believed.
    """
    name = expected.name
    given = lengths if isinstance(lengths, Tensor) else _tensor(name, lengths)
    if given.dtype.is_floating_point or given.dtype.is_complex or given.dtype == torch.bool:
        raise KindError(f"{name}: lengths must be integers, got {given.dtype}")
    time, batch = (1, 0) if expected.batch_first and batched else (0, 1)
    steps = x.shape[time]
    wanted = (x.shape[batch],) if batched else ()
    if given.shape != wanted:
        meaning = "one for each row of the batch" if batched else "one number: input is unbatched"
        raise ShapeError(
            f"{name}: lengths must have shape {list(wanted)} ({meaning}), got {list(given.shape)}"
        )
    found = given.reshape(wanted or (1,)).to(torch.int64)
    if readable(found):
        values = found.tolist()
        for row, value in enumerate(values):
            if not 0 <= value <= steps:
                raise ValueError(
                    f"{name}: lengths must lie between 0 and the input's {steps} steps, "
                    f"got {value} for row {row}"
                )
        if all(value == steps for value in values):
            return None
    return found.to(x.device)


def check_reset(expected: Expected, reset: Tensor, x: Tensor, batched: bool) -> Tensor:
    """The mask of resets as ``[T, N]``, whatever the order of x's dimensions."""
    name = expected.name
    if not isinstance(reset, Tensor):
        raise KindError(f"{name}: reset must be a tensor of bools, got {_kind(reset)}")
    if reset.dtype != torch.bool:
        raise DtypeError(f"{name}: reset must be torch.bool, got {reset.dtype}")
    wanted = x.shape[:-1]
    if reset.shape != wanted:
        order = "[batch, time]" if expected.batch_first else "[time, batch]"
        raise ShapeError(
            f"{name}: reset must have shape {list(wanted)} ({order if batched else '[time]'}), "
            f"got {list(reset.shape)}"
        )
    if reset.device != x.device:
        raise DeviceError(f"{name}: reset is on {reset.device}, the input is on {x.device}")
    if not batched:
        return reset.unsqueeze(1)
    return reset.transpose(0, 1) if expected.batch_first else reset


def check_packed_alone(expected: Expected, lengths: Any, reset: Any) -> None:
    """See that a packed sequence comes without what it says itself."""
    if lengths is not None:
        raise ValueError(
            f"{expected.name}: lengths must be None with a PackedSequence, which has its own"
        )
    if reset is not None:
        raise ValueError(
            f"{expected.name}: reset must be None with a PackedSequence; "
            "give a padded batch with lengths instead"
        )


def check_checkpoint(expected: Expected, checkpoint: Any) -> None:
    """A number of steps, or the word for leaving it to the engine."""
    if checkpoint is None or checkpoint == "auto":
        return
    name = expected.name
    if isinstance(checkpoint, str):
        raise ValueError(
            f'{name}: checkpoint must be a number of steps or "auto", got {checkpoint!r}'
        )
    if isinstance(checkpoint, bool) or not isinstance(checkpoint, int):
        raise KindError(
            f'{name}: checkpoint must be a number of steps or "auto", got {_kind(checkpoint)}'
        )
    if checkpoint < 1:
        raise ValueError(f"{name}: checkpoint must be at least one step, got {checkpoint}")


def _tensor(name: str, lengths: Any) -> Tensor:
    try:
        found = torch.as_tensor(lengths, device="cpu")
    except (TypeError, ValueError, RuntimeError) as error:
        raise KindError(
            f"{name}: lengths must be a tensor or a list of integers, got {_kind(lengths)}"
        ) from error
    # An empty list makes a tensor of floating point.
    return found.to(torch.int64) if found.numel() == 0 else found


def _converted(a: Tensor, b: Tensor) -> bool:
    """Whether autocast gives both tensors one dtype; it leaves all but short floats as they are."""
    return autocasts(a.device) and all(
        tensor.dtype.is_floating_point and tensor.dtype != torch.float64 for tensor in (a, b)
    )


def _check_layout(name: str, label: str, tensor: Tensor) -> None:
    """Numbers of a sparse, nested or opaque tensor do not lie where its sizes and strides say."""
    if tensor.is_nested:
        raise KindError(
            f"{name}: {label} must be a dense tensor, got a nested one; "
            "give a padded batch with lengths instead"
        )
    if tensor.layout != torch.strided:
        raise KindError(f"{name}: {label} must be a dense tensor, got one of {tensor.layout}")


def _shortened(numbers: list[int]) -> str:
    """Numbers for an error's line, the first ones if there are many."""
    return str(numbers) if len(numbers) <= 8 else f"{str(numbers[:8])[:-1]}, ...]"


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return "a tensor"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return type(value).__name__
