"""One torch operator for one layer's run through time, with its gradient.

To torch.compile, export and autograd a layer is a node, not a loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Literal

import torch
from torch import Tensor

from .._loading import when_loaded
from . import cpu, reference
from .dispatch import batched, one_by_one, plain
from .noise import QUIET, Noise
from .reference import Result
from .weights import Weights, join, program_named, split

# No argument has a default: torch's tracers drop what equals one, and then autograd's structure of
# gradients does not fit.
_LIBRARY = torch.library.Library("unrolled", "DEF")  # type: ignore[no-untyped-call]
_LIBRARY.define(  # type: ignore[no-untyped-call]
    "recurrence(Tensor x, Tensor[] initial, Tensor[] weights, Tensor? lengths, Tensor? reset, "
    "str program, str isa, int directions, bool batch_first, bool save, "
    "int checkpoint, Tensor? seed, float[] rates) -> Tensor[]"
)
_LIBRARY.define(  # type: ignore[no-untyped-call]
    "recurrence_backward(Tensor? gradient, Tensor?[] gradient_last, Tensor[] gradient_tapes, "
    "Tensor x, Tensor[] initial, Tensor[] weights, Tensor? lengths, Tensor? reset, "
    "Tensor output, Tensor[] tapes, "
    "str program, str isa, bool batch_first, bool need_x, int checkpoint, Tensor? seed, "
    "float[] rates) -> Tensor[]"
)


@torch.library.impl(_LIBRARY, "recurrence", "CPU")
def _recurrence(
    x: Tensor,
    initial: Sequence[Tensor],
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    reset: Tensor | None,
    program: str,
    isa: str,
    directions: int,
    batch_first: bool,
    save: bool,
    checkpoint: int,
    seed: Tensor | None = None,
    rates: Sequence[float] = (),
) -> list[Tensor]:
    """Output, last states and, with ``save``, what backward needs; see `cpu.forward`.

    An empty ``isa`` is the fastest that there is.

    The output has the first state's dtype. Where that is not float32 the exact one comes, too, with
    ``save``: last of all.
    """
    isa = isa or _fastest(program, x)
    if checkpoint and program_named(program).exposed:
        raise ValueError(f"{program}: checkpoint must be 0, since what the program exposes is kept")
    sorted_weights = split(program_named(program), weights, directions)
    output, last, tapes = cpu.forward(
        program,
        isa,
        x,
        initial,
        sorted_weights,
        lengths,
        batch_first,
        save,
        reset,
        checkpoint,
        Noise(seed, tuple(rates)),
    )
    if initial[0].dtype == output.dtype:
        return [output, *last, *tapes]
    return [output.to(initial[0].dtype), *last, *tapes, *([output] if save else [])]


def _fastest(program: str, x: Tensor) -> str:
    """This processor's instruction set; what was exported on another one has no kernels yet."""
    isa = cpu.fastest(x.dtype == torch.bfloat16)
    if obstacle := cpu.ensure(program_named(program), isa):
        raise RuntimeError(f"{program}: {obstacle}")
    return isa


@torch.library.register_fake("unrolled::recurrence", lib=_LIBRARY)  # type: ignore[untyped-decorator]
def _fake(
    x: Tensor,
    initial: Sequence[Tensor],
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    reset: Tensor | None,
    program: str,
    isa: str,
    directions: int,
    batch_first: bool,
    save: bool,
    checkpoint: int,
    seed: Tensor | None = None,
    rates: Sequence[float] = (),
) -> list[Tensor]:
    own = split(program_named(program), weights, directions)[0]
    steps, rows = (x.shape[1], x.shape[0]) if batch_first else (x.shape[0], x.shape[1])
    output = initial[0].new_empty(x.shape[0], x.shape[1], directions * own.output_size)
    last = [torch.empty_like(state, memory_format=torch.contiguous_format) for state in initial]
    width = cpu.tape_width(program, own)
    tapes = []
    if save and checkpoint:
        count = cpu.segment_count(steps, checkpoint) - 1
        of_one = [
            state.new_empty(count, *state.shape[1:], dtype=torch.float32) for state in initial
        ]
        tapes = [torch.empty_like(state) for _ in range(directions) for state in of_one]
    elif save:
        tapes = [x.new_empty(steps, rows, width, dtype=torch.float32) for _ in range(directions)]
    if save and output.dtype != torch.float32:
        tapes.append(torch.empty_like(output, dtype=torch.float32))
    return [output, *last, *tapes]


