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
from ..engine.choice import choose
from ..engine.cpu import settle_after_fork
from ..engine.stream import steps_of
from ..engine.weights import split
from .call import accept
from .checks import Expected, Lengths
from .initial_values import check_options, set_initial_values
from .mark import add_mark, marks
from .options import Options
from .parameters import add_parameters, flat, rows_of, state_sizes, suffixes
from .program import NoiseSource, check_variant, noise_of, program_for
from .run import run
from .sequences import NOTHING, Wanted
from .stack import Checkpoint, Watch
from .stand_in import leaf, not_scriptable, traced
from .stream import Stream


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
    def program(self) -> Program:
        """What every layer runs: the cell with this layer's options, in its mode."""
        return self.program_in(self.training)

    def program_in(self, training: bool, wanted: Wanted = NOTHING) -> Program:
        """What every layer runs in training mode or not."""
        given = (self.cell, self.options, self.proj_size > 0, self.bias, training)
        program = program_for(*given)
        names = wanted.names(program)
        return program_for(*given, names) if names else program

    def program_with(self, wanted: Wanted) -> Program:
        """What every layer runs where the caller wants more than the output."""
        return self.program_in(self.training, wanted)

    def noise(self, program: Program, training: bool) -> NoiseSource:
        """What draws the masks of a program of this layer."""
        return noise_of(self.cell, self.options, program, training)

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
        wanted = Wanted(return_states, return_gates)
        if torch._C._get_tracing_state() is not None:
            return traced(self._run, input, hx, lengths, reset, checkpoint, wanted)
        if torch.compiler.is_dynamo_compiling() and isinstance(input, PackedSequence):
            return self._apart(input, hx, lengths, reset, checkpoint, wanted)  # sizes are values
        return self._run(input, hx, lengths, reset, checkpoint, wanted)

    def _run(self, *arguments: Any) -> Any:
        call = accept(self, *arguments)
        if torch.compiler.is_dynamo_compiling() and call.choice.engine != "kernels":
            # Only the kernels are one node; the others would be traced step by step.
            return self._apart(*arguments)
        output, last, sequences = run(call)
        states = last[0] if len(last) == 1 else tuple(last)
        return (output, states) if sequences is None else (output, states, sequences)

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
        program = self.program_in(training=False)
        layers = flat(self, program)
        tensors = [tensor for own in layers for tensor in own]
        choice = choose(program, tensors, heads=self.heads)
        weights = [split(program, own, 1)[0] for own in layers]
        rates = self.noise(program, training=False).rates
        steps = steps_of(choice, program, weights, batch_size, rates)
        stream = Stream(steps, self.expected(1), batch_size, layers[0][0])
        if state is None and self.options.learn_initial:
            learned = self.learned_initial(batch_size) or []
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
        return rows_of(self, name, f"_l{layer}" + "_reverse" * reverse)

    def reset_parameters(self) -> None:
        """Draw all parameters again: uniform on ±1/√H, and then what cell and options say."""
        self._draw(self.parameters())
        set_initial_values(self)

    def _draw(self, parameters: Iterable[Parameter]) -> None:
        """As torch.nn draws them, in the order in which they were made."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in parameters:
            init.uniform_(parameter, -bound, bound)

    def _complete(self, options: Options) -> None:
        """Make and draw what the options ask for; the matrices are there, and drawn."""
        self.options = options
        check_variant(self)
        check_options(self)
        self._draw(add_parameters(self))
        set_initial_values(self)
        add_mark(self)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        """Load as any module, and checkpoints without a mark, too: torch.nn's and older ones."""
        for name, mark in marks(self):
            state_dict.setdefault(prefix + name, mark)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def learned_initial(self, rows: int) -> list[Tensor] | None:
        """The learned initial states ``[layers * directions, rows, ·]``; None if there are none."""
        if not self.options.learn_initial:
            return None
        ends = list(suffixes(self.num_layers, self.bidirectional))
        return [
            torch.stack([getattr(self, f"initial_{state.name}{end}") for end in ends])
            .unsqueeze(1)
            .expand(-1, rows, -1)
            for state in self.program.states
        ]

    def expected(self, directions: int, program: Program | None = None) -> Expected:
        """What a call must look like; of the layer's program, if who asks has it not at hand."""
        program = program or self.program
        sizes = state_sizes(program, self.hidden_size, self.output_size)
        return Expected(
            self.label,
            self.input_size,
            tuple((f"{s.name}_0", n) for s, n in zip(program.states, sizes, strict=True)),
            self.num_layers * directions,
            self.batch_first,
        )
