"""Steps of some rows of a stream, their states, and what they cost: nothing but those rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from unrolled import GRU, LSTM, Recurrent, Stream, cells, using
from unrolled.engine.cpu import INSTRUCTION_SETS

from .test_stream import allocated, each_cell, each_engine, error, exact, make, states_of

BAR = 1e-5


def same(found: Any, expected: Any) -> bool:
    """Whether all states are the same to the bit."""
    return all(
        torch.equal(a, b) for a, b in zip(states_of(found), states_of(expected), strict=True)
    )


@each_cell
@each_engine
def test_each_row_goes_at_its_own_pace(cell: str, engine: str) -> None:
    """Every row's outputs and last states are its own sequence's, whoever stepped beside it."""
    layer, T, N = make(cell, 5, 17, 2), 6, 40  # more rows than the kernels copy at a time
    x = torch.randn(T, N, 5)
    expected, last = exact(layer, x)
    with using(engine):
        stream = layer.stream(batch_size=N)
    found, at = torch.full_like(expected, torch.nan), torch.zeros(N, dtype=torch.int64)
    while (at < T).any():
        behind = (at < T).nonzero()[:, 0]
        rows = behind[torch.randperm(len(behind))[: max(1, len(behind) * 2 // 3)]]
        found[at[rows], rows] = stream.step_rows(rows, x[at[rows], rows]).double()
        at[rows] += 1
    assert error(found, expected) < BAR
    for state, wanted in zip(states_of(stream.state), last, strict=True):
        assert error(state, wanted) < BAR


@each_cell
@each_engine
def test_rows_that_are_not_named_keep_their_states(cell: str, engine: str) -> None:
    layer = make(cell, 4, 9, 2)
    with using(engine):
        stream = layer.stream(batch_size=5)
    stream(torch.randn(5, 4))
    others, before = [0, 2, 4], stream.state
    stream.step_rows([3, 1], torch.randn(2, 4))
    assert same(stream.state_of(others), stream_rows(before, others))
    assert not same(stream.state_of([1, 3]), stream_rows(before, [1, 3]))
    assert same(stream.state_of([3, 1]), stream_rows(stream.state, [3, 1]))
    stream.step_rows([], torch.empty(0, 4))
    assert same(stream.state_of(others), stream_rows(before, others))


def stream_rows(state: Any, rows: list[int]) -> tuple[Tensor, ...]:
    """Some rows of states of all."""
    return tuple(each[:, rows] for each in states_of(state))


@each_engine
def test_nan_in_one_row_touches_no_other(engine: str) -> None:
    """Not those that step with it, nor those that do not, in no layer."""
    layer = make("lstm", 4, 9, 2)
    with using(engine):
        stream, clean = layer.stream(batch_size=4), layer.stream(batch_size=4)
    x = torch.randn(3, 4)
    bad = x.clone()
    bad[1, 2] = torch.nan
    found, expected = stream.step_rows([2, 0, 3], bad), clean.step_rows([2, 0, 3], x)
    assert found[1].isnan().all()
    assert torch.equal(found[[0, 2]], expected[[0, 2]])
    assert same(stream.state_of([1, 2, 3]), clean.state_of([1, 2, 3]))
    stream.reset_rows([0])
    clean.reset_rows([0])
    assert same(stream.state, clean.state)


@each_engine
def test_heads_keep_to_themselves(engine: str) -> None:
    """NaN in one head's part of a state does not reach the others as zero times NaN."""
    layer = Recurrent(cells.RNN(), 3, 8, heads=2)
    with using(engine):
        stream = layer.stream(batch_size=2)
    state = torch.zeros(1, 2, 8)
    state[0, :, 5] = torch.nan
    stream.state = state
    y = stream.step_rows([1], torch.randn(1, 3))
    assert y[0, 4:].isnan().all()
    assert not y[0, :4].isnan().any()
    y = stream(torch.randn(2, 3))
    assert not y[:, :4].isnan().any()


@each_engine
def test_rows_and_arrays_of_all_kinds(engine: str) -> None:
    """What comes out is of x's kind, whatever names the rows, or what was given for it."""
    layer = make("gru", 5, 9)
    x = torch.randn(2, 5)
    with using(engine):
        stream = layer.stream(batch_size=4)
    expected = stream.step_rows([3, 1], x).clone()
    wide = torch.randn(2, 8)
    wide[:, 2:7] = x  # rows that lie apart
    rows: Any
    given: Any
    for rows in (
        (3, 1),
        range(3, 0, -2),
        np.array([3, 1]),
        np.array([3, 0, 1])[::2],
        list(np.array([3, 1])),
        torch.tensor([3, 1]),
        torch.tensor([[3, 0], [1, 0]])[:, 0],
    ):
        for given in (x, x.numpy(), wide[:, 2:7]):
            stream.reset_rows(rows)
            y = stream.step_rows(rows, given)
            assert type(y) is type(given)
            assert torch.allclose(torch.as_tensor(y), expected, atol=1e-6)
            stream.reset_rows(rows)
            out = np.full((2, 9), np.nan, np.float32)
            assert stream.step_rows(rows, given, out=out) is out
            assert torch.allclose(torch.from_numpy(out), expected, atol=1e-6)


