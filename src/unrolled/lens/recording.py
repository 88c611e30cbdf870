"""Record a model's run: every state, product and value of every step of its recurrent layers.

The layers run on the reference, and what they compute is kept as nodes of autograd's graph, so that
anything can be differentiated by anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..compiler.program import Product, Program, Symbol
from ..compiler.trace import name_in_step
from ..engine.choice import using
from ..engine.observer import Observer, Setting
from ..engine.threads import share, threads_kept
from ..layers.acceleration import accelerated, obstacles
from ..layers.layer import Layer


class Multiplied(NamedTuple):
    """One matrix product inside a step: ``result = matrix[gate] @ operand (+ bias)``."""

    product: Product
    operand: Tensor
    result: Tensor


@dataclass
class Step:
    """One step of one direction of one layer; every tensor ``[N, ·]``.

    Attributes:
        setting: what it ran with.
        t: its time within its call.
        x: the input.
        gates: the input's products, ``[N, H]`` each.
        before: the states it began with.
        new: the new states as the step computes them: the gradient at one is that of all it does,
            for other values of its own step too (the LSTM's h is made of the new c).
        after: the same as the next step sees them.
        products: the matrix products inside the step.
        values: every value of the step by its symbol, detached; empty unless asked for.
    """

    setting: Setting
    t: int
    x: Tensor
    gates: dict[Symbol, Tensor]
    before: list[Tensor]
    new: list[Tensor]
    after: list[Tensor]
    products: list[Multiplied]
    values: dict[Symbol, Tensor]

    @property
    def running(self) -> Tensor:
        """Which rows have this step, and have not ended before it, ``[N]``, of bools."""
        lengths = self.setting.lengths
        if lengths is None:
            return self.x.new_ones(len(self.x), dtype=torch.bool)
        return lengths > self.t


@dataclass
class Strand:
    """One direction of one layer of one module, through all its steps.

    A module that is called several times goes on in the same strand: its steps are those of all
    calls one after the other.

    Attributes:
        name: the module's name and the parameters' suffix: ``"encoder.l0"``, ``"l1_reverse"``.
        module: the module's name; "" for the model itself.
        layer: the module itself.
        level: which layer of the stack, from 0.
        reverse: whether time runs backwards in it.
        steps: in the order of time.
    """

    name: str
    module: str
    layer: Layer
    level: int
    reverse: bool
    steps: list[Step] = field(default_factory=list)

    @property
    def program(self) -> Program:
        """What every step runs."""
        return self.steps[0].setting.program

    @property
    def state_names(self) -> list[str]:
        """The states by the cell's names; the first is the output."""
        return [state.name for state in self.program.states]

    def within(self, reach: range) -> range:
        """Those of some steps that it has."""
        return range(reach.start, min(reach.stop, len(self.steps)))

    @property
    def value_names(self) -> dict[Symbol, str]:
        """The named values of a step that are no state, by what the cell calls them."""
        return {symbol: name_in_step(symbol) for symbol in self.program.named}


class Tap(torch.autograd.Function):
    """The identity; behind its limit no gradient passes.

    Where losses that stand before some time cannot depend on what comes after, backward need not
    compute the zeros.
    """

    @staticmethod
    def forward(ctx: Any, limit: Limit, t: int, *values: Tensor) -> tuple[Tensor, ...]:
        """The values as they are; ``t`` is their time, counted over all calls."""
        ctx.limit, ctx.t = limit, t
        ctx.set_materialize_grads(False)
        return tuple(value.view_as(value) for value in values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        """The gradients as they are, or none."""
        if ctx.limit.end is not None and ctx.t >= ctx.limit.end:
            return (None,) * (2 + len(gradients))
        return (None, None, *map(_flush, gradients))


def _flush(gradient: Tensor | None) -> Tensor | None:
    """Zero where numbers leave the dtype's range: denormal ones are inexact and very slow.

    Not of float16, whose range is too narrow to give a part of it away: it is computed in float32.
    """
    if gradient is None or gradient.dtype == torch.float16:
        return gradient
    least = torch.finfo(gradient.dtype).tiny * 1e4  # what follows multiplies it by slopes
    return torch.where(gradient.abs() < least, 0, gradient)


@dataclass
class Limit:
    """From which time on taps let no gradient pass, and states are NaN; None for never."""

    end: int | None = None
    poison: int | None = None


class Recorder:
    """What watches all layers of a model for one run of it."""

    def __init__(self, values: bool, graph: bool, threads: int) -> None:
        self.values, self.graph, self.threads = values, graph, threads
        self.limit = Limit()
        self.strands: dict[str, Strand] = {}
        self._inputs: dict[int, tuple[Tensor, Sequence[Tensor]]] = {}

    def check_used(self, verb: str) -> None:
        """See that there was something to watch.

        Raises:
            ValueError: if the model has not called any of its recurrent layers.
        """
        if not any(strand.steps for strand in self.strands.values()):
            raise ValueError(f"{verb}: the model took no step of any of its recurrent layers")

    def watch(self, module: str, layer: Layer, level: int, direction: int) -> Observer:
        """The observer of one call of one direction of one layer."""
        ends = layer.description.suffixes
        end = ends[level * (1 + layer.bidirectional) + direction].removeprefix("_")
        name = f"{module}.{end}" if module else end
        strand = self.strands.setdefault(
            name, Strand(name, module, layer, level, reverse=direction == 1)
        )
        return _Call(self, strand)

    def input(self, x: Tensor) -> Sequence[Tensor]:
        """The steps of an input as nodes of the graph, the same for both directions of a layer."""
        known = self._inputs.get(id(x))
        if known is not None and known[0] is x:
            return known[1]
        leaf = self.graph and not x.requires_grad
        steps = (x.detach().requires_grad_() if leaf else x).unbind()
        self._inputs[id(x)] = x, steps  # x is kept, so that no other gets its id
        return steps


class _Call(Observer):
    """One call of one direction of one layer."""

    def __init__(self, recorder: Recorder, strand: Strand) -> None:
        self._recorder, self._strand = recorder, strand
        self._start = len(strand.steps)
        self._products: list[Multiplied] = []

    def begin(self, setting: Setting, x: Tensor) -> Sequence[Tensor]:
        self._setting, self._xs = setting, self._recorder.input(x)
        share(x[0].numel() * setting.weights.input.shape[0], self._recorder.threads)
        return self._xs

    def product(self, t: int, product: Product, operand: Tensor, result: Tensor) -> Tensor:
        self._products.append(Multiplied(product, operand, result))
        return result

    def step(
        self, t: int, before: Sequence[Tensor], values: Mapping[Symbol, Any], after: list[Tensor]
    ) -> list[Tensor]:
        recorder, strand = self._recorder, self._strand
        at = self._start + t
        if recorder.limit.poison is not None and at >= recorder.limit.poison:
            after = [state * float("nan") for state in after]
        new = [
            _computed(values[state.new], own, before)
            for state, own in zip(self._setting.program.states, after, strict=True)
        ]
        if recorder.graph:
            after = list(Tap.apply(recorder.limit, at, *after))  # type: ignore[no-untyped-call]
        kept = {}
        if recorder.values:
            rows = after[0].shape[0]
            kept = {
                symbol: value.detach().expand(rows, -1)
                for symbol, value in values.items()
                if isinstance(value, Tensor)
            }
        step = Step(
            self._setting,
            t,
            self._xs[t],
            {gate: values[gate] for gate in self._setting.program.gates},
            list(before),
            new,
            after,
            self._products,
            kept,
        )
        self._products = []
        if len(strand.steps) + 1 - self._start == len(self._xs):
            torch.set_num_threads(recorder.threads)
        # In the order of time, whatever the direction in which the steps come.
        strand.steps.insert(self._start if strand.reverse else len(strand.steps), step)
        return after


def _computed(value: Any, after: Tensor, before: Sequence[Tensor]) -> Tensor:
    """The node of a state; a number, or a state that is handed on, has none of its own."""
    own = isinstance(value, Tensor) and value.shape == after.shape
    return value if own and not any(value is old for old in before) else after


@contextmanager
def recording(
    model: nn.Module, verb: str, *, values: bool = False, graph: bool = True
) -> Iterator[Recorder]:
    """Watch every recurrent layer of a model within a block, in evaluation mode.

    Nothing of the model is changed when the block ends.

    Args:
        model: any module; layers of torch.nn in it are watched as well as ours.
        verb: who asks, for errors.
        values: whether all values of a step are kept.
        graph: whether states are nodes of autograd's graph.

    Raises:
        TypeError: if model is no module.
        ValueError: if there is no layer in it that can be watched.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"{verb}: model must be a torch.nn.Module, got {_kind(model)}")
    modes = {module: module.training for module in model.modules()}
    # The reference is asked for here, so that no kernel is compiled that would not run.
    with accelerated(model) as layers, using("reference"), threads_kept() as threads:
        recorder = Recorder(values, graph, threads)
        if not layers:
            left = [f"{name or 'the model'} {why}" for name, why in obstacles(model).items()]
            raise ValueError(
                f"{verb}: model must have a recurrent layer of unrolled or torch.nn, "
                f"got {type(model).__name__}" + (f": {'; '.join(left)}" if left else "")
            )
        try:
            model.eval()
            for name, layer in layers.items():
                layer.watch = partial(recorder.watch, name, layer)
            with torch.set_grad_enabled(graph):
                yield recorder
        finally:
            for layer in layers.values():
                del layer.watch
            for module, mode in modes.items():
                module.training = mode


def _kind(thing: object) -> str:
    return thing.__name__ if isinstance(thing, type) else type(thing).__name__


def call(model: nn.Module, x: Any) -> Any:
    """What the model returns for x, or for several positional arguments in a tuple.

    Of a model that is a recurrent layer itself it is the output alone, without the last states.
    """
    arguments = x if type(x) in (tuple, list) else (x,)
    output = model(*arguments)
    return output[0] if isinstance(model, Layer) else output
