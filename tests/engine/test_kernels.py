"""The CPU kernels against the float64 reference: every cell, instruction set, shape and option."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import unrolled
from unrolled.cells import GRU, LSTM, NBRC, RNN, SLSTM, OriginalGRU
from unrolled.compiler.program import Program
from unrolled.engine import cpu
from unrolled.engine.cpu import FLOAT32_SETS, layout, parallel
from unrolled.engine.reference import LayerResult
from unrolled.engine.weights import Weights, program_of, split

from .cases import (
    FEW,
    PROGRAMS,
    THOROUGH,
    Case,
    Shape,
    by_kernels,
    by_reference,
    case,
    covering,
    exact,
    largest,
    numbers,
    recurrence,
    shapes,
)

OUTPUT_BAR, GRADIENT_BAR = 1e-5, 1e-4

SHAPES = [
    Shape(1, 1, 1),
    Shape(2, 7, 3, "ragged"),
    Shape(33, 13, 17, "ragged", directions=2),
    Shape(33, 2, 65, directions=2, batch_first=True, threads=2),
    Shape(2, 1, 130, bias=False),
    Shape(5, 2, 1, "ragged", directions=2, bias=False),
    # work enough for several threads, each with rows of its own
    Shape(33, 7, 130, "ragged", batch_first=True, threads=3),
    Shape(20, 13, 65, bias=False, threads=4),
    Shape(33, 13, 65, "ragged", directions=2, threads=2),
    # few rows and many units: threads share the units of a row, and meet after every stage
    Shape(5, 7, 297, "ragged", directions=2, threads=4),
    Shape(4, 5, 333, threads=3),
    Shape(6, 1, 640, threads=2),
    # states put back to their initial values inside the sequences
    Shape(7, 7, 17, "ragged", directions=2, reset="some"),
    Shape(9, 5, 33, directions=2, batch_first=True, bias=False, reset="some"),
    Shape(33, 13, 65, "ragged", directions=2, threads=3, reset="some"),
    Shape(5, 7, 297, "ragged", directions=2, threads=4, reset="some"),
    Shape(6, 3, 19, directions=2, reset="all"),
    Shape(6, 3, 19, "ragged", directions=2, reset="none"),
    # states kept every few steps, and a segment's tape computed again
    Shape(9, 5, 17, checkpoint=1),
    Shape(9, 7, 17, "ragged", directions=2, batch_first=True, checkpoint=4),
    Shape(9, 7, 17, directions=2, reset="some", checkpoint=2),
    Shape(33, 13, 65, "ragged", directions=2, threads=3, reset="some", checkpoint=8),
    Shape(5, 7, 297, "ragged", directions=2, threads=4, checkpoint=3),
    Shape(6, 3, 19, "ragged", directions=2, reset="all", bias=False, checkpoint=6),
    Shape(5, 3, 19, checkpoint=100),
    # block-diagonal U, its blocks no whole registers, shared by threads, one unit wide
    Shape(7, 3, 36, heads=2),
    Shape(20, 5, 48, "ragged", directions=2, threads=2, reset="some", heads=4),
    Shape(9, 1, 512, threads=4, bias=False, heads=4),
    Shape(9, 4, 20, "ragged", batch_first=True, threads=2, checkpoint=4, heads=10),
    # nothing to do
    Shape(0, 2, 3, directions=2, reset="all"),
    Shape(3, 0, 17, reset="all"),
    Shape(0, 0, 5, batch_first=True, checkpoint=2),
    Shape(2, 7, 17, "zero", directions=2),
]
each_program = pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)
each_thorough_program = pytest.mark.parametrize("program", THOROUGH, ids=lambda p: p.name)
each_isa = pytest.mark.parametrize("isa", FLOAT32_SETS)


def check(program: Program, isa: str, shape: Shape) -> None:
    """Outputs, final states and all gradients."""
    outputs, gradients = numbers(case(program, shape), by_kernels(isa), torch.float32)
    exact_outputs, exact_gradients = exact(program, shape)
    assert largest(outputs, exact_outputs) < OUTPUT_BAR, shape
    assert largest(gradients, exact_gradients) < GRADIENT_BAR, shape


@pytest.mark.usefixtures("poisoned")
@each_isa
@each_program
def test_kernels_agree_with_the_reference(program: Program, isa: str) -> None:
    """Every shape; memory that nobody wrote would show as NaN."""
    for shape in covering(program, SHAPES):
        check(program, isa, shape)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("slices", [2, 4])
@each_program
def test_every_way_to_share_the_work(
    program: Program, slices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows in groups, units in slices, and both at once."""
    monkeypatch.setattr(layout, "SLICES", slices)
    for shape in covering(program, SHAPES, FEW[:2]):
        check(program, FLOAT32_SETS[0], replace(shape, threads=4))


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("block", [1, 2, 5])
@each_program
def test_backward_in_blocks(program: Program, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long sequences go backward in parts: rows that begin, end or pause anywhere in one."""
    monkeypatch.setattr(layout, "BLOCK", block)
    for shape in covering(program, [s for s in SHAPES if s.T > 1], FEW[:2]):
        check(program, FLOAT32_SETS[0], shape)


@settings(max_examples=60)
@given(
    program=st.sampled_from(PROGRAMS),
    isa=st.sampled_from(FLOAT32_SETS),
    shape=shapes(rows=20, checkpoints=8),
)
def test_kernels_agree_on_any_shape(program: Program, isa: str, shape: Shape) -> None:
    check(program, isa, shape)


@each_isa
@each_thorough_program
def test_the_same_bits_every_time(program: Program, isa: str) -> None:
    ragged = Shape(20, 13, 65, "ragged", directions=2, threads=3)
    for shape in (ragged, Shape(5, 7, 297, threads=4)):
        drawn = case(program, shape)
        first, second = (numbers(drawn, by_kernels(isa), torch.float32) for _ in range(2))
        for a, b in zip([*first[0], *first[1]], [*second[0], *second[1]], strict=True):
            assert torch.equal(a, b), shape


def forward(drawn: Case, isa: str) -> LayerResult:
    weights = split(drawn.program, [w.float() for w in drawn.weights], drawn.shape.directions)
    initial = [state.float() for state in drawn.initial]
    with torch.no_grad():
        return by_kernels(isa)(drawn, drawn.x.float(), initial, weights)


@pytest.mark.usefixtures("poisoned")
@each_isa
@each_thorough_program
def test_inference_is_training_bit_for_bit(program: Program, isa: str) -> None:
    ragged = Shape(7, 5, 19, "ragged", directions=2)
    for shape in (ragged, Shape(5, 7, 297, threads=4), Shape(0, 3, 4)):
        drawn = case(program, shape)
        trained, _ = numbers(drawn, by_kernels(isa), torch.float32)
        output, last, _ = forward(drawn, isa)
        for a, b in zip([output, *last], trained, strict=True):
            assert torch.equal(a, b), shape


@each_isa
@each_program
def test_a_nan_spreads_as_in_the_equations(program: Program, isa: str) -> None:
    """A NaN at row n, step t reaches row n from step t on in the layer's direction, no other."""
    T, N = 9, 5
    n = N // 2  # of full length
    upward, downward = torch.zeros(2, T, N, 1, dtype=torch.bool)
    upward[4:, n] = True
    downward[:5, n] = True
    for lengths in ("", "ragged"):
        drawn = case(program, Shape(T, N, 21, lengths, directions=2))
        drawn.x[4, n, 1] = torch.nan
        output, last, _ = forward(drawn, isa)
        for bad, where in zip(output.isnan().chunk(2, dim=-1), (upward, downward), strict=True):
            assert torch.equal(bad, where.expand_as(bad)), drawn.shape
        for state in last:
            assert state[:, n].isnan().all(), drawn.shape
            assert not state.isnan().any(-1)[:, torch.arange(N) != n].any(), drawn.shape


@each_isa
@each_program
def test_a_nan_in_a_state_stays_in_its_row(program: Program, isa: str) -> None:
    drawn = case(program, Shape(4, 3, 10))
    for state in drawn.initial:
        state[0, 1] = torch.nan
    output, *_ = forward(drawn, isa)
    assert output[:, 1].isnan().all()
    assert not output[:, [0, 2]].isnan().any()


@each_isa
@pytest.mark.parametrize(
    "program",
    [program_of(cell) for cell in (RNN(), LSTM(), GRU(), OriginalGRU(), NBRC(), SLSTM())],
    ids=lambda p: p.name,
)
def test_bounded_cells_saturate(program: Program, isa: str) -> None:
    """Where float64 has a number, so have the kernels, however large the input."""
    for value in (torch.inf, -torch.inf, 1e30, -3e38, 1e-42):
        drawn = case(program, Shape(6, 4, 23))
        drawn.x[2, 1, 0] = value
        drawn.x[3, 2, 1] = value
        weights = split(program, drawn.weights, 1)
        expected, states, _ = by_reference(drawn, drawn.x, drawn.initial, weights)
        output, last, _ = forward(drawn, isa)
        for found, wanted in zip([output, *last], [expected, *states], strict=True):
            assert torch.equal(found.isnan(), wanted.isnan()), value
            torch.testing.assert_close(
                found.double(),
                wanted,
                rtol=1e-5,
                atol=1e-5,
                equal_nan=True,
                msg=f"x = {value}: {{}}".format,
            )


def whole_line() -> Tensor:
    """Floats of every magnitude, denormal ones and zeros included: evenly spaced in their bits."""
    bits = torch.linspace(0, 0x7F7FFFFF, 1 << 15, dtype=torch.float64).to(torch.int32)
    positive = bits.view(torch.float32)
    return torch.cat([positive, -positive])


def pointwise(isa: str, nonlinearity: str, values: Tensor, hidden: int) -> Tensor:
    """The kernel's function of these numbers: no recurrence, and the identity as input weights."""
    x = values.reshape(1, -1, hidden)
    weights = Weights(
        torch.eye(hidden), torch.zeros(hidden, hidden), None, None, None, None, hidden
    )
    program = program_of(RNN(nonlinearity=nonlinearity))
    initial = [torch.zeros(1, x.shape[1], hidden)]
    output = cpu.forward(recurrence(program, isa, x, initial, [weights], save=False))[0]
    return output.flatten()


def units_in_the_last_place(found: Tensor, expected: Tensor) -> Tensor:
    nearest = expected.float().abs()
    unit = (torch.nextafter(nearest, torch.tensor(torch.inf)) - nearest).double()
    return (found.double() - expected).abs() / unit


@each_isa
@pytest.mark.parametrize("hidden", [64, 1], ids=["whole_vectors", "cut_vectors"])
def test_tanh_is_accurate_on_the_whole_line(isa: str, hidden: int) -> None:
    values = whole_line()
    found = pointwise(isa, "tanh", values, hidden)
    assert float(units_in_the_last_place(found, torch.tanh(values.double())).max()) <= 4


@each_isa
@pytest.mark.parametrize("hidden", [64, 1], ids=["whole_vectors", "cut_vectors"])
def test_sigmoid_is_accurate_on_the_whole_line(isa: str, hidden: int) -> None:
    """To 4 units in the last place, down to the smallest normal number."""
    values = whole_line()
    found = pointwise(isa, "sigmoid", values, hidden)
    expected = torch.sigmoid(values.double())
    normal = values > -87
    assert float(units_in_the_last_place(found, expected)[normal].max()) <= 4
    assert float((found - expected)[~normal].abs().max()) < 2e-38


@each_isa
def test_relu_and_identity_are_exact(isa: str) -> None:
    values = whole_line()
    assert torch.equal(pointwise(isa, "relu", values, 64), torch.relu(values))
    assert torch.equal(pointwise(isa, "identity", values, 64), values)


@each_isa
@pytest.mark.parametrize("program", [program_of(LSTM()), program_of(GRU())], ids=lambda p: p.name)
@pytest.mark.parametrize("batch_first", [False, True], ids=["time_first", "batch_first"])
def test_tensors_of_any_strides(program: Program, isa: str, batch_first: bool) -> None:
    """Slices, transposes and expanded tensors give what their copies give."""
    drawn = case(program, Shape(5, 4, 9, "ragged", directions=2, batch_first=batch_first))
    expected = numbers(drawn, by_kernels(isa), torch.float32)

    def odd(tensor: Tensor) -> Tensor:
        wide = torch.full((*tensor.shape[:-1], 2 * tensor.shape[-1] + 1), torch.nan)
        wide[..., 1::2] = tensor
        return wide[..., 1::2].requires_grad_()

    x, *rest = [odd(t.float()) for t in [drawn.x, *drawn.initial, *drawn.weights]]
    states = len(drawn.initial)
    weights = split(program, rest[states:], 2)
    assert drawn.lengths is not None
    lengths = torch.stack([drawn.lengths, drawn.lengths], 1).flatten()[::2]
    moved = Case(program, drawn.shape, x, drawn.initial, [], lengths, [])
    output, last, _ = by_kernels(isa)(moved, x, rest[:states], weights)
    gradients = torch.autograd.grad(
        [output, *last], [x, *rest], [odd(g.float()).detach() for g in drawn.gradients]
    )
    wanted_all = [*expected[0], *expected[1]]
    for found, wanted in zip([output, *last, *gradients], wanted_all, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


@each_isa
@each_program
def test_expanded_gradients(program: Program, isa: str) -> None:
    """``output.sum().backward()`` hands over one number with strides of zero."""
    drawn = case(program, Shape(5, 4, 1, directions=1))
    leaves = [t.float().requires_grad_() for t in [drawn.x, *drawn.initial, *drawn.weights]]
    states = 1 + len(drawn.initial)
    weights = split(program, leaves[states:], 1)
    output, _, _ = by_kernels(isa)(drawn, leaves[0], leaves[1:states], weights)
    found = torch.autograd.grad(output.sum(), leaves, allow_unused=True)
    doubles = [t.clone().requires_grad_() for t in [drawn.x, *drawn.initial, *drawn.weights]]
    weights = split(program, doubles[states:], 1)
    output, _, _ = by_reference(drawn, doubles[0], doubles[1:states], weights)
    expected = torch.autograd.grad(output.sum(), doubles, allow_unused=True)
    for value, wanted in zip(found, expected, strict=True):
        assert value is not None
        zero = torch.zeros_like(value, dtype=torch.float64)
        torch.testing.assert_close(
            value.double(), zero if wanted is None else wanted, rtol=1e-4, atol=1e-6
        )


@each_isa
@each_program
def test_gradient_of_a_last_state_alone(program: Program, isa: str) -> None:
    """Autograd hands over None for what the loss does not name."""
    for k in range(len(program.states)):
        drawn = case(program, Shape(5, 4, 9, "ragged"))
        found = []
        for run, dtype in [(by_kernels(isa), torch.float32), (by_reference, torch.float64)]:
            leaves = [t.to(dtype).clone().requires_grad_() for t in [drawn.x, *drawn.weights]]
            initial = [t.to(dtype) for t in drawn.initial]
            _, last, _ = run(drawn, leaves[0], initial, split(program, leaves[1:], 1))
            found.append(torch.autograd.grad(last[k].square().sum(), leaves, allow_unused=True))
        for value, wanted in zip(*found, strict=True):
            assert value is not None
            zero = torch.zeros_like(value, dtype=torch.float64)
            torch.testing.assert_close(
                value.double(), zero if wanted is None else wanted, rtol=1e-4, atol=1e-6
            )


def test_a_forked_child_computes_on_its_own_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it says otherwise: the kernels' threads are hired anew, but torch's are gone."""
    monkeypatch.setattr(parallel, "_forked", False)
    torch.set_num_threads(2)
    parallel._after_fork()
    assert torch.get_num_threads() == 2  # torch's own are set once, when a layer is called
    unrolled.RNN(1, 1)(torch.zeros(1, 1, 1))
    assert torch.get_num_threads() == 1
    assert cpu.threads() == 1
    torch.set_num_threads(3)
    unrolled.RNN(1, 1)(torch.zeros(1, 1, 1))
    assert torch.get_num_threads() == 3
    assert cpu.threads() == 3
    monkeypatch.setattr(parallel, "_settled", False)


@each_isa
def test_relu_lets_gradients_through_at_nan(isa: str) -> None:
    """As torch's relu does, so that a NaN shows in the gradients and not only in the output."""
    program = program_of(RNN(nonlinearity="relu"))
    drawn = case(program, Shape(6, 2, 5))
    drawn.x[3, 1, 0] = torch.nan
    _, found = numbers(drawn, by_kernels(isa), torch.float32)
    _, expected = numbers(drawn, by_reference, torch.float64)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-5, equal_nan=True)
    assert any(gradient.isnan().any() for gradient in found)


@each_isa
@pytest.mark.parametrize("threads", [1, 3])
def test_gradients_next_to_zero_are_zero(isa: str, threads: int) -> None:
    """Denormal numbers cost a hundred ordinary ones, and a memory that fades makes many."""
    torch.set_num_threads(threads)
    layer = unrolled.RNN(33, 33, nonlinearity="identity", bias=False)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.copy_(torch.eye(33))
        layer.get_parameter("weight_hh_l0").mul_(1e-2)
    x = torch.full((30, 5, 33), 1e-40)
    x.requires_grad_()
    with unrolled.using(isa):
        output, _ = layer(x)
        (gradient,) = torch.autograd.grad(output[-1].sum(), x)
    assert (output > 0).all()  # forward keeps them
    smallest = torch.finfo(torch.float32).tiny
    assert ((gradient == 0) | (gradient >= smallest)).all()
    assert gradient[-19:].all()
    assert not gradient[:10].any()
    assert torch.tensor(smallest) / 2 > 0  # and so does whoever called
