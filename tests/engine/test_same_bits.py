"""The same inputs give the same bits, however the work is shared and whatever steps beside a row.

What is held to the bit on every instruction set of this processor: outputs, last states and all
gradients on any number of threads and any division into groups and slices; a row alone, in a batch
and at another place of it; a layer's sequence, a stream's `run`, its steps, and steps of some rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from unrolled import GRU, LSTM, Recurrent, cells, using
from unrolled.cells import BUILTIN, Cell, FastGRNN, OriginalGRU, PeepholeLSTM
from unrolled.compiler.program import Program
from unrolled.engine.cpu import FLOAT32_SETS, INSTRUCTION_SETS, layout
from unrolled.engine.noise import QUIET
from unrolled.engine.weights import program_of
from unrolled.layers.layer import Layer
from unrolled.options import Variant

from ..compiler.invented import SeveralStates
from .cases import PROGRAMS, Case, Shape, by_kernels, case, numbers

OPTIONS = program_of(
    cells.LSTM(), variant=Variant(layer_norm=True, zoneout=("h", "c"), recurrent_dropout=True)
)
INVENTED = program_of(SeveralStates())
EACH = [*PROGRAMS, INVENTED, OPTIONS]

DIVISIONS = [(2, 1), (3, 1), (8, 1), (2, 2), (4, 2), (8, 4), (3, 3)]
"""Threads, and how many of them share the units of a row; the rest are groups of rows."""

CASES = [
    *((program, Shape(5, 11, 37, "ragged", 2, reset="some", checkpoint=3)) for program in EACH),
    *(
        (program_of(cell), Shape(4, 9, 52, heads=2, bias=False))
        for cell in (cells.LSTM(), SeveralStates())
    ),
    (program_of(PeepholeLSTM()), Shape(3, 67, 33, "ragged")),
    (program_of(OriginalGRU()), Shape(9, 3, 130, directions=2, batch_first=True)),
]


def parts(values: Sequence[Tensor], gradients: Sequence[Tensor], drawn: Case) -> dict[str, Tensor]:
    """All that a call gives, by name."""
    states = len(drawn.initial)
    names = ["output", *(f"last {k}" for k in range(len(values) - 1)), "gradient of x"]
    names += [f"gradient of initial state {k}" for k in range(states)]
    names += [f"gradient of weight {k}" for k in range(len(gradients) - 1 - states)]
    return dict(zip(names, [*values, *gradients], strict=True))


def bits(tensor: Tensor) -> Tensor:
    """The numbers' bits, so that NaN equals NaN and 0 is not -0."""
    return tensor.contiguous().view(torch.int32 if tensor.dtype == torch.float32 else torch.int16)


def different(found: dict[str, Tensor], expected: dict[str, Tensor]) -> list[str]:
    """Names of what differs in any bit."""
    return [
        name
        for name, tensor in expected.items()
        if not torch.equal(bits(found[name]), bits(tensor))
    ]


def call(drawn: Case, isa: str = FLOAT32_SETS[0]) -> dict[str, Tensor]:
    return parts(*numbers(drawn, by_kernels(isa), torch.float32), drawn)


