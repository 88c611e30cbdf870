"""Largest errors of the CPU kernels against float64, over cells, options, lengths and processors.

    python benchmarks/accuracy.py

Prints, for each cell and instruction set, the largest relative error (in the norm) of outputs and
final states, and of all gradients, over odd sizes, ragged lengths, directions, biases, threads.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from unrolled.cells import BUILTIN, LSTM
from unrolled.compiler.program import Program
from unrolled.engine import operator, reference
from unrolled.engine.cpu import FLOAT32_SETS
from unrolled.engine.request import Recurrence
from unrolled.engine.weights import Weights, join, program_of

SIZES = [(1, 1, 3, 1), (7, 5, 3, 17), (33, 13, 10, 65), (50, 8, 64, 130), (20, 7, 33, 300)]


def relative(found: list[Tensor], exact: list[Tensor]) -> float:
    """Largest ‖found - exact‖ / ‖exact‖."""
    return max(
        float((a.detach().double() - b.detach()).norm() / b.detach().norm().clamp(min=1e-30))
        for a, b in zip(found, exact, strict=True)
    )


def errors(
    program: Program,
    isa: str,
    size: tuple[int, int, int, int],
    directions: int,
    ragged: bool,
    bias: bool,
) -> tuple[float, float]:
    """Errors of outputs and of gradients of one call."""
    T, N, X, H = size
    if program.reads_input:
        X = H
    S = (H + 1) // 2 if program.projected else H
    gates, rows = len(program.gates) * H, len(program.rows("U")) * H

    def draw(*shape: int) -> Tensor:
        return (torch.rand(*shape) * 2 - 1) / float(H**0.5)

    def weights() -> Weights:
        return Weights(
            draw(gates, X),
            draw(rows, S),
            draw(gates) if bias else None,
            draw(rows) if bias else None,
            draw(S, H) if program.projected else None,
            draw(len(program.vectors) * H) if program.vectors else None,
            H,
        )

    x = torch.randn(T, N, X)
    initial = [torch.randn(directions, N, H if k else S) for k in range(len(program.states))]
    for state, value in zip(program.states, initial, strict=True):
        if state.name == "n":  # a normaliser, which cells divide by: a sum of positive terms
            value.abs_().clamp_(0.5)
    own = [weights() for _ in range(directions)]
    lengths = torch.randint(0, T + 1, (N,)) if ragged else None
    seeds: list[Tensor] = []
    found = []
    for dtype in (torch.float64, torch.float32):

        def leaf(value: Tensor, dtype: torch.dtype = dtype) -> Tensor:
            return value.to(dtype).clone().requires_grad_()

        x_, initial_ = leaf(x), [leaf(state) for state in initial]
        own_ = [w.map(leaf) for w in own]
        if dtype == torch.float64:
            y, last, _ = reference.layer(program, x_, initial_, own_, lengths)
        else:
            call = Recurrence(
                x_,
                initial_,
                join(own_),
                lengths,
                reset=None,
                program=program.name,
                isa=isa,
                directions=directions,
                batch_first=False,
                save=True,
                checkpoint=0,
                seed=None,
                rates=[],
            )
            y, last, _ = operator.run_layer(call)
        seeds = seeds or [torch.randn(value.shape).double() for value in [y, *last]]
        loss = sum((a * b.to(dtype)).sum() for a, b in zip([y, *last], seeds, strict=True))
        assert isinstance(loss, Tensor)
        inputs = [x_, *(s for s in initial_ if s is not None), *join(own_)]
        gradients = torch.autograd.grad(loss, inputs, allow_unused=True)
        given = zip(gradients, inputs, strict=True)
        found.append(([y, *last], [torch.zeros_like(i) if g is None else g for g, i in given]))
    (exact, exact_gradients), (outputs, own_gradients) = found
    return relative(outputs, exact), relative(own_gradients, exact_gradients)


def main() -> None:
    """Print the table."""
    torch.manual_seed(0)
    programs = [*map(program_of, BUILTIN), program_of(LSTM(), projected=True)]
    print(f"{'cell':28}{'instructions':14}{'outputs':>10}{'gradients':>11}")
    worst = [0.0, 0.0]
    for program, isa in itertools.product(programs, FLOAT32_SETS):
        largest = [0.0, 0.0]
        for size, directions, ragged, bias, threads in itertools.product(
            SIZES, (1, 2), (False, True), (False, True), (1, 3)
        ):
            torch.set_num_threads(threads)
            pair = errors(program, isa, size, directions, ragged, bias)
            largest = [max(a, b) for a, b in zip(largest, pair, strict=True)]
        print(f"{program.name:28}{isa:14}{largest[0]:10.1e}{largest[1]:11.1e}", flush=True)
        worst = [max(a, b) for a, b in zip(worst, largest, strict=True)]
    print(f"largest: outputs {worst[0]:.1e} (bar 1e-5), gradients {worst[1]:.1e} (bar 1e-4)")


if __name__ == "__main__":
    main()
