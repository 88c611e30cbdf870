"""One layer's call, drawn at random, and its numbers by the kernels and by the reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from unrolled.cells import BUILTIN, GRU, LSTM, RNN, SRU, FastGRNN, OriginalGRU
from unrolled.compiler.program import Program, Space
from unrolled.engine import cpu, operator, reference
from unrolled.engine.choice import asked
from unrolled.engine.noise import QUIET, Noise
from unrolled.engine.reference import LayerResult
from unrolled.engine.request import Recurrence, Request
from unrolled.engine.weights import Weights, join, program_of, split

PROGRAMS = [*map(program_of, BUILTIN), program_of(LSTM(), projected=True)]
# Tested in every way: the cells of torch.nn, and some with what those lack (a product of something
# computed, per-unit weights and scalars, x itself, no products at all). What another cell adds is
# its equations; for it a few cases are enough in which every pair of options meets.
THOROUGH = [
    program_of(cell)
    for cell in BUILTIN
    if type(cell) in (RNN, LSTM, GRU, OriginalGRU, SRU, FastGRNN)
]
THOROUGH.append(program_of(LSTM(), projected=True))
X = 5

Run = Callable[..., LayerResult]


@dataclass(frozen=True)
class Shape:
    """Sizes and options of a call.

    ``lengths`` is "", "ragged" (zeros among them) or "zero"; ``reset`` is "", "some", "all" or
    "none" (a mask in which nothing is true).
    """

    T: int
    N: int
    H: int
    lengths: str = ""
    directions: int = 1
    batch_first: bool = False
    bias: bool = True
    threads: int = 1
    reset: str = ""
    checkpoint: int = 0
    heads: int = 1

    def __str__(self) -> str:
        words = [f"T{self.T}", f"N{self.N}", f"H{self.H}", self.lengths]
        words += ["both" * (self.directions == 2), "batch_first" * self.batch_first]
        words += ["nobias" * (not self.bias), f"threads{self.threads}" * (self.threads > 1)]
        words += [f"reset_{self.reset}" * bool(self.reset)]
        words += [f"checkpoint{self.checkpoint}" * bool(self.checkpoint)]
        words += [f"heads{self.heads}" * (self.heads > 1)]
        return "-".join(filter(None, words))


def shapes(rows: int, checkpoints: int) -> st.SearchStrategy[Shape]:
    """Any shape of up to so many rows, with states kept every so many steps at most."""
    return st.builds(
        Shape,
        T=st.integers(0, 7),
        N=st.integers(0, rows),
        H=st.integers(1, 70),
        lengths=st.sampled_from(["", "ragged"]),
        directions=st.integers(1, 2),
        batch_first=st.booleans(),
        bias=st.booleans(),
        threads=st.integers(1, 3),
        reset=st.sampled_from(["", "some", "all"]),
        checkpoint=st.integers(0, checkpoints),
    )


FEW = [
    Shape(5, 7, 297, "ragged", directions=2, batch_first=True, threads=4),
    Shape(33, 13, 65, "ragged", directions=2, threads=3, reset="some", checkpoint=8),
    Shape(9, 5, 33, batch_first=True, bias=False, reset="some", checkpoint=4),
    Shape(7, 6, 17, directions=2, bias=False),
]


def covering(
    program: Program, shapes: Sequence[Shape], few: Sequence[Shape] = FEW
) -> Sequence[Shape]:
    """Shapes to test a program with: all for the thorough ones, a few for others."""
    return shapes if program in THOROUGH else few


@dataclass(frozen=True)
class Case:
    """The tensors of a call, in float64, and a gradient for everything that it returns."""

    program: Program
    shape: Shape
    x: Tensor
    initial: list[Tensor]
    weights: list[Tensor]
    lengths: Tensor | None
    gradients: list[Tensor]
    reset: Tensor | None = None
    noise: Noise = QUIET


def size_of(space: Space, H: int) -> int:
    return (H + 1) // 2 if space is Space.PROJECTED else H


def case(program: Program, shape: Shape, seed: int = 0) -> Case:
    generator = torch.Generator().manual_seed(seed)
    T, N, H, D = shape.T, shape.N, shape.H, shape.directions
    output = size_of(program.states[0].new.space, H)

    def draw(*size: int, scale: float = 1.0) -> Tensor:
        # float32 numbers, so that both engines are given the same ones
        found = torch.rand(*size, generator=generator) * 2 - 1
        return (found * scale).double()

    features = H if program.reads_input else X
    bound = H**-0.5
    gates, blocks = len(program.gates) * H, len(program.rows("U")) * H
    weights = []
    for _ in range(D):
        weights += [
            draw(gates, features, scale=bound),
            draw(blocks, output // shape.heads, scale=bound),
        ]
        if shape.bias:
            weights += [draw(gates, scale=bound), draw(blocks, scale=bound)]
        if program.projected:
            weights.append(draw(output, H, scale=bound))
        if program.vectors:
            weights.append(draw(len(program.vectors) * H))
    lengths = None
    if shape.lengths == "ragged":
        lengths = torch.randint(0, T + 1, (N,), generator=generator)
        lengths[: N // 4] = 0
        lengths[N // 2 : N // 2 + 1] = T
    elif shape.lengths == "zero":
        lengths = torch.zeros(N, dtype=torch.int64)
    first = (N, T) if shape.batch_first else (T, N)
    initial = [draw(D, N, size_of(s.new.space, H)) for s in program.states]
    for state, value in zip(program.states, initial, strict=True):
        if state.name == "n":  # a normaliser, which cells divide by: a sum of positive terms
            value.abs_().clamp_(0.5)
    gradients = [draw(*first, D * output), *(draw(*state.shape) for state in initial)]
    gradients += [draw(*first, D * size_of(s.space, H)) for s in program.exposed]
    x = draw(*first, features)
    share = {"none": 0.0, "some": 0.3, "all": 1.0}
    reset = None
    if shape.reset:
        reset = torch.rand(T, N, generator=generator) < share[shape.reset]
    noise = Noise(torch.tensor([seed - 7]), (0.3, 0.1, 0.6, 0.2, 0.5)[: len(program.masks)])
    return Case(program, shape, x, initial, weights, lengths, gradients, reset, noise)


def request_of(program: Program, tensors: Sequence[Tensor], **more: Any) -> Request:
    """A request of an input and weights, for what does not look at the weights' shapes."""
    x, *weights = tensors
    return Request(program, x, None, weights, asked=asked(), **more)


