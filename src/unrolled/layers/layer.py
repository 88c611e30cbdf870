"""Calls of every layer: from their arguments to a request for an engine, and to results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.fx import Proxy
from torch.nn.utils.rnn import PackedSequence

from ..engine.choice import asked, choose
from ..engine.cpu import settle_after_fork
from ..engine.dispatch import recording_tool
from ..engine.packing import rows_of
from ..engine.request import NOTHING, Checkpoint, Recording, Request, Wanted, Watch
from ..options import OPTIONS
from .checks import (
    Lengths,
    check_checkpoint,
    check_input,
    check_lengths,
    check_packed_alone,
    check_reset,
    check_states,
)
from .description import Prepared, prepare
from .parameters import weights_of
from .quick import Quick
from .stream import Stream
from .structure import Structure
from .tools import described, leaf, not_scriptable, traced
from .training_call import TrainingCall


class Sequences(NamedTuple):
    """States and gates of every step, of every layer.

    Each value is a list of one sequence for each layer, laid out as the layer's output: the
    directions side by side, zero after a row's end, packed where the input is. They are float32
    where the kernels run in bfloat16, and views of what the layer keeps for backward: a gradient
    flows through them, and who writes to them destroys it.

    Attributes:
        states: by the cell's names; the first is each layer's own output. Empty unless asked for.
        gates: by the names of the values in the cell's equations. Empty unless asked for.
    """

    states: dict[str, list[Any]]
    gates: dict[str, list[Any]]


class Layer(Structure):
    """A stack of recurrent layers of one cell that can be called, as a whole or step by step."""

    watch: Watch | None = None

    def forward(
        self,
        input: Tensor | PackedSequence | Proxy,  # noqa: A002
        hx: Any = None,
        lengths: Lengths | int | None = None,
        reset: Tensor | None = None,
        checkpoint: Checkpoint = None,
        return_states: bool = False,
        return_gates: bool = False,
    ) -> Any:
        """Run the layer; see the class for shapes.

        What follows hx is given by name. (No star says so: torch's older ONNX exporter hands on
        all defaults by position.)

        Returns:
            The output and the last states; third, where states or gates are asked for, their
            `Sequences`.

        Raises:
            KindError: if an argument is of a wrong kind; a TypeError.
            ShapeError, DtypeError, DeviceError: if one has a wrong size, dtype or device; each is a
                ValueError and a RuntimeError, see `unrolled.errors`.
            ValueError: if one has another wrong value.
        """
        # The older ONNX exporter makes tensors of all arguments; nobody may ask for their values.
        tracing = torch._C._get_tracing_state() is not None
        if (
            type(input) is Tensor
            and not tracing
            and not (return_states or return_gates)
            and lengths is None
            and reset is None
            and checkpoint is None
            and not torch.compiler.is_compiling()
        ):
            found = self._quickly(input, hx)
            if found is not None:
                return found
        if isinstance(input, Proxy):
            return leaf(
                self,
                input,
                hx,
                lengths=lengths,
                reset=reset,
                checkpoint=checkpoint,
                return_states=return_states,
                return_gates=return_gates,
            )
        if tracing:
            wanted = Wanted(return_states, return_gates)
            return traced(self._run, input, hx, lengths, reset, checkpoint, wanted)
        wanted = Wanted(return_states, return_gates) if return_states or return_gates else NOTHING
        if torch.compiler.is_dynamo_compiling() and isinstance(input, PackedSequence):
            return self._apart(input, hx, lengths, reset, checkpoint, wanted)  # sizes are values
        return self._run(input, hx, lengths, reset, checkpoint, wanted)

    def _quickly(self, x: Tensor, hx: Any) -> Any:
        """The output and the last states of a call with nothing else to it; None for any other."""
        settle_after_fork()
        kind = TrainingCall if torch.is_grad_enabled() else Quick
        kept: dict[Any, Any] | None = self.__dict__.get("_kept")
        quick: TrainingCall | Quick | None = None if kept is None else kept.get(kind)
        if quick is None:
            watched = self.watch is not None
            if kind is TrainingCall:
                quick = TrainingCall(self.description, self.training, watched)
            else:
                weight = self._parameters.get("weight_ih_l0")
                quick = Quick(self.description, self.training, self.dropout, watched, weight)
            self._kept[kind] = quick
        return quick.run(x, hx, self._parameters)

    def _run(self, input: Tensor | PackedSequence, *arguments: Any) -> Any:  # noqa: A002
        request = self.request(input, *arguments)
        choice = choose(request)
        if torch.compiler.is_dynamo_compiling() and not choice.engine.is_one_node:
            return self._apart(input, *arguments)  # it would be traced step by step
        output, last, found = choice.engine.run(request)
        batched = request.packed is not None or input.ndim == 3  # type: ignore[union-attr]
        if not batched:
            output, last = output.squeeze(1), [state.squeeze(1) for state in last]
        states = last[0] if len(last) == 1 else tuple(last)
        if not any(request.wanted):
            return output, states
        return output, states, _sequences_of(request, found, batched)

    def request(
        self,
        input: Tensor | PackedSequence,  # noqa: A002
        hx: Any = None,
        lengths: Lengths | int | None = None,
        reset: Tensor | None = None,
        checkpoint: Checkpoint = None,
        wanted: Wanted = NOTHING,
    ) -> Request:
        """A call's arguments, checked, with everything else that an engine needs; runs nothing.

        Raises:
            TypeError, ValueError: as `forward`.
        """
        settle_after_fork()
        prepared = self._prepared(self.training, wanted)
        description, expected = prepared.description, prepared.expected
        weights = weights_of(self, prepared)
        x = check_input(expected, input, weights[0])
        check_checkpoint(expected, checkpoint)
        packed = input if isinstance(input, PackedSequence) else None
        batched = packed is not None or x.ndim == 3
        if packed is not None:
            rows: Any = rows_of(packed)
            check_packed_alone(expected, lengths, reset)
        else:
            rows = x.shape[0 if self.batch_first else 1] if batched else None
        if hx is None:
            initial = self._learned(description, 1 if rows is None else rows)
        else:
            initial = check_states(expected, hx, x, rows)
            if not batched:
                initial = [state.unsqueeze(1) for state in initial]
        if lengths is not None:
            lengths = check_lengths(expected, lengths, x, batched)
        if reset is not None:
            reset = check_reset(expected, reset, x, batched)
        recording = None
        if tool := recording_tool():
            beyond = description.beyond_torch(self.training)
            for name in prepared.reweighing:
                beyond.append(f"{name}={getattr(self.options, name)}")
            recording = Recording(tool, described(self), tuple(beyond))
        return self._request(
            prepared,
            self.training,
            x if batched else x.unsqueeze(1),
            weights,
            initial=initial,
            lengths=lengths,
            reset=reset,
            packed=packed,
            batch_first=self.batch_first and batched and packed is None,
            checkpoint=checkpoint,
            wanted=wanted,
            watch=self.watch,
            recording=recording,
        )

    def _request(
        self, prepared: Prepared, training: bool, x: Tensor, weights: list[Tensor], **call: Any
    ) -> Request:
        """A request, with all that does not come from a call's arguments."""
        description = prepared.description
        layers, directions = description.num_layers, 1 + description.bidirectional
        for name in prepared.reweighing:
            value = getattr(self.options, name)
            weights = OPTIONS[name].reweigh(value, weights, layers * directions)
        return Request(
            prepared.program,
            x,
            weights=weights,
            layers=layers,
            directions=directions,
            heads=description.heads,
            hidden_size=description.hidden_size,
            output_size=description.output_size,
            rates=prepared.rates,
            training=training,
            dropout=self.dropout if training else 0.0,
            asked=asked(),
            **call,
        )

    def _prepared(self, training: bool, wanted: Wanted) -> Prepared:
        """What calls in one mode have in common."""
        if torch.compiler.is_compiling():
            return prepare(self.description, training, wanted)
        kept, key = self._kept, (training, *wanted)
        found: Prepared | None = kept.get(key)
        if found is None:
            found = kept[key] = prepare(self.description, training, wanted)
        return found

    def _apart(self, *arguments: Any) -> Any:
        """Run as a break in torch.compile's graph."""
        from .uncompiled import uncompiled  # loads the compiler

        return uncompiled(self._run, *arguments)

    def __prepare_scriptable__(self) -> Any:
        raise not_scriptable(self)

    def stream(self, batch_size: int = 1, state: Any = None) -> Stream:
        """This layer as a machine that takes one step at a time; see `unrolled.Stream`.

        Its numbers are the layer's in evaluation mode. The weights are copied: what happens to the
        layer afterwards does not change the stream.

        Args:
            batch_size: rows N of every step.
            state: the initial state, as the layer takes hx; if None the learned one, or zeros.

        Raises:
            TypeError: if an argument is of a wrong kind.
            ValueError: if one has a wrong size, dtype or device, or the layer is bidirectional.
        """
        settle_after_fork()
        if self.bidirectional:
            raise ValueError(
                f"{self.label}: a stream knows no future, so bidirectional must be False, got True"
            )
        if not isinstance(batch_size, int) or isinstance(batch_size, bool):
            raise TypeError(
                f"{self.label}: batch_size must be an integer, got {type(batch_size).__name__}"
            )
        if batch_size < 1:
            raise ValueError(f"{self.label}: batch_size must be at least 1, got {batch_size}")
        prepared = self._prepared(False, NOTHING)
        weights = weights_of(self, prepared)
        no_steps = weights[0].new_empty(0, batch_size, self.input_size)
        request = self._request(prepared, False, no_steps, weights, initial=None)
        steps = choose(request).engine.stream(request)
        stream = Stream(steps, prepared.expected, batch_size, weights[0])
        if state is None:
            learned = self._learned(prepared.description, batch_size)
            if learned is not None:
                state = learned[0] if len(learned) == 1 else learned
        if state is not None:
            stream._start(state)
        return stream


