"""One call of a stack of layers, checked, as every engine takes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ..compiler.program import Program, Space
from .noise import QUIET, Noise
from .observer import Observer

Checkpoint = int | Literal["auto"] | None
Watch = Callable[[int, int], Observer]
"""The observer of a layer (from 0) and direction."""


class Wanted(NamedTuple):
    """Values of every step that a call returns beside output and last states.

    Attributes:
        states: all states.
        gates: all values that the cell's equations name.
    """

    states: bool = False
    gates: bool = False

    def names(self, program: Program) -> tuple[str, ...]:
        """The values that a program is to expose; its output is there anyway."""
        gates = [symbol.name for symbol in program.named] if self.gates else []
        states = [state.name for state in program.states[1:]] if self.states else []
        return (*gates, *states)


NOTHING = Wanted()


class Recording(NamedTuple):
    """A tool that writes down torch's operators while a call runs, and knows no others.

    Attributes:
        tool: its name.
        layer: the layer with its sizes and options, for errors.
        beyond: what of the layer torch's own layer does not have, for errors.
    """

    tool: str
    layer: str
    beyond: tuple[str, ...]


class Request(NamedTuple):
    """A call: made once by a layer after its checks, and not changed afterwards.

    L layers of D directions; T steps, N rows, H units and S outputs of a direction.

    Attributes:
        program: the steps of every layer.
        x: ``[T, N, input_size]``, or ``[N, T, input_size]`` with ``batch_first``; the data
            ``[total, input_size]`` of a packed sequence.
        initial: for each state ``[L * D, N, ·]``; None for zeros.
        weights: of all layers and directions, one after the other; each as
            `unrolled.engine.weights.split` takes them.
        lengths: ``[N]``, int64 on x's device; or None.
        reset: ``[T, N]``, of bools, whatever the order of x's dimensions; or None.
        packed: the packed sequence, if the input is one.
        batch_first: the order of x's dimensions.
        layers: L.
        directions: D.
        heads: blocks on the diagonal of each recurrent matrix.
        hidden_size: H.
        output_size: S.
        rates: for each of the program's masks its probability.
        training: whether noise is drawn; if not, masks are their means.
        dropout: probability with which an output between layers is dropped in this call.
        checkpoint: every how many steps states are kept for backward; None for a tape.
        wanted: values returned beside output and last states.
        watch: makes the observers of every step; or None.
        asked: the engine or instruction set that `unrolled.using` asks for, or ``"auto"``.
        recording: the tool that records this call, if there is one.
    """

    program: Program
    x: Tensor
    initial: Sequence[Tensor] | None
    weights: Sequence[Tensor]
    lengths: Tensor | None = None
    reset: Tensor | None = None
    packed: PackedSequence | None = None
    batch_first: bool = False
    layers: int = 1
    directions: int = 1
    heads: int = 1
    hidden_size: int = 0
    output_size: int = 0
    rates: tuple[float, ...] = ()
    training: bool = False
    dropout: float = 0.0
    checkpoint: Checkpoint = None
    wanted: Wanted = NOTHING
    watch: Watch | None = None
    asked: str = "auto"
    recording: Recording | None = None

    @property
    def tensors(self) -> list[Tensor]:
        """The input, the states, if any are given, and the weights."""
        return [self.x, *(self.initial or ()), *self.weights]

    def weights_of(self, layer: int) -> Sequence[Tensor]:
        """Those of all directions of one layer."""
        if self.layers == 1:
            return self.weights
        count = len(self.weights) // self.layers
        return self.weights[layer * count : (layer + 1) * count]

    def zeros(self, rows: int) -> list[Tensor]:
        """Initial states of zeros ``[L * D, rows, ·]``, in x's dtype."""
        stacked, hidden = self.layers * self.directions, self.hidden_size
        inner = self.x.new_zeros(stacked, rows, hidden)
        outer = inner
        if self.output_size != hidden:
            outer = self.x.new_zeros(stacked, rows, self.output_size)
        return [inner if s.new.space is Space.HIDDEN else outer for s in self.program.states]

    def draw(self) -> Noise:
        """The noise of one layer in this call, by a seed from torch's generator."""
        if not self.rates:
            return QUIET
        seed = None
        if self.training:
            seed = torch.randint(2**63 - 1, (1,), dtype=torch.int64, device="cpu")
        return Noise(seed, self.rates)


class Recurrence(NamedTuple):
    """A request of one layer for the kernels: the arguments of the operator, in their order.

    The operator's schema is made of these fields (`unrolled.engine.operator`).

    Attributes:
        x: ``[T, N, input_size]``, or ``[N, T, input_size]`` with ``batch_first``; float32, or
            bfloat16 to have products of it.
        initial: for each state ``[D, N, ·]``, float32 or bfloat16.
        weights: of all directions, one after the other; of x's dtype, or rounded to it.
        lengths: ``[N]``, integers of 0...T, on the CPU; or None.
        reset: ``[T, N]``, of bools, on the CPU; or None.
        program: the program's name.
        isa: the instruction set; empty for the fastest of the machine on which it runs.
        directions: D.
        batch_first: the order of x's dimensions, and of the output's.
        save: whether what backward needs is returned.
        checkpoint: every how many steps states are kept for backward; 0 for a tape.
        seed: of the noise, ``[1]``; None for evaluation, where masks are their means.
        rates: for each of the program's masks its probability.
    """

    x: Tensor
    initial: list[Tensor]
    weights: list[Tensor]
    lengths: Tensor | None
    reset: Tensor | None
    program: str
    isa: str
    directions: int
    batch_first: bool
    save: bool
    checkpoint: int
    seed: Tensor | None
    rates: list[float]


class RecurrenceBackward(NamedTuple):
    """The gradient of a `Recurrence`: the arguments of its operator, in their order.

    Attributes:
        gradient: of the output; None where it is zero.
        gradient_last: of the last states; each may be None.
        gradient_tapes: of the tapes, for each direction, where the program exposes what they hold;
            else empty.
        output: forward's own, in float32.
        tapes: what forward has kept.
        need_x: whether the gradient of x is wanted.

    The others are those of the `Recurrence`.
    """

    gradient: Tensor | None
    gradient_last: list[Tensor | None]
    gradient_tapes: list[Tensor]
    x: Tensor
    initial: list[Tensor]
    weights: list[Tensor]
    lengths: Tensor | None
    reset: Tensor | None
    output: Tensor
    tapes: list[Tensor]
    program: str
    isa: str
    batch_first: bool
    need_x: bool
    checkpoint: int
    seed: Tensor | None
    rates: list[float]
