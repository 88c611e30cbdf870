"""One torch operator for one layer's run through time, with its gradient.

To torch.compile, export and autograd a layer is a node, not a loop. Here, and nowhere else, a
request becomes an operator's flat arguments, and these a request again.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, get_type_hints

import torch
from torch import Tensor

from .._loading import when_loaded
from . import cpu, reference
from .dispatch import batched, one_by_one, plain
from .noise import Noise
from .reference import LayerResult
from .request import Recurrence, RecurrenceBackward
from .weights import Weights, program_named, split

_TYPES: dict[Any, str] = {
    Tensor: "Tensor",
    Tensor | None: "Tensor?",
    list[Tensor]: "Tensor[]",
    list[Tensor | None]: "Tensor?[]",
    list[float]: "float[]",
    str: "str",
    int: "int",
    bool: "bool",
}


def _schema(name: str, arguments: type[Any]) -> str:
    """The schema of an operator that takes these fields and returns tensors.

    No argument has a default: torch's tracers drop what equals one, and then autograd's structure
    of gradients does not fit.
    """
    found = get_type_hints(arguments).items()
    return f"{name}({', '.join(f'{_TYPES[kind]} {field}' for field, kind in found)}) -> Tensor[]"


_LIBRARY = torch.library.Library("unrolled", "DEF")  # type: ignore[no-untyped-call]
_LIBRARY.define(_schema("recurrence", Recurrence))  # type: ignore[no-untyped-call]
_LIBRARY.define(  # type: ignore[no-untyped-call]
    _schema("recurrence_backward", RecurrenceBackward)
)


@torch.library.impl(_LIBRARY, "recurrence", "CPU")
def _recurrence(*arguments: Any) -> list[Tensor]:
    return cpu.forward(Recurrence(*arguments))


@torch.library.impl(_LIBRARY, "recurrence_backward", "CPU")
def _recurrence_backward(*arguments: Any) -> list[Tensor]:
    return cpu.backward(RecurrenceBackward(*arguments))


@torch.library.register_fake("unrolled::recurrence", lib=_LIBRARY)  # type: ignore[untyped-decorator]
def _fake(*arguments: Any) -> list[Tensor]:
    call = Recurrence(*arguments)
    x, initial, directions = call.x, call.initial, call.directions
    own = split(program_named(call.program), call.weights, directions)[0]
    steps, rows = (x.shape[1], x.shape[0]) if call.batch_first else (x.shape[0], x.shape[1])
    output = initial[0].new_empty(x.shape[0], x.shape[1], directions * own.output_size)
    last = [torch.empty_like(state, memory_format=torch.contiguous_format) for state in initial]
    width = cpu.tape_width(call.program, own.hidden_size, own.output_size)
    tapes = []
    if call.save and call.checkpoint:
        count = cpu.segment_count(steps, call.checkpoint) - 1
        of_one = [
            state.new_empty(count, *state.shape[1:], dtype=torch.float32) for state in initial
        ]
        tapes = [torch.empty_like(state) for _ in range(directions) for state in of_one]
    elif call.save:
        tapes = [x.new_empty(steps, rows, width, dtype=torch.float32) for _ in range(directions)]
    if call.save and output.dtype != torch.float32:
        tapes.append(torch.empty_like(output, dtype=torch.float32))
    return [output, *last, *tapes]


@torch.library.register_fake("unrolled::recurrence_backward", lib=_LIBRARY)  # type: ignore[untyped-decorator]
def _fake_backward(*arguments: Any) -> list[Tensor]:
    call = RecurrenceBackward(*arguments)
    result = [
        torch.empty_like(tensor, memory_format=torch.contiguous_format)
        for tensor in [*call.initial, *call.weights]
    ]
    if call.need_x:
        steps_first = call.x.transpose(0, 1) if call.batch_first else call.x
        like = torch.empty_like(steps_first, memory_format=torch.contiguous_format)
        result.append(like.transpose(0, 1) if call.batch_first else like)
    return result


@torch.library.register_vmap("unrolled::recurrence_backward", lib=_LIBRARY)  # type: ignore[untyped-decorator]
def _mapped_backward(info: Any, dims: tuple[Any, ...], *given: Any) -> tuple[list[Tensor], Any]:
    """`torch.func.vmap` over a backward pass: one after the other."""

    def of_one(k: int, value: Any, dim: Any) -> Any:
        if isinstance(value, (list, tuple)):
            dims = dim if isinstance(dim, (list, tuple)) else [dim] * len(value)
            return [of_one(k, *pair) for pair in zip(value, dims, strict=True)]
        return value if dim is None else value.select(dim, k)

    each = [
        torch.ops.unrolled.recurrence_backward(*of_one(k, given, dims))
        for k in range(info.batch_size)
    ]
    found = [torch.stack(results) for results in zip(*each, strict=True)]
    return found, [0] * len(found)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Sequence[Tensor]) -> None:
    x, initial, weights, lengths, reset, *settings, seed, rates = inputs
    states = len(initial)
    ctx.set_materialize_grads(False)
    ctx.counts = states, len(weights), len(output) - 1 - states
    # The tensors are in autograd's keeping, which notices when one is changed.
    ctx.settings, ctx.rates = settings, rates
    ctx.save_for_backward(lengths, reset, seed, x, *initial, *weights, *output)


def _backward(ctx: Any, gradients: Sequence[Tensor | None]) -> tuple[Any, ...]:
    states, weights, _ = ctx.counts
    found = _gradients(ctx, gradients)
    given = {
        "initial": found[:states],
        "weights": found[states : states + weights],
        "x": found[states + weights] if len(found) > states + weights else None,
        # To torch an empty list is one of tensors, and any other list of numbers one argument.
        "rates": None if ctx.rates else [],
    }
    return tuple([given.get(name) for name in Recurrence._fields])


def _gradients(ctx: Any, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Gradients of initial states, weights and, where it is needed, of x."""
    if batched(gradients):
        return one_by_one(lambda each: _gradients(ctx, each), gradients)
    states, count, tape_count = ctx.counts
    lengths, reset, seed, x, *saved = ctx.saved_tensors
    initial, weights = saved[:states], saved[states : states + count]
    call = Recurrence._make((x, initial, weights, lengths, reset, *ctx.settings, seed, ctx.rates))
    output = saved[states + count]
    tapes = saved[len(saved) - tape_count :] if tape_count else []
    if output.dtype != torch.float32:
        output = tapes.pop()
    gradient, gradient_last = gradients[0], list(gradients[1 : 1 + states])
    of_tapes = list(gradients[1 + states : 1 + states + len(tapes)])
    gradient_tapes: list[Tensor] = []
    # What no program exposes is for backward alone, and has no gradient.
    if program_named(call.program).exposed and any(each is not None for each in of_tapes):
        gradient_tapes = [
            torch.zeros_like(tape) if given is None else given
            for tape, given in zip(tapes, of_tapes, strict=True)
        ]
    if torch.is_grad_enabled():
        # Someone will differentiate the gradient: by the reference.
        return _differentiable(call, gradient, gradient_last, gradient_tapes)
    if not call.save:
        raise RuntimeError(
            f"{call.program}: backward needs what forward was told not to keep (a model exported "
            "under torch.no_grad?)"
        )
    back = RecurrenceBackward(
        gradient,
        gradient_last,
        gradient_tapes,
        x,
        call.initial,
        call.weights,
        lengths,
        reset,
        output,
        tapes,
        call.program,
        call.isa,
        call.batch_first,
        bool(ctx.needs_input_grad[0]),
        call.checkpoint,
        seed,
        call.rates,
    )
    differentiate = cpu.backward if plain(x) else _dispatched_backward
    return [*differentiate(back)]