@each_engine
def test_out_may_overlap_x(engine: str) -> None:
    """As in a step of all rows: x has been read before anything is written."""
    layer, N = make("gru", 6, 6), 70
    x = torch.randn(N, 6)
    with using(engine):
        stream, other = layer.stream(batch_size=N), layer.stream(batch_size=N)
    rows = torch.randperm(N)
    expected = other.step_rows(rows, x.clone())
    memory = torch.empty(N + 1, 6)
    memory[1:] = x
    assert torch.equal(stream.step_rows(rows, memory[1:], memory[:-1]), expected)


@each_engine
def test_rows_go_back_to_their_initial_states(engine: str) -> None:
    """Zeros, what was given, or what was learned."""
    for learned in (False, True):
        layer = LSTM(4, 9, 2, learn_initial=learned)
        for name, parameter in layer.named_parameters():
            if "initial" in name:
                torch.nn.init.normal_(parameter)
        with using(engine):
            stream = layer.stream(batch_size=3)
        start = stream.state
        stream(torch.randn(3, 4))
        after = stream.state
        stream.reset_rows(np.array([2, 0]))
        assert same(stream.state_of([0, 2]), stream_rows(start, [0, 2]))
        assert same(stream.state_of([1]), stream_rows(after, [1]))


@each_engine
@each_cell
def test_states_of_rows_can_be_read_and_written(cell: str, engine: str) -> None:
    """What was read from one place goes on at another, in this stream or another one."""
    layer = make(cell, 4, 9, 2)
    with using(engine):
        stream, other = layer.stream(batch_size=5), layer.stream(batch_size=2)
    stream(torch.randn(5, 4))
    saved = stream.state_of([4, 2])
    assert all(state.shape[:2] == (2, 2) for state in states_of(saved))
    x = torch.randn(2, 4)
    expected = stream.step_rows([4, 2], x).clone()
    kept = stream.state_of([2, 3, 4])
    stream.set_state_of(torch.tensor([1, 0]), saved)
    assert torch.allclose(stream.step_rows([1, 0], x), expected, atol=1e-6)
    assert same(stream.state_of([2, 3, 4]), kept)
    arrays = tuple(state.numpy() for state in states_of(saved))
    other.set_state_of([0, 1], arrays if len(arrays) > 1 else arrays[0])
    assert same(other.state, saved)
    assert torch.allclose(other(x), expected, atol=1e-6)


@each_engine
def test_a_clone_s_rows_are_its_own(engine: str) -> None:
    with using(engine):
        stream = make("gru", 4, 9, 2).stream(batch_size=3)
    stream(torch.randn(3, 4))
    clone, before = stream.clone(), stream.state
    clone.step_rows([0, 2], torch.randn(2, 4))
    clone.reset_rows([1])
    assert same(stream.state, before)