def _sequences_of(request: Request, layers: Sequence[Sequence[Any]], batched: bool) -> Sequences:
    """What each layer has given, its output and then what it exposes, by name."""
    program, wanted = request.program, request.wanted
    output = program.states[0].name
    names = [output, *wanted.names(program)]
    found = {
        name: [layer[k] if batched else layer[k].squeeze(1) for layer in layers]
        for k, name in enumerate(names)
    }
    inner = {output, *(state.name for state in program.states[1:])} if wanted.states else set()
    return Sequences(
        {name: found[name] for name in found if name in inner},
        {name: found[name] for name in names[1:] if name not in inner},
    )


def explain(
    layer: torch.nn.Module,
    input: Tensor | PackedSequence,  # noqa: A002
    hx: Any = None,
    lengths: Lengths | int | None = None,
    reset: Tensor | None = None,
    checkpoint: Checkpoint = None,
) -> str:
    """Say in a sentence which engine and instruction set would run ``layer(input, hx)``, and why.

    Nothing is run. The answer is for the state of things at the call: `unrolled.using`, autocast,
    active transforms and torch's number of threads count.

    Args:
        layer: one of this package's layers.
        input: as the layer takes it.
        hx: as the layer takes it.
        lengths: as the layer takes it.
        reset: as the layer takes it.
        checkpoint: as the layer takes it; it changes nothing in the choice.

    Raises:
        TypeError: if the layer is not one of ours, or as the layer would.
        ValueError: as the layer would.

    Example:
        >>> explain(LSTM(64, 128), torch.randn(50, 8, 64))  # doctest: +ELLIPSIS
        'LSTM(64, 128): CPU kernels with ... on ... thread...'
    """
    if not isinstance(layer, Layer):
        kind = f"{type(layer).__module__}.{type(layer).__qualname__}"
        raise TypeError(f"explain: layer must be one of unrolled's, got {kind}")
    request = layer.request(input, hx, lengths, reset, checkpoint)
    return f"{described(layer)}: {choose(request).explain(request)}."