def _dispatched_backward(back: RecurrenceBackward) -> Any:
    return torch.ops.unrolled.recurrence_backward(*back)


def _differentiable(
    call: Recurrence,
    gradient: Tensor | None,
    gradient_last: Sequence[Tensor | None],
    gradient_tapes: Sequence[Tensor],
) -> list[Tensor | None]:
    """The gradients as differentiable functions of everything that they depend on."""
    program = program_named(call.program)
    inputs = [*call.initial, *call.weights, call.x]
    # Views keep the graph of who owns the tensors while making them leaves of this computation.
    own = [tensor.view_as(tensor) if tensor.requires_grad else tensor for tensor in inputs]
    states, count = len(call.initial), len(call.weights)
    exact = [tensor.to(torch.float32) for tensor in own]
    parameters = split(program, exact[states : states + count], call.directions)
    output, last, exposed = reference.layer(
        program,
        exact[-1],
        exact[:states],
        parameters,
        call.lengths,
        call.batch_first,
        call.reset,
        Noise(call.seed, tuple(call.rates)),
    )
    values, grads = [output, *last], [gradient, *gradient_last]
    if gradient_tapes:
        values += exposed
        grads += _exposed(call, parameters, gradient_tapes)
    pairs = [
        (value, grad.to(torch.float32))
        for value, grad in zip(values, grads, strict=True)
        if grad is not None and value.requires_grad
    ]
    wanted = [tensor for tensor in own if tensor.requires_grad]
    results = iter(
        torch.autograd.grad(
            [value for value, _ in pairs],
            wanted,
            [grad for _, grad in pairs],
            create_graph=True,
            allow_unused=True,
        )
    )
    return [next(results) if tensor.requires_grad else None for tensor in own]


