"""A stream against the layer in float64: any cell, stack, batch and instruction set; and what it
costs: nothing but time."""

from __future__ import annotations

import copy
import ctypes
import gc
import sys
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unrolled import GRU, LSTM, RNN, Stream, using
from unrolled.engine.cpu import INSTRUCTION_SETS
from unrolled.layers.drop_in import DropIn

BAR = 1e-5
ENGINES = [*INSTRUCTION_SETS, "reference"]

CELLS: dict[str, Callable[..., DropIn]] = {
    "rnn": RNN,
    "rnn-relu": lambda X, H, layers, **options: RNN(X, H, layers, nonlinearity="relu", **options),
    "rnn-sigmoid": lambda X, H, layers, **options: RNN(
        X, H, layers, nonlinearity="sigmoid", **options
    ),
    "rnn-identity": lambda X, H, layers, **options: RNN(
        X, H, layers, nonlinearity="identity", **options
    ),
    "lstm": LSTM,
    "lstm-projected": lambda X, H, layers, **options: LSTM(
        X, H, layers, proj_size=(H + 1) // 2, **options
    ),
    "gru": GRU,
    "gru-original": lambda *sizes, **options: GRU(*sizes, reset_after=False, **options),
}
each_cell = pytest.mark.parametrize("cell", CELLS)
each_engine = pytest.mark.parametrize("engine", ENGINES)


def make(cell: str, X: int, H: int, layers: int = 1, bias: bool = True) -> DropIn:
    torch.manual_seed(X + 100 * H)
    if cell == "lstm-projected" and H < 2:
        H = 2
    return CELLS[cell](X, H, layers, bias=bias)


def states_of(value: Any) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)


def drawn_state(layer: DropIn, N: int) -> Any:
    sizes = [layer.proj_size or layer.hidden_size, layer.hidden_size]
    states = [torch.rand(layer.num_layers, N, size) - 0.5 for size in sizes]
    return tuple(states) if isinstance(layer, LSTM) else states[0]


def exact(layer: DropIn, x: Tensor, state: Any = None) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The layer's output and final states, computed by the reference in float64."""
    double = copy.deepcopy(layer).double().eval()
    if state is not None:
        state = tuple(s.double() for s in states_of(state))
        state = state if isinstance(layer, LSTM) else state[0]
    with using("reference"), torch.no_grad():
        output, last = double(x.double(), state)
    return output, states_of(last)


def error(found: Any, expected: Tensor) -> float:
    found = torch.as_tensor(found)
    assert found.shape == expected.shape
    return float((found - expected).norm() / (expected.norm() + 1e-30))


def check(layer: DropIn, engine: str, T: int, N: int) -> None:
    x, start = torch.randn(T, N, layer.input_size), drawn_state(layer, N)
    expected, last = exact(layer, x, start)
    with using(engine):
        stream = layer.stream(batch_size=N, state=start)
    stepped = torch.stack([stream(x[t]).clone() for t in range(T)])
    assert error(stepped, expected) < BAR
    for state, wanted in zip(states_of(stream.state), last, strict=True):
        assert error(state, wanted) < BAR
    stream.reset()
    assert error(stream.run(x.numpy()), expected) < BAR
    for state, wanted in zip(states_of(stream.state), last, strict=True):
        assert error(state, wanted) < BAR


@each_cell
@each_engine
@pytest.mark.parametrize(
    ("N", "X", "H", "layers"),
    [
        (1, 1, 1, 1),
        (1, 5, 17, 3),
        (2, 7, 33, 2),
        (3, 16, 8, 1),
        (4, 3, 5, 1),
        (5, 1, 65, 2),
        (1, 33, 130, 1),
    ],
)
def test_it_gives_the_layer_s_numbers(
    cell: str,
    engine: str,
    N: int,
    X: int,
    H: int,
    layers: int,
) -> None:
    check(make(cell, X, H, layers), engine, 7, N)


@settings(max_examples=60)
@given(
    cell=st.sampled_from(list(CELLS)),
    engine=st.sampled_from(ENGINES),
    T=st.integers(1, 70),  # blocks of `run` end anywhere
    N=st.integers(1, 9),
    X=st.integers(1, 40),
    H=st.integers(1, 70),
    layers=st.integers(1, 3),
    bias=st.booleans(),
)
def test_it_gives_the_layer_s_numbers_at_any_size(
    cell: str,
    engine: str,
    T: int,
    N: int,
    X: int,
    H: int,
    layers: int,
    bias: bool,
) -> None:
    check(make(cell, X, H, layers, bias), engine, T, N)