@each_engine
def test_a_stream_of_one_row(engine: str) -> None:
    with using(engine):
        stream, other = make("lstm", 4, 9).stream(), make("lstm", 4, 9).stream()
    x = torch.randn(1, 4)
    assert torch.equal(stream.step_rows([0], x), other(x))
    assert stream.step_rows((), np.empty((0, 4), np.float32)).shape == (0, 9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_other_dtypes(dtype: torch.dtype) -> None:
    layer = make("gru", 4, 9, 2).to(dtype)
    stream, x = layer.stream(batch_size=3), torch.randn(2, 4, dtype=dtype)
    found = stream.step_rows([2, 0], x)
    assert found.dtype == dtype
    bar = 1e-2 if dtype == torch.bfloat16 else 1e-12
    assert torch.allclose(found, layer(x[None])[0][0], atol=bar)


@pytest.mark.parametrize("isa", INSTRUCTION_SETS)
@pytest.mark.parametrize("kind", ["array", "tensor", "list"])
def test_a_step_of_some_rows_allocates_nothing(kind: str, isa: str) -> None:
    """Given where to write; 2 000 steps leave every counter as it was.

    Other threads of the process may allocate meanwhile, so the quietest of five rounds counts.
    """
    with using(isa):
        stream = make("lstm", 16, 33, 2).stream(batch_size=64)
    x: Any = torch.randn(3, 16)
    out: Any = torch.empty(3, 33)
    rows: Any = torch.tensor([40, 2, 63])
    if kind == "array":
        x, out, rows = x.numpy(), out.numpy(), rows.numpy()
    elif kind == "list":
        rows = rows.tolist()

    def work() -> None:
        for _ in range(2000):
            stream.step_rows(rows, x, out)

    work()
    grown = []
    for _ in range(5):
        before = allocated()
        work()
        after = allocated()
        grown.append((after[0] - before[0], after[1] - before[1]))
    assert min(objects for objects, _ in grown) < 100
    assert min(size for _, size in grown) < 2048


X = np.zeros((2, 5), np.float32)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda s: s.step_rows({0, 1}, X),
            TypeError,
            "Stream: rows must be a sequence of integers, or an array or tensor of int64, got set",
        ),
        (lambda s: s.step_rows("01", X), TypeError, "Stream: rows must be integers, got str"),
        (lambda s: s.step_rows([0, 1.0], X), TypeError, "Stream: rows must be integers, got float"),
        (
            lambda s: s.step_rows([True, False], X),
            TypeError,
            "Stream: rows must be integers, got bool",
        ),
        (
            lambda s: s.step_rows(np.array([0, 1], np.int32), X),
            ValueError,
            "Stream: rows is int32, expected int64",
        ),
        (
            lambda s: s.step_rows(np.array([True, True, False]), X),
            ValueError,
            "Stream: rows is bool, expected int64",
        ),
        (
            lambda s: s.step_rows(torch.tensor([0.0, 1.0]), X),
            ValueError,
            "Stream: rows is torch.float32, expected torch.int64",
        ),
        (
            lambda s: s.step_rows(np.array([[0, 1]]), X),
            ValueError,
            "Stream: rows has 2 dimensions, expected one",
        ),
        (
            lambda s: s.step_rows(torch.tensor(1), X),
            ValueError,
            "Stream: rows has 0 dimensions, expected one",
        ),
        (
            lambda s: s.step_rows([0, 3], X),
            ValueError,
            "Stream: rows has 3 at place 1, expected numbers from 0 to 2",
        ),
        (
            lambda s: s.step_rows(torch.tensor([-1, 0]), X),
            ValueError,
            "Stream: rows has -1 at place 0, expected numbers from 0 to 2",
        ),
        (
            lambda s: s.step_rows([2, 2], X),
            ValueError,
            "Stream: rows has 2 twice, expected each row once",
        ),
        (
            lambda s: s.step_rows([2], X),
            ValueError,
            "Stream: x has shape [2, 5], expected [1, 5]",
        ),
        (
            lambda s: s.step_rows([2], X[0]),
            ValueError,
            "Stream: x has shape [5], expected [1, 5]",
        ),
        (
            lambda s: s.step_rows([0, 1], [0.0]),
            TypeError,
            "Stream: x must be a NumPy array or a tensor, got list",
        ),
        (
            lambda s: s.step_rows([0, 1], X, np.zeros((3, 9), np.float32)),
            ValueError,
            "Stream: out has shape [3, 9], expected [2, 9]",
        ),
        (
            lambda s: s.state_of([0, 0]),
            ValueError,
            "Stream: rows has 0 twice, expected each row once",
        ),
        (
            lambda s: s.reset_rows([7]),
            ValueError,
            "Stream: rows has 7 at place 0, expected numbers from 0 to 2",
        ),
        (
            lambda s: s.set_state_of([0, 1], torch.zeros(1, 3, 9)),
            ValueError,
            "GRU: h_0 must have shape [1, 2, 9] (layers * directions, batch, size), got [1, 3, 9] "
            "(torch.nn: Expected hidden size (1, 2, 9), got [1, 3, 9])",
        ),
    ],
)
@each_engine
def test_errors_name_the_argument(
    call: Callable[[Stream], Any], kind: type[Exception], message: str, engine: str
) -> None:
    """In one line, and no state has changed."""
    with using(engine):
        stream = make("gru", 5, 9).stream(batch_size=3)
    stream(np.ones((3, 5), np.float32))
    before = stream.state
    with pytest.raises(kind) as caught:
        call(stream)
    assert str(caught.value) == message
    assert same(stream.state, before)


@pytest.mark.parametrize("isa", INSTRUCTION_SETS)
def test_what_the_kernels_cannot_write_to(isa: str) -> None:
    with using(isa):
        stream = GRU(5, 9).stream(batch_size=3)
    with pytest.raises(ValueError, match="Stream: out is not contiguous"):
        stream.step_rows([0, 1], X, np.zeros((2, 12), np.float32)[:, :9])
    with pytest.raises(ValueError, match="Stream: out is read-only"):
        stream.step_rows([0], X[:1], np.frombuffer(bytes(36), np.float32).reshape(1, 9))
