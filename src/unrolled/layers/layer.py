"""What all layers share, whoever made their parameters: drop-ins and layers of any cell."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.fx import Proxy
from torch.nn import Parameter, init
from torch.nn.utils.rnn import PackedSequence

from ..cells import Cell
from ..compiler.program import Program
from ..engine.choice import asked, choose
from ..engine.cpu import settle_after_fork
from ..engine.dispatch import recording_tool
from ..engine.packing import rows_of
from ..engine.request import NOTHING, Checkpoint, Recording, Request, Wanted, Watch
from ..options import OPTIONS
from ..options.learn_initial import learned_initial
from .checks import (
    Expected,
    Lengths,
    check_checkpoint,
    check_input,
    check_lengths,
    check_reset,
    check_states,
)
from .description import Description, Prepared, check_options, prepare
from .options import Options
from .parameters import (
    add_mark,
    add_parameters,
    marks,
    part_of,
    set_initial_values,
    weights_of,
)
from .quick import Quick
from .sequences import sequences_of
from .stream import Stream
from .tools import described, leaf, not_scriptable, traced


class Layer(torch.nn.Module):
    """A stack of recurrent layers of one cell, with parameters named as torch.nn names them.

    A subclass makes the matrices and biases, and then calls `_complete`.
    """

    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    proj_size: int
    heads: int = 1
    options: Options = Options()
    watch: Watch | None = None
    weight_ih_l0: Tensor

    @property
    def cell(self) -> Cell:
        """The equations."""
        raise NotImplementedError

    @property
    def description(self) -> Description:
        """The layer without its parameters."""
        return Description(
            self.label,
            self.cell,
            self.options,
            self.input_size,
            self.hidden_size,
            self.output_size,
            self.num_layers,
            self.bidirectional,
            self.bias,
            bool(self.proj_size),
            self.heads,
            self.batch_first,
        )

    @property
    def program(self) -> Program:
        """What every layer runs: the cell with this layer's options, in its mode."""
        return self.description.program(self.training)

    @property
    def output_size(self) -> int:
        """Features of the output of one direction, S."""
        return self.proj_size or self.hidden_size

    @property
    def label(self) -> str:
        """With what every error begins."""
        return type(self).__name__

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
        """The output and the last states of a short call without a gradient; else None."""
        if torch.is_grad_enabled():
            return None
        settle_after_fork()
        kept: dict[Any, Any] | None = self.__dict__.get("_kept")
        quick: Quick | None = None if kept is None else kept.get(Quick)
        if quick is None:
            quick = self._kept[Quick] = Quick(
                self.description,
                self.training,
                self.dropout,
                self.watch is not None,
                self._parameters.get("weight_ih_l0"),
            )
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
        return output, states, sequences_of(request, found, batched)

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
            _check_packed_alone(expected, lengths, reset)
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

    def _learned(self, description: Description, rows: Any) -> list[Tensor] | None:
        """The learned initial states; None if there are none."""
        if not self.options.learn_initial:
            return None
        return learned_initial(self, description.program(), description.suffixes, rows)

    def _prepared(self, training: bool, wanted: Wanted) -> Prepared:
        """What calls in one mode have in common."""
        if torch.compiler.is_compiling():
            return prepare(self.description, training, wanted)
        kept, key = self._kept, (training, *wanted)
        found: Prepared | None = kept.get(key)
        if found is None:
            found = kept[key] = prepare(self.description, training, wanted)
        return found

    @property
    def _kept(self) -> dict[Any, Any]:
        """What follows from the layer's attributes, kept from call to call until one changes."""
        found: dict[Any, Any] = self.__dict__.setdefault("_kept", {})
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__.pop("_kept", None)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        self.__dict__.pop("_kept", None)
        super().__delattr__(name)

    def _apply(self, *arguments: Any, **keywords: Any) -> Any:
        self.__dict__.pop("_kept", None)  # parameters may get another dtype or device
        return super()._apply(*arguments, **keywords)  # type: ignore[no-untyped-call]

    def __getstate__(self) -> dict[str, Any]:
        """As any module's: what is kept between calls is no part of a copy or a file."""
        state = dict(super().__getstate__())  # type: ignore[no-untyped-call]
        state.pop("_kept", None)
        return state

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

    def gate(self, name: str, layer: int = 0, reverse: bool = False) -> Tensor:
        """The part of the parameters that stands for one name of the equations.

        It is a view: writing to it, under `torch.no_grad`, sets the layer's own weights.

        Args:
            name: ``"W.f"`` or ``"U.f"`` for the rows of a gate's matrix, ``"W.f.bias"`` or
                ``"U.f.bias"`` for its bias, ``"V.p"`` for a per-unit weight, ``"s.q"`` for a
                scalar, ``"P"`` for the projection.
            layer: which layer, from 0.
            reverse: whether that of the reverse direction.

        Returns:
            ``[H, ·]`` for a matrix, ``[H]`` for a bias or a per-unit weight, ``[1]`` for a scalar,
            ``[S, H]`` for the projection.

        Raises:
            ValueError: if there is no such name, layer or direction.

        Example:
            >>> lstm = LSTM(10, 20, num_layers=2)
            >>> with torch.no_grad():
            ...     _ = lstm.gate("W.f.bias", layer=1).fill_(1.0)
            >>> lstm.bias_ih_l1[20:40].unique()
            tensor([1.], grad_fn=<Unique2Backward0>)
        """
        if layer not in range(self.num_layers):
            raise ValueError(
                f"{self.label}: layer must be from 0 to {self.num_layers - 1}, got {layer}"
            )
        if reverse and not self.bidirectional:
            raise ValueError(f"{self.label}: there is no reverse direction, bidirectional is False")
        return part_of(self, self.description, name, f"_l{layer}" + "_reverse" * reverse)

    def reset_parameters(self) -> None:
        """Draw all parameters again: uniform on ±1/√H, and then what cell and options say."""
        self._draw(self.parameters())
        set_initial_values(self, self.description)

    def _draw(self, parameters: Iterable[Parameter]) -> None:
        """As torch.nn draws them, in the order in which they were made."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in parameters:
            init.uniform_(parameter, -bound, bound)

    def _complete(self, options: Options) -> None:
        """Make and draw what the options ask for; the matrices are there, and drawn."""
        self.options = options
        description = self.description
        check_options(description)
        self._draw(add_parameters(self, description))
        set_initial_values(self, description)
        add_mark(self, description)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        """Load as any module, and checkpoints without a mark, too: torch.nn's and older ones."""
        for name, mark in marks(self):
            state_dict.setdefault(prefix + name, mark)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def expected(self, directions: int) -> Expected:
        """What the arguments of a call must look like."""
        return self.description.expected(self.program, directions)


def _check_packed_alone(expected: Expected, lengths: Any, reset: Any) -> None:
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