@each_engine
def test_arrays_and_tensors_of_one_or_two_dimensions(engine: str) -> None:
    """What comes out has the kind and the shape of what went in, and the same numbers."""
    layer = make("gru", 5, 9)
    x = torch.randn(5)
    with using(engine):
        stream = layer.stream()
    expected = layer(x[None])[0][0].detach()
    given_x: Any
    for given_x in (x, x.numpy(), x[None], x.numpy()[None]):
        stream.reset()
        y = stream(given_x)
        assert type(y) is type(given_x)
        assert y.shape == (*given_x.shape[:-1], 9)
        assert torch.allclose(torch.as_tensor(y).flatten(), expected, atol=1e-6)
        stream.reset()
        block = stream.run(given_x[None])
        assert type(block) is type(given_x)
        assert block.shape == (1, *given_x.shape[:-1], 9)
        assert torch.allclose(torch.as_tensor(block).flatten(), expected, atol=1e-6)
    assert stream.run(np.zeros((0, 5), np.float32)).shape == (0, 9)


@each_engine
def test_rows_may_lie_apart(engine: str) -> None:
    """Columns of a wider array, and time in the second dimension."""
    layer = make("lstm", 4, 6)
    wide = torch.randn(3, 8, 10)  # [N, T, ·]
    x = wide[..., 2:6].transpose(0, 1)
    with using(engine):
        stream = layer.stream(batch_size=3)
    expected, _ = exact(layer, x)
    assert error(stream.run(x), expected) < BAR
    stream.reset()
    assert error(stream.run(x.numpy()), expected) < BAR
    stream.reset()
    assert error(np.stack([stream(step).copy() for step in x.numpy()]), expected) < BAR


@each_engine
def test_out_is_written_and_returned(engine: str) -> None:
    layer = make("gru", 5, 9)
    with using(engine):
        stream = layer.stream()
    x = torch.randn(6, 5)
    expected, _ = exact(layer, x)
    out = np.full(9, np.nan, np.float32)
    assert stream(x[0].numpy(), out) is out
    assert error(out, expected[0]) < BAR
    stream.reset()
    outs = torch.full((6, 9), torch.nan)
    assert stream.run(x, out=outs) is outs
    assert error(outs, expected) < BAR


@pytest.mark.parametrize("isa", INSTRUCTION_SETS)
def test_the_output_is_one_array_overwritten_by_each_step(isa: str) -> None:
    with using(isa):
        stream = make("gru", 3, 5).stream()
    x = np.ones(3, np.float32)
    first = stream(x)
    before = first.copy()
    assert stream(x) is first
    assert (first != before).any()


@each_engine
@each_cell
def test_state_can_be_read_written_and_put_back(cell: str, engine: str) -> None:
    layer = make(cell, 4, 9, 2)
    x = torch.randn(12, 3, 4)
    with using(engine):
        stream = layer.stream(batch_size=3)
    whole = stream.run(x)
    stream.reset()
    stream.run(x[:5])
    saved = stream.state
    assert all(s.shape[:2] == (2, 3) for s in states_of(saved))
    rest = stream.run(x[5:])
    assert torch.allclose(rest, whole[5:], atol=1e-6)
    stream.state = saved  # what was read was not changed by the steps since
    assert torch.equal(stream.run(x[5:]), rest)
    # the layer takes it, and the stream takes the layer's, and NumPy's
    assert torch.allclose(layer(x[5:], saved)[0], rest, atol=1e-6)
    _, last = layer(x[:5])
    arrays = tuple(state.detach().numpy() for state in states_of(last))
    stream.state = arrays if len(arrays) > 1 else arrays[0]
    assert torch.allclose(stream.run(x[5:]), rest, atol=1e-6)
    stream.reset()
    assert torch.equal(stream.run(x), whole)


@each_engine
def test_one_row_s_state_needs_no_batch(engine: str) -> None:
    layer = make("lstm", 4, 9, 2)
    x = torch.randn(12, 4)
    _, last = layer(x[:5])
    with using(engine):
        stream = layer.stream(state=last)
    assert torch.allclose(stream.run(x[5:]), layer(x)[0][5:], atol=1e-6)
    stream.reset()  # back to what it was made with
    for state, wanted in zip(states_of(stream.state), last, strict=True):
        assert torch.equal(state[:, 0], wanted)


@each_engine
def test_a_clone_goes_its_own_way(engine: str) -> None:
    layer = make("gru", 4, 9, 2)
    x = torch.randn(6, 4)
    with using(engine):
        stream = layer.stream(state=torch.rand(2, 1, 9))
    whole = stream.run(x)
    stream.reset()
    stream.run(x[:3])
    clone = stream.clone()
    y = clone(x[3]).clone()
    assert torch.allclose(y, whole[3], atol=1e-6)
    kept = stream(x[3])
    clone(x[4])
    assert torch.allclose(kept, whole[3], atol=1e-6), "a clone has an output of its own"
    assert torch.allclose(stream.run(x[4:]), whole[4:], atol=1e-6)
    clone.reset()
    del stream
    gc.collect()
    assert torch.allclose(clone.run(x), whole, atol=1e-6), "its start and its weights live on"