def _exposed(call: Recurrence, weights: Sequence[Weights], tapes: Sequence[Tensor]) -> list[Tensor]:
    """What a program exposes, from the tapes: laid out as the output, directions side by side."""
    found = []
    each = [cpu.exposed(call.program, own, tape) for own, tape in zip(weights, tapes, strict=True)]
    for of_one in zip(*each, strict=True):
        sequence = of_one[0] if len(of_one) == 1 else torch.cat(of_one, dim=-1)
        found.append(sequence.transpose(0, 1) if call.batch_first else sequence)
    return found


torch.library.register_autograd(
    "unrolled::recurrence", _backward, setup_context=_setup_context, lib=_LIBRARY
)
when_loaded("torch.utils.flop_counter", lambda _: import_module(".flops", __package__))


class Direct(torch.autograd.Function):
    """The operator without torch's dispatcher, which costs more than a short sequence.

    Its arguments are a `Recurrence` and, for autograd to see them, the tensors in it that may need
    a gradient: x before it, the others after it.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, call: Recurrence, *seen: Tensor) -> tuple[Tensor, ...]:
        """As the operator's."""
        output = cpu.forward(call)
        _setup_context(ctx, call, output)
        # Tapes are for backward alone, except where the program exposes what they hold.
        exposes = program_named(call.program).exposed
        return tuple(output if exposes else output[: 1 + len(call.initial)])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
        """Gradients of what autograd sees."""
        found = _gradients(ctx, gradients)
        states, weights, _ = ctx.counts
        of_x = found.pop() if len(found) > states + weights else None
        return of_x, None, *found


apply_directly: Any = super(torch.autograd.Function, Direct).apply
"""`Direct.apply` for tensors that no transform of torch.func has wrapped, which it looks for."""


def run_layer(call: Recurrence) -> LayerResult:
    """One layer by the CPU kernels."""
    exposes = call.save and bool(program_named(call.program).exposed)
    if not plain(call.x):
        found = torch.ops.unrolled.recurrence(*call)
    elif call.save and torch.is_grad_enabled():
        found = Direct.apply(  # type: ignore[no-untyped-call]
            call.x, call, *call.initial, *call.weights
        )
    else:
        found = cpu.forward(call)
    states = 1 + len(call.initial)
    exposed = []
    if exposes:
        tapes = found[states : states + call.directions]
        weights = split(program_named(call.program), call.weights, call.directions)
        exposed = _exposed(call, weights, tapes)
        if not found[0].requires_grad:  # nobody else needs the tape, and a view would keep all
            exposed = [sequence.clone() for sequence in exposed]
    return LayerResult(found[0], list(found[1:states]), exposed)