def recurrence(
    program: Program,
    isa: str,
    x: Tensor,
    initial: Sequence[Tensor],
    weights: Sequence[Weights],
    save: bool = True,
    **more: Any,
) -> Recurrence:
    """The operator's arguments for a call without lengths, resets and noise, or with ``more``."""
    given: dict[str, Any] = {"lengths": None, "reset": None, "batch_first": False, "checkpoint": 0}
    given |= {"seed": None, "rates": [], **more}
    return Recurrence(
        x,
        list(initial),
        join(weights),
        program=program.name,
        isa=isa,
        directions=len(weights),
        save=save,
        **given,
    )


def by_kernels(isa: str) -> Run:
    def run(case: Case, x: Tensor, initial: Sequence[Tensor], weights: Sequence[Weights]) -> Any:
        torch.set_num_threads(case.shape.threads)
        assert cpu.ensure(case.program, isa) is None
        return operator.run_layer(
            recurrence(
                case.program,
                isa,
                x,
                initial,
                weights,
                lengths=case.lengths,
                batch_first=case.shape.batch_first,
                reset=case.reset,
                checkpoint=0 if case.program.exposed else case.shape.checkpoint,
                seed=case.noise.seed,
                rates=list(case.noise.rates),
            )
        )

    return run


def by_reference(
    case: Case, x: Tensor, initial: Sequence[Tensor], weights: Sequence[Weights]
) -> LayerResult:
    first, noise = case.shape.batch_first, case.noise
    return reference.layer(
        case.program, x, initial, weights, case.lengths, first, case.reset, noise
    )


def numbers(case: Case, run: Run, dtype: torch.dtype) -> tuple[list[Tensor], list[Tensor]]:
    """What a call returns, and the gradients of x, the initial states and all the weights."""
    leaves = [
        tensor.to(dtype, copy=True).requires_grad_()
        for tensor in [case.x, *case.initial, *case.weights]
    ]
    x, states = leaves[0], 1 + len(case.initial)
    weights = split(case.program, leaves[states:], case.shape.directions)
    output, last, exposed = run(case, x, leaves[1:states], weights)
    values = [output, *last, *exposed]
    # the reference's output of no steps depends on nothing
    pairs = [(v, g) for v, g in zip(values, case.gradients, strict=True) if v.requires_grad]
    found = torch.autograd.grad(
        [v for v, _ in pairs], leaves, [g.to(dtype) for _, g in pairs], allow_unused=True
    )
    gradients = [
        torch.zeros_like(leaf) if gradient is None else gradient
        for leaf, gradient in zip(leaves, found, strict=True)
    ]
    return [value.detach() for value in values], gradients


def exact(program: Program, shape: Shape, seed: int = 0) -> tuple[list[Tensor], list[Tensor]]:
    """The reference's numbers in float64, which neither threads nor checkpoints change."""
    return _exact(program, replace(shape, threads=1, checkpoint=0), seed)


@lru_cache(maxsize=512)
def _exact(program: Program, shape: Shape, seed: int) -> tuple[list[Tensor], list[Tensor]]:
    torch.set_num_threads(1)
    return numbers(case(program, shape, seed), by_reference, torch.float64)


def error(found: Tensor, expected: Tensor) -> float:
    """Relative, in the Euclidean norm."""
    assert found.shape == expected.shape
    difference = float((found.double() - expected).norm())
    size = float(expected.norm())
    return difference / size if size > 0 else difference


def largest(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    return max(error(f, e) for f, e in zip(found, expected, strict=True))