@each_engine
def test_later_training_does_not_change_a_stream(engine: str) -> None:
    layer = make("lstm-projected", 4, 9, 2)
    x = torch.randn(6, 4)
    with using(engine):
        stream = layer.stream()
    before = stream.run(x)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    stream.reset()
    assert torch.equal(stream.run(x), before)


@each_engine
def test_dropout_is_not_applied(engine: str) -> None:
    layer = LSTM(3, 5, num_layers=2, dropout=0.5)
    x = torch.randn(6, 3)
    expected, _ = exact(layer, x)
    with using(engine):
        assert error(layer.stream().run(x), expected) < BAR


@each_cell
@each_engine
def test_nan_stays_in_its_row(cell: str, engine: str) -> None:
    """It comes out where and when it went in, and nowhere else."""
    layer = make(cell, 4, 9)
    x = torch.randn(6, 3, 4)
    clean = x.clone()
    x[2, 1, 0] = torch.nan
    with using(engine):
        stream = layer.stream(batch_size=3)
    y = stream.run(x)
    stream.reset()
    expected = stream.run(clean)
    assert y[2:, 1].isnan().all()
    y[2:, 1] = expected[2:, 1]
    assert torch.allclose(y, expected, atol=1e-6)
    stream.reset()
    assert torch.allclose(stream.run(clean), expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_other_dtypes_run_in_a_loop(dtype: torch.dtype) -> None:
    layer = make("gru", 4, 9, 2).to(dtype)
    x = torch.randn(6, 2, 4, dtype=dtype)
    found = layer.stream(batch_size=2).run(x)
    assert found.dtype == dtype
    assert not found.requires_grad
    assert torch.allclose(found, layer(x)[0], atol=1e-2 if dtype == torch.bfloat16 else 1e-12)


class Mallinfo(ctypes.Structure):
    """The C library's struct mallinfo2: hblkhd is the fifth field, uordblks the eighth."""

    _fields_ = [("fields", ctypes.c_size_t * 10)]


def allocated() -> tuple[int, int]:
    """Blocks that Python holds, and bytes that the C library's allocator has handed out."""
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = Mallinfo
    found = mallinfo().fields
    return sys.getallocatedblocks(), found[7] + found[4]


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="needs the GNU C library")
@pytest.mark.parametrize("isa", INSTRUCTION_SETS)
@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_a_step_allocates_nothing(kind: str, isa: str) -> None:
    """Neither does a long run into an array given; 10 000 steps leave every counter as it was."""
    with using(isa):
        stream = make("lstm", 16, 33, 2).stream(batch_size=2)
    x: Any = torch.randn(2, 16)
    block: Any = torch.randn(100, 2, 16)
    out: Any = torch.empty(100, 2, 33)
    if kind == "array":
        x, block, out = x.numpy(), block.numpy(), out.numpy()

    def work() -> None:
        for _ in range(5000):
            stream(x)
        for _ in range(50):
            stream.run(block, out)

    work()
    allocated()
    gc.collect()
    gc.disable()
    try:
        before = allocated()
        work()
        after = allocated()
        assert after[0] - before[0] < 100  # the counting itself; a block a step would be 10 000
        assert after[1] - before[1] < 2048
        tracemalloc.start()
        work()
        tracemalloc.clear_traces()
        tracemalloc.reset_peak()
        start, _ = tracemalloc.get_traced_memory()
        work()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert (
        peak - start < 2048
    )  # what reading an argument takes for a moment, not what steps add up to