@torch.library.impl(_LIBRARY, "recurrence_backward", "CPU")
def _recurrence_backward(
    gradient: Tensor | None,
    gradient_last: Sequence[Tensor | None],
    gradient_tapes: Sequence[Tensor],
    x: Tensor,
    initial: Sequence[Tensor],
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    reset: Tensor | None,
    output: Tensor,
    tapes: Sequence[Tensor],
    program: str,
    isa: str,
    batch_first: bool,
    need_x: bool,
    checkpoint: int,
    seed: Tensor | None = None,
    rates: Sequence[float] = (),
) -> list[Tensor]:
    """Gradients of initial states, weights and, with ``need_x``, of x."""
    gradient_x, gradient_initial, gradient_weights = cpu.backward(
        program,
        isa or _fastest(program, x),
        gradient,
        gradient_last,
        x,
        initial,
        split(program_named(program), weights, len(initial[0])),
        lengths,
        output,
        tapes,
        batch_first,
        need_x,
        reset,
        checkpoint,
        Noise(seed, tuple(rates)),
        gradient_tapes,
    )
    result = [*gradient_initial, *join(gradient_weights)]
    return result if gradient_x is None else [*result, gradient_x]


@torch.library.register_fake("unrolled::recurrence_backward", lib=_LIBRARY)  # type: ignore[untyped-decorator]
def _fake_backward(
    gradient: Tensor | None,
    gradient_last: Sequence[Tensor | None],
    gradient_tapes: Sequence[Tensor],
    x: Tensor,
    initial: Sequence[Tensor],
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    reset: Tensor | None,
    output: Tensor,
    tapes: Sequence[Tensor],
    program: str,
    isa: str,
    batch_first: bool,
    need_x: bool,
    checkpoint: int,
    seed: Tensor | None = None,
    rates: Sequence[float] = (),
) -> list[Tensor]:
    result = [
        torch.empty_like(tensor, memory_format=torch.contiguous_format)
        for tensor in [*initial, *weights]
    ]
    if need_x:
        steps_first = x.transpose(0, 1) if batch_first else x
        like = torch.empty_like(steps_first, memory_format=torch.contiguous_format)
        result.append(like.transpose(0, 1) if batch_first else like)
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


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    x, initial, weights, lengths, reset, program, isa, directions, batch_first, *rest = inputs
    save, checkpoint, seed, rates = rest
    states = len(initial)
    ctx.set_materialize_grads(False)
    ctx.counts = (states, len(weights), len(output) - 1 - states)
    ctx.options = (program, isa, directions, batch_first, save, checkpoint, rates)
    ctx.save_for_backward(lengths, reset, seed, x, *initial, *weights, *output)


def _backward(ctx: Any, gradients: Sequence[Tensor | None]) -> tuple[Any, ...]:
    states, weight_count, _ = ctx.counts
    found = _gradients(ctx, gradients)
    gradient_initial = found[:states]
    gradient_weights = found[states : states + weight_count]
    gradient_x = found[states + weight_count] if len(found) > states + weight_count else None
    # To torch an empty list is one of tensors, and any other list of numbers a single argument.
    of_rates: list[None] | None = None if ctx.options[-1] else []
    return gradient_x, gradient_initial, gradient_weights, *[None] * 9, of_rates