@pytest.mark.parametrize(("program", "shape"), CASES, ids=lambda v: getattr(v, "name", str(v)))
def test_threads_and_their_division_change_no_bit(
    program: Program, shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums over rows and steps are taken in an order that no thread decides."""
    monkeypatch.setattr(layout, "BLOCK", 2)  # several blocks of steps
    drawn = case(program, shape)
    alone = call(drawn)
    for threads, slices in DIVISIONS:
        monkeypatch.setattr(layout, "SLICES", slices)
        found = call(replace(drawn, shape=replace(shape, threads=threads)))
        assert different(found, alone) == [], f"{threads} threads, {slices} slices"


@pytest.mark.parametrize("isa", FLOAT32_SETS)
def test_threads_as_the_kernels_divide_them(isa: str) -> None:
    """Large enough that they do, and that sums over rows are taken in several parts."""
    for cell in (PeepholeLSTM(), OriginalGRU()):
        drawn = case(program_of(cell), Shape(9, 37, 131))
        alone = call(drawn, isa)
        for threads in (2, 3, 4):
            found = call(replace(drawn, shape=replace(drawn.shape, threads=threads)), isa)
            assert different(found, alone) == [], f"{threads} threads"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_threads_change_no_parameter_s_gradient(dtype: torch.dtype) -> None:
    """Of a whole layer: scalars and learned initial states are sums over units and over rows."""
    if dtype == torch.bfloat16 and INSTRUCTION_SETS[0] == "amx":
        pytest.skip("tiles sum in another order than the product of few rows")
    torch.manual_seed(3)
    layer = Recurrent(FastGRNN(), 70, 67, num_layers=2, learn_initial=True, dtype=dtype)
    x, reset = torch.randn(9, 41, 70, dtype=dtype), torch.rand(9, 41) < 0.2
    lengths = torch.randint(0, 10, (41,))
    found = []
    for threads in (1, 2, 3, 4):
        torch.set_num_threads(threads)
        layer.zero_grad()
        y, last = layer(x, lengths=lengths, reset=reset)
        (y.float().sin().sum() + last.float().cos().sum()).backward()
        gradients = {name: p.grad for name, p in layer.named_parameters() if p.grad is not None}
        assert len(gradients) == len(list(layer.parameters()))
        found.append(gradients)
    for gradients in found[1:]:
        assert different(gradients, found[0]) == []


def rows_of(drawn: Case, rows: list[int]) -> Case:
    """The case with these rows, in this order, and without noise, which is drawn for each place."""
    return replace(
        drawn,
        shape=replace(drawn.shape, N=len(rows)),
        x=drawn.x[:, rows],
        initial=[state[:, rows] for state in drawn.initial],
        lengths=None if drawn.lengths is None else drawn.lengths[rows],
        gradients=[gradient[:, rows] for gradient in drawn.gradients],
        reset=None if drawn.reset is None else drawn.reset[:, rows],
        noise=QUIET,
    )


@pytest.mark.parametrize("program", [*PROGRAMS, INVENTED], ids=lambda program: program.name)
def test_a_row_does_not_depend_on_its_neighbours(program: Program) -> None:
    """Alone, among others and at another place: its outputs, states and own gradients."""
    shape = Shape(4, 13, 37, "ragged", 2, reset="some")
    drawn = case(program, shape)
    whole = call(rows_of(drawn, list(range(shape.N))))
    for rows in ([6], [7, 3], [12, 1, 5, 9, 7], [*range(12, -1, -1)]):
        found = call(rows_of(drawn, rows))
        own = {name: t for name, t in found.items() if "weight" not in name}
        expected = {name: whole[name][:, rows] for name in own}  # rows are the second dimension
        assert different(own, expected) == [], f"rows {rows}"


def check_stream(layer: Layer, N: int, isa: str) -> None:
    """The layer's numbers, with and without gradients, beside the stream's in three ways."""
    generator = torch.Generator().manual_seed(5)
    T, layers = 9, layer.num_layers  # fewer than eight steps may be torch's own layer
    x = torch.randn(T, N, layer.input_size, generator=generator)
    layer.eval()
    with using(isa):
        trained, _ = layer(x)
        with torch.no_grad():
            output, last = layer(x)
        stream = layer.stream(batch_size=N)
    wanted = list(last) if isinstance(last, tuple) else [last]
    assert torch.equal(bits(trained.detach()), bits(output)), "training and inference"

    def states() -> list[Tensor]:
        found: Any = stream.state
        return list(found) if isinstance(found, tuple) else [found]

    def same(found: Tensor, how: str) -> None:
        assert torch.equal(bits(found), bits(output)), how
        for a, b in zip(states(), wanted, strict=True):
            assert a.shape == (layers, *b.shape[1:])
            assert torch.equal(bits(a), bits(b)), f"states after {how}"
        stream.reset()

    same(stream.run(x), "run")
    same(torch.stack([stream(step).clone() for step in x]), "step")
    # every row at its own pace: a few at random each time, until all have come to their end
    found, at = torch.full_like(output, torch.nan), torch.zeros(N, dtype=torch.int64)
    while (at < T).any():
        behind = (at < T).nonzero()[:, 0]
        count = int(torch.randint(1, len(behind) + 1, (1,), generator=generator))
        rows = behind[torch.randperm(len(behind), generator=generator)[:count]]
        found[at[rows], rows] = stream.step_rows(rows, x[at[rows], rows])
        at[rows] += 1
    same(found, "step_rows")


def layer_of(cell: Cell, H: int, **options: Any) -> Layer:
    torch.manual_seed(3)
    program = program_of(cell)
    return Recurrent(cell, H if program.reads_input else 5, H, **options)


@pytest.mark.parametrize(
    "cell", [*BUILTIN, SeveralStates()], ids=lambda cell: program_of(cell).name
)
def test_a_layer_and_its_stream_have_the_same_bits(cell: Cell) -> None:
    check_stream(layer_of(cell, 19, num_layers=2), 7, FLOAT32_SETS[0])


OPTIONED: dict[str, Callable[[], Layer]] = {
    "projection": lambda: LSTM(5, 22, num_layers=2, proj_size=9),
    "heads": lambda: Recurrent(cells.LSTM(), 5, 36, num_layers=2, heads=3),
    "layer norm": lambda: Recurrent(cells.LSTM(), 5, 19, num_layers=2, layer_norm=True),
    "masks": lambda: GRU(5, 19, num_layers=2, zoneout=0.3, recurrent_dropout=0.2),
    "no bias": lambda: GRU(3, 65, bias=False),
}


@pytest.mark.parametrize("isa", FLOAT32_SETS)
@pytest.mark.parametrize("options", OPTIONED)
def test_options_of_a_layer_and_its_stream(options: str, isa: str) -> None:
    torch.manual_seed(3)
    check_stream(OPTIONED[options](), 6, isa)


@pytest.mark.parametrize("isa", FLOAT32_SETS)
def test_few_features_are_multiplied_without_tiles(isa: str) -> None:
    """Up to eight features, or units of a head, have a product of their own: the same sums."""
    torch.manual_seed(3)
    for X, H in ((1, 17), (2, 8), (3, 33), (4, 5), (5, 16), (6, 1), (7, 40), (8, 130), (9, 24)):
        check_stream(GRU(X, H), 7, isa)
        check_stream(LSTM(X, H), 3, isa)


@pytest.mark.parametrize("isa", FLOAT32_SETS)
def test_streams_of_any_number_of_rows(isa: str) -> None:
    """Products of one row, of a few and of many; more rows than are copied at a time."""
    torch.manual_seed(3)
    for N, X, H in ((1, 3, 8), (1, 20, 61), (2, 3, 33), (3, 1, 17), (4, 9, 40), (45, 3, 24)):
        check_stream(GRU(X, H), N, isa)