def test_two_threads_in_one_stream_are_refused() -> None:
    """Not left to spoil each other's numbers; the interpreter is free while a run goes on."""
    stream = LSTM(64, 256).stream()
    block, out = torch.randn(20_000, 64), torch.empty(20_000, 256)
    thread = threading.Thread(target=stream.run, args=(block, out))
    thread.start()
    refused = False
    while thread.is_alive() and not refused:
        try:
            stream(block[0])
        except RuntimeError as error:
            refused = "another thread" in str(error)
    thread.join()
    assert refused
    stream(block[0])


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda s: s([0.0] * 5),
            TypeError,
            "Stream: x must be a NumPy array or a tensor, got list",
        ),
        (
            lambda s: s(np.zeros(5)),
            ValueError,
            'Stream: x is float64, expected float32: x.astype("float32")',
        ),
        (
            lambda s: s(torch.zeros(5, dtype=torch.float64)),
            ValueError,
            "Stream: x is torch.float64, expected torch.float32: x.float()",
        ),
        (
            lambda s: s(np.zeros(4, np.float32)),
            ValueError,
            "Stream: x has shape [4], expected [5] or [1, 5]",
        ),
        (
            lambda s: s(torch.zeros(2, 5)),
            ValueError,
            "Stream: x has shape [2, 5], expected [5] or [1, 5]",
        ),
        (lambda s: s(np.float32(1)), ValueError, "Stream: x has shape [], expected [5] or [1, 5]"),
        (
            lambda s: s(np.zeros((1, 1, 1, 5), np.float32)),
            ValueError,
            "Stream: x has 4 dimensions, expected at most 3",
        ),
        (
            lambda s: s(np.zeros(10, np.float32)[::2]),
            ValueError,
            "Stream: x has features that do not lie side by side, expected a contiguous last "
            "dimension",
        ),
        (
            lambda s: s(torch.zeros(10)[::2]),
            ValueError,
            "Stream: x has features that do not lie side by side, expected a contiguous last "
            "dimension",
        ),
        (
            lambda s: s(torch.zeros(5, device="meta")),
            ValueError,
            "Stream: x is on meta, expected it on the CPU",
        ),
        (
            lambda s: s.run(torch.zeros(5)),
            ValueError,
            "Stream: block has shape [5], expected [T, 5] or [T, 1, 5]",
        ),
        (
            lambda s: s.run([0.0]),
            TypeError,
            "Stream: block must be a NumPy array or a tensor, got list",
        ),
        (
            lambda s: s(np.zeros(5, np.float32), np.zeros(8, np.float32)),
            ValueError,
            "Stream: out has shape [8], expected [9]",
        ),
        (
            lambda s: s.run(torch.zeros(3, 5), torch.zeros(2, 9)),
            ValueError,
            "Stream: out has shape [2, 9], expected [3, 9]",
        ),
        (
            lambda s: s.run(torch.zeros(3, 5), torch.zeros(3, 1, 9)),
            ValueError,
            "Stream: out has shape [3, 1, 9], expected [3, 9]",
        ),
        (
            lambda s: s.run(torch.zeros(3, 5), torch.zeros(3, 18)[:, ::2]),
            ValueError,
            "Stream: out has features that do not lie side by side, expected a contiguous last "
            "dimension",
        ),
        (
            lambda s: s.run(torch.zeros(3, 5), torch.zeros(3, 12)[:, :9]),
            ValueError,
            "Stream: out is not contiguous",
        ),
        (
            lambda s: s(np.zeros(5, np.float32), np.frombuffer(bytes(36), np.float32)),
            ValueError,
            "Stream: out is read-only",
        ),
        (
            lambda s: setattr(s, "state", torch.zeros(1, 2, 9)),
            ValueError,
            "GRU: h_0 must have shape [1, 1, 9] (layers * directions, batch, size), got [1, 2, 9] "
            "(torch.nn: Expected hidden size (1, 1, 9), got [1, 2, 9])",
        ),
    ],
)
def test_errors_name_the_argument(
    call: Callable[[Stream], Any], kind: type[Exception], message: str
) -> None:
    stream = make("gru", 5, 9).stream()
    with pytest.raises(kind) as caught:
        call(stream)
    assert str(caught.value) == message
    stream(np.zeros(5, np.float32))  # and the stream is none the worse


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: GRU(5, 9, bidirectional=True).stream(),
            ValueError,
            "GRU: a stream knows no future, so bidirectional must be False, got True",
        ),
        (lambda: GRU(5, 9).stream(0), ValueError, "GRU: batch_size must be at least 1, got 0"),
        (
            lambda: GRU(5, 9).stream(1.0),  # type: ignore[arg-type]
            TypeError,
            "GRU: batch_size must be an integer, got float",
        ),
        (
            lambda: LSTM(5, 9).stream(state=torch.zeros(1, 1, 9)),
            TypeError,
            "LSTM: hx must be a tuple (h_0, c_0), got a tensor",
        ),
    ],
)
def test_errors_in_making_one(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message


def test_the_loop_s_errors_name_the_argument() -> None:
    stream = make("gru", 5, 9).double().stream()
    with pytest.raises(ValueError, match=r"Stream: x is torch.float32, expected torch.float64"):
        stream(np.zeros(5, np.float32))
    with pytest.raises(ValueError, match=r"x has shape \[4\], expected \[5\] or \[1, 5\]"):
        stream(np.zeros(4))
    with pytest.raises(
        ValueError, match=r"block has shape \[5\], expected \[T, 5\] or \[T, 1, 5\]"
    ):
        stream.run(np.zeros(5))
    with pytest.raises(TypeError, match="x must be a NumPy array or a tensor, got list"):
        stream([0.0])  # type: ignore[type-var]


def test_it_says_what_it_is() -> None:
    stream = make("gru", 5, 9, 2).stream(batch_size=3)
    assert repr(stream) == "Stream(GRU, input_size=5, num_layers=2, batch_size=3)"
