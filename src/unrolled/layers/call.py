"""A call of a layer, checked, with everything that its run needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ..compiler.program import Program
from ..engine.choice import Choice, choose
from ..engine.cpu import settle_after_fork
from ..engine.weights import Weights, split
from .checks import (
    Lengths,
    check_checkpoint,
    check_input,
    check_lengths,
    check_reset,
    check_states,
    resets_nothing,
)
from .packing import rows_of
from .parameters import flat
from .program import NoiseSource
from .sequences import NOTHING, Wanted
from .stack import Checkpoint, Watch
from .stand_in import recording_tool, stand_in
from .weight_drop import drop_weights

if TYPE_CHECKING:
    from .layer import Layer


class Call(NamedTuple):
    """A checked call.

    Attributes:
        x: the input's tensor, batched; the data of a packed sequence.
        packed: the packed sequence, if the input is one.
        initial: the states ``[layers * directions, N, ·]``, or None for zeros.
        lengths: ``[N]`` on x's device, or None.
        reset: ``[T, N]`` on x's device, or None.
        checkpoint: every how many steps states are kept for backward.
        flat: for each layer the weights of all directions, one after the other.
        weights: the same, for each layer, for each direction.
        batched: whether the caller's input had a batch dimension.
        batch_first: the order of x's dimensions.
        program: what each layer runs.
        choice: the engine.
        dropout: probability with which an output between layers is dropped in this call.
        training: whether the layer is in training mode.
        noise: what draws the program's masks.
        wanted: what the caller wants beside output and last states.
        watch: who looks at every step.
    """

    x: Tensor
    packed: PackedSequence | None
    initial: list[Tensor] | None
    lengths: Tensor | None
    reset: Tensor | None
    checkpoint: Checkpoint
    flat: list[list[Tensor]]
    weights: list[list[Weights]]
    batched: bool
    batch_first: bool
    program: Program
    choice: Choice
    dropout: float
    training: bool
    noise: NoiseSource
    wanted: Wanted
    watch: Watch | None


def accept(
    layer: Layer,
    input: Tensor | PackedSequence,  # noqa: A002
    hx: Any = None,
    lengths: Lengths | int | None = None,
    reset: Tensor | None = None,
    checkpoint: Checkpoint = None,
    wanted: Wanted = NOTHING,
) -> Call:
    """Check the arguments and choose the engine; runs nothing."""
    settle_after_fork()
    directions = 2 if layer.bidirectional else 1
    program = layer.program_with(wanted)
    tensors = flat(layer, program)
    if layer.training and layer.options.weight_drop:
        tensors = [drop_weights(own, directions, layer.options.weight_drop) for own in tensors]
    expected = layer.expected(directions, program)
    x = check_input(expected, input, tensors[0][0])
    check_checkpoint(expected, checkpoint)
    packed = input if isinstance(input, PackedSequence) else None
    batched = packed is not None or x.ndim == 3
    if packed is not None:
        rows: int | None = rows_of(packed)
        if lengths is not None:
            raise ValueError(
                f"{expected.name}: lengths must be None with a PackedSequence, which has its own"
            )
        if reset is not None:
            raise ValueError(
                f"{expected.name}: reset must be None with a PackedSequence; "
                "give a padded batch with lengths instead"
            )
    else:
        rows = x.shape[0 if layer.batch_first else 1] if batched else None
    if hx is None:
        initial = layer.learned_initial(1 if rows is None else rows)
    else:
        initial = check_states(expected, hx, x, rows)
        if not batched:
            initial = [state.unsqueeze(1) for state in initial]
    if lengths is not None:
        lengths = check_lengths(expected, lengths, x, batched)
    if reset is not None:
        reset = check_reset(expected, reset, x, batched)
    if not batched:
        x = x.unsqueeze(1)
    batch_first = layer.batch_first and batched and packed is None
    whole = packed is None and lengths is None and not any(wanted)
    steps = x.shape[batch_first] if whole else None
    given = [x, *(initial or []), *(tensor for own in tensors for tensor in own)]
    tool = recording_tool()
    if tool:
        choice = stand_in(tool, layer, given, reset, lengths, wanted)
    else:
        choice = choose(program, given, steps, reset is not None, layer.heads)
        if reset is not None and choice.engine != "kernels" and resets_nothing(reset):
            reset, choice = None, choose(program, given, steps, heads=layer.heads)
        choice = _run_by(choice, layer, x, lengths, wanted)
    return Call(
        x,
        packed,
        initial,
        lengths,
        reset,
        checkpoint,
        tensors,
        [split(program, own, directions) for own in tensors],
        batched,
        batch_first,
        program,
        choice,
        layer.dropout if layer.training else 0.0,
        layer.training,
        layer.noise(program, layer.training),
        wanted,
        layer.watch,
    )


def _run_by(
    choice: Choice, layer: Layer, x: Tensor, lengths: Tensor | None, wanted: Wanted
) -> Choice:
    """The engine that was chosen, or the reference where that cannot give what is asked for."""
    if layer.watch is not None:
        return Choice("reference", reason="someone looks at every step")
    if choice.engine == "torch" and any(wanted):
        return Choice("reference", reason="torch's layer returns the last layer's output only")
    if choice.engine == "torch" and x.numel() == 0:
        return Choice("reference", reason="there is no step to run")
    if choice.engine == "torch" and lengths is not None and lengths.is_meta:
        return Choice("reference", reason="lengths without values cannot be packed")
    return choice