def _gradients(ctx: Any, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Gradients of initial states, weights and, where it is needed, of x."""
    if batched(gradients):
        return one_by_one(lambda each: _gradients(ctx, each), gradients)
    states, weight_count, tape_count = ctx.counts
    program, isa, directions, batch_first, save, checkpoint, rates = ctx.options
    lengths, reset, seed, *saved = ctx.saved_tensors
    x, initial = saved[0], saved[1 : 1 + states]
    weights = saved[1 + states : 1 + states + weight_count]
    output = saved[1 + states + weight_count]
    tapes = saved[len(saved) - tape_count :] if tape_count else []
    if output.dtype != torch.float32:
        output = tapes.pop()
    gradient, gradient_last = gradients[0], list(gradients[1 : 1 + states])
    of_tapes = list(gradients[1 + states : 1 + states + len(tapes)])
    gradient_tapes: list[Tensor] = []
    # What no program exposes is for backward alone, and has no gradient.
    if program_named(program).exposed and any(each is not None for each in of_tapes):
        gradient_tapes = [
            torch.zeros_like(tape) if given is None else given
            for tape, given in zip(tapes, of_tapes, strict=True)
        ]
    if torch.is_grad_enabled():
        # Someone will differentiate the gradient: by the reference.
        return _differentiable(
            gradient,
            gradient_last,
            gradient_tapes,
            x,
            initial,
            weights,
            lengths,
            reset,
            Noise(seed, tuple(rates)),
            program,
            directions,
            batch_first,
        )
    if not save:
        raise RuntimeError(
            f"{program}: backward needs what forward was told not to keep (a model exported under "
            "torch.no_grad?)"
        )
    need_x = bool(ctx.needs_input_grad[0])
    differentiate = _recurrence_backward if plain(x) else torch.ops.unrolled.recurrence_backward
    return [
        *differentiate(
            gradient,
            gradient_last,
            gradient_tapes,
            x,
            initial,
            weights,
            lengths,
            reset,
            output,
            tapes,
            program,
            isa,
            batch_first,
            need_x,
            checkpoint,
            seed,
            rates,
        )
    ]


def _differentiable(
    gradient: Tensor | None,
    gradient_last: Sequence[Tensor | None],
    gradient_tapes: Sequence[Tensor],
    x: Tensor,
    initial: Sequence[Tensor],
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    reset: Tensor | None,
    noise: Noise,
    program: str,
    directions: int,
    batch_first: bool,
) -> list[Tensor | None]:
    """The gradients as differentiable functions of everything that they depend on."""
    found = program_named(program)
    inputs = [*initial, *weights, x]
    # Views keep the graph of who owns the tensors while making them leaves of this computation.
    own = [tensor.view_as(tensor) if tensor.requires_grad else tensor for tensor in inputs]
    states, count = len(initial), len(weights)
    exact = [tensor.to(torch.float32) for tensor in own]
    parameters = split(found, exact[states : states + count], directions)
    output, last, exposed = reference.layer(
        found, exact[-1], exact[:states], parameters, lengths, batch_first, reset, noise
    )
    values, grads = [output, *last], [gradient, *gradient_last]
    if gradient_tapes:
        values += exposed
        grads += _exposed(program, parameters, gradient_tapes, batch_first)
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


torch.library.register_autograd(
    "unrolled::recurrence", _backward, setup_context=_setup_context, lib=_LIBRARY
)
when_loaded("torch.utils.flop_counter", lambda _: import_module(".flops", __package__))


def _exposed(
    program: str, weights: Sequence[Weights], tapes: Sequence[Tensor], batch_first: bool
) -> list[Tensor]:
    """What a program exposes, from the tapes: laid out as the output, directions side by side."""
    found = []
    each = [cpu.exposed(program, own, tape) for own, tape in zip(weights, tapes, strict=True)]
    for of_one in zip(*each, strict=True):
        sequence = of_one[0] if len(of_one) == 1 else torch.cat(of_one, dim=-1)
        found.append(sequence.transpose(0, 1) if batch_first else sequence)
    return found


class _Recurrence(torch.autograd.Function):
    """The operator without torch's dispatcher, which costs more than a short sequence."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, ...]:
        """As the operator's, of its arguments one after the other: see `run_layer`."""
        x, *options, lengths, reset, every, seed, rates, states = inputs[:11]
        initial, weights = inputs[11 : 11 + states], inputs[11 + states :]
        given = (x, initial, weights, lengths, reset, *options, True, every, seed, rates)
        output = _recurrence(*given)
        _setup_context(ctx, given, output)
        # Tapes are nobody's business but where the program exposes what they hold.
        return tuple(output if program_named(options[0]).exposed else output[: 1 + states])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
        """Gradients, in the order of the arguments."""
        x, initial, weights, *_ = _backward(ctx, gradients)
        return x, *[None] * 10, *initial, *weights


def run_layer(
    program: str,
    isa: str,
    x: Tensor,
    initial: Sequence[Tensor],
    weights: Sequence[Weights],
    lengths: Tensor | None,
    batch_first: bool,
    reset: Tensor | None = None,
    checkpoint: int | Literal["auto"] | None = None,
    noise: Noise = QUIET,
) -> Result:
    """One layer by the CPU kernels.

    With ``checkpoint`` what backward needs is kept every so many steps only, and the rest computed
    again; not where the program exposes values, which are on the tape.
    """
    flat = join(weights)
    exposes = bool(program_named(program).exposed)
    trains = torch.is_grad_enabled() and any(t.requires_grad for t in [x, *initial, *flat])
    every = 0
    if trains and checkpoint is not None and not exposes and cpu.tape_width(program, weights[0]):
        rows, steps = x.shape[:2] if batch_first else (x.shape[1], x.shape[0])
        if checkpoint == "auto":
            every = cpu.automatic(program, steps, rows, weights[0])
        else:
            every = checkpoint
    options = (program, isa, len(weights), batch_first)
    save, rates = trains or exposes, list(noise.rates)
    if not plain(x):
        found = torch.ops.unrolled.recurrence(
            x, list(initial), flat, lengths, reset, *options, save, every, noise.seed, rates
        )
    elif trains:
        found = _Recurrence.apply(  # type: ignore[no-untyped-call]
            x,
            *options,
            lengths,
            reset,
            every,
            noise.seed,
            rates,
            len(initial),
            *initial,
            *flat,
        )
    else:
        found = _recurrence(
            x, initial, flat, lengths, reset, *options, save, every, noise.seed, rates
        )
    states = 1 + len(initial)
    exposed = []
    if exposes:
        tapes = found[states : states + len(weights)]
        exposed = _exposed(program, weights, tapes, batch_first)
        if not trains:  # nobody else needs the tape, and a view would keep all of it
            exposed = [sequence.clone() for sequence in exposed]
    return Result(found[0], list(found[1:states]), exposed)
