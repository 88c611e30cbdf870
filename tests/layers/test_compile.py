"""torch.compile and torch.export: a layer is one node, whatever its options, and nothing else.

Compiling takes about half a second for each small model, so there are few of them.
"""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.exc import Unsupported
from torch._dynamo.testing import CompileCounterWithBackend
from torch.export import Dim
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import unrolled
from unrolled.cells import Cell, sigmoid, tanh
from unrolled.layers import GRU, LSTM, Recurrent
from unrolled.layers.layer import Layer


class Peephole(Cell):
    """A cell of one's own, with what others lack: a per-unit and a scalar weight."""

    def step(W: Any, U: Any, V: Any, s: Any, x: Any, h: Any, c: Any) -> Any:  # noqa: N805
        f = sigmoid(W.f(x) + U.f(h) + V.p * c)
        c = f * c + (1 - f) * tanh(W.c(x) + s.q * h)
        return tanh(c), c


LAYERS: dict[str, Callable[[], Layer]] = {
    "LSTM-projected": lambda: LSTM(6, 4, 2, proj_size=3, bidirectional=True),
    "GRU-dropout": lambda: GRU(6, 4, 2, batch_first=True, dropout=0.5),
    "GRU-original": lambda: GRU(6, 4, bias=False, reset_after=False),
    "LSTM-noise": lambda: LSTM(6, 4, recurrent_dropout=0.3, zoneout=0.2, layer_norm=True),
    "own-cell": lambda: Recurrent(Peephole, 6, 4, learn_initial=True),
    "LSTM-weight-norm": lambda: weight_norm(LSTM(6, 4), "weight_hh_l0"),
}


class Model(torch.nn.Module):
    """A layer in the middle of something."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, **more: Any) -> tuple[Tensor, ...]:
        output, last = self.layer(x * 2, **more)
        return output.sin(), *(last if isinstance(last, tuple) else [last])


@pytest.fixture(autouse=True)
def _afresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def recurrences(graph: torch.fx.Graph) -> int:
    return sum("unrolled.recurrence" in str(node.target) for node in graph.nodes)


def numbers(model: Callable[..., Any], layer: torch.nn.Module, x: Tensor, **more: Any) -> Any:
    """Outputs and gradients; dropout draws the same each time."""
    torch.manual_seed(0)
    found = model(x, **more)
    loss = sum(value.float().square().sum() for value in found)
    leaves = [x, *layer.parameters(), *(v for v in more.values() if v.is_floating_point())]
    return found, torch.autograd.grad(loss, leaves)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_one_node(name: str) -> None:
    layer, counter = LAYERS[name](), CompileCounterWithBackend("aot_eager")
    model = Model(layer)
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    x = torch.randn(9, 5, 6, requires_grad=True)
    torch.testing.assert_close(numbers(compiled, layer, x), numbers(model, layer, x))
    assert [recurrences(graph.graph) for graph in counter.graphs] == [layer.num_layers]
    model.eval()
    torch.testing.assert_close(compiled(x), model(x))


def test_lengths_resets_and_states_of_any_size() -> None:
    """One compilation serves every number of steps and rows, few steps and one row included."""
    layer, counter = GRU(6, 4), CompileCounterWithBackend("aot_eager")
    model = Model(layer)
    compiled = torch.compile(model, backend=counter, fullgraph=True, dynamic=True)
    for steps, rows in [(9, 5), (20, 7), (3, 2)]:
        x = torch.randn(steps, rows, 6, requires_grad=True)
        more = {
            "lengths": torch.arange(rows) % steps,
            "reset": torch.rand(steps, rows) < 0.3,
            "hx": torch.randn(1, rows, 4, requires_grad=True),
        }
        expected = numbers(model, layer, x, **more)
        torch.testing.assert_close(numbers(compiled, layer, x, **more), expected)
    assert sum(recurrences(graph.graph) for graph in counter.graphs) == 1


def test_programs_that_tracing_meets_first() -> None:
    """Two layers in one graph, the second of which returns more than the layer before has seen."""
    first, second, x = GRU(6, 4), LSTM(4, 4), torch.randn(9, 5, 6)

    def run(x: Tensor) -> Any:
        output, _, sequences = second(first(x)[0], return_states=True, return_gates=True)
        return output, sequences.states["c"], sequences.gates["f"]

    found = torch.compile(run, backend="aot_eager", fullgraph=True)(x)
    torch.testing.assert_close(found, run(x))


def test_checkpoints() -> None:
    layer = LSTM(6, 4)

    def run(x: Tensor) -> Any:
        automatic = layer(x, checkpoint="auto")[0]
        return automatic, layer(x, checkpoint=4)[0]

    compiled = torch.compile(run, backend="aot_eager", fullgraph=True, dynamic=True)
    x = torch.randn(9, 5, 6, requires_grad=True)
    torch.testing.assert_close(numbers(compiled, layer, x), numbers(run, layer, x))


def test_lengths_are_checked_where_they_can_be_read() -> None:
    """The compiler cannot look at values: the operator does, lest it read foreign memory."""
    compiled = torch.compile(LSTM(6, 4), backend="eager", fullgraph=True)
    x = torch.randn(9, 2, 6)
    compiled(x, lengths=torch.tensor([9, 0]))
    for wrong in (10, -1):
        with pytest.raises(ValueError, match=f"lengths must lie between 0 and .* 9 steps.*{wrong}"):
            compiled(x, lengths=torch.tensor([3, wrong]))


def test_autocast() -> None:
    layer, counter = LSTM(6, 4), CompileCounterWithBackend("aot_eager")
    model, x = Model(layer), torch.randn(9, 5, 6, requires_grad=True)
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    compiled(x)
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = numbers(compiled, layer, x), numbers(model, layer, x)
    assert found[0][0].dtype == torch.bfloat16
    torch.testing.assert_close(found, expected)
    assert len(counter.graphs) == 2


def test_the_engine_asked_for() -> None:
    """An engine is part of what is compiled; without one, the processor's fastest at run time."""
    counter = CompileCounterWithBackend("eager")
    compiled, x = torch.compile(GRU(6, 4), backend=counter), torch.randn(9, 5, 6)

    def asked() -> list[str]:
        nodes = [node for graph in counter.graphs for node in graph.graph.nodes]
        return [node.args[6] for node in nodes if "recurrence" in str(node.target)]

    expected = compiled(x)
    with unrolled.using("baseline"):
        torch.testing.assert_close(compiled(x), expected, rtol=1e-5, atol=1e-5)
    compiled(x)
    assert asked() == ["", "baseline"]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # Dynamo looks at it
def test_kernels_are_compiled_while_a_layer_is_traced() -> None:
    """A cell that nobody has run before is one node all the same."""

    class Fresh(Cell):
        def step(W: Any, U: Any, x: Any, h: Any) -> Any:  # noqa: N805
            return tanh(W.a(x) - U.a(h)) - 0.75 * h

    layer, x, counter = (
        Recurrent(Fresh(), 6, 4),
        torch.randn(5, 3, 6),
        CompileCounterWithBackend("eager"),
    )
    output, last = torch.compile(layer, backend=counter, fullgraph=True)(x)
    assert recurrences(counter.graphs[0].graph) == 1
    expected, expected_last = layer(x)
    torch.testing.assert_close((output, last), (expected, expected_last))


# Dynamo's own, where it goes on behind a break with a tensor that has a history.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_what_the_kernels_cannot_do_is_a_break() -> None:
    """As torch.nn's layers are: right numbers, and the rest of the model compiled."""
    layer, x = LSTM(6, 4), torch.randn(9, 2, 6)

    def tagger(x: Tensor) -> Tensor:
        packed = pack_padded_sequence(x * 2, torch.tensor([9, 5]))
        padded: Tensor = pad_packed_sequence(layer(packed)[0])[0]
        return padded.sin()

    torch.testing.assert_close(torch.compile(tagger, backend="eager")(x), tagger(x))
    model, x = Model(layer).double(), x.double()
    with pytest.raises(Unsupported):
        torch.compile(model, backend="eager", fullgraph=True)(x)
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(model, backend="eager")(x), model(x))


def test_torchs_own_layers_are_treated_as_before() -> None:
    ours, theirs, x = LSTM(6, 4), torch.nn.LSTM(6, 4), torch.randn(9, 5, 6)
    torch.compile(ours, backend="eager", fullgraph=True)(x)
    assert not torch._dynamo.config.allow_rnn
    with pytest.raises(Unsupported, match="RNN, GRU, or LSTM"):
        torch.compile(theirs, backend="eager", fullgraph=True)(x)


LATE = """
import sys, torch
from unrolled import GRU

layer, finders = GRU(6, 4), len(sys.meta_path)
assert "torch._dynamo" not in sys.modules
x = torch.randn(9, 5, 6, requires_grad=True)
h = torch.randn(1, 5, 4, requires_grad=True)
compiled = torch.compile(layer, fullgraph=True)
leaves = [x, h, *layer.parameters()]
found, expected = compiled(x, h)[0], layer(x, h)[0]
torch.testing.assert_close(found, expected)
found, expected = (torch.autograd.grad(y.sum(), leaves) for y in (found, expected))
torch.testing.assert_close(found, expected)
assert len(sys.meta_path) == finders - 1
"""


def test_a_compiler_loaded_after_the_layers() -> None:
    """By torch's default backend; it has nothing to generate here, so needs no C++ compiler."""
    command = [sys.executable, "-W", "error::UserWarning", "-c", LATE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("strict", [False, True], ids=["traced", "strict"])
def test_an_exported_model_is_loaded_and_run(strict: bool) -> None:
    layer = LSTM(6, 4, 2, batch_first=True, bidirectional=True)
    shapes = ({0: Dim("N"), 1: Dim("T")},)
    program = torch.export.export(
        layer, (torch.randn(5, 9, 6),), dynamic_shapes=shapes, strict=strict
    )
    assert recurrences(program.graph) == 2
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for rows, steps in [(5, 9), (2, 30), (1, 1)]:
        x = torch.randn(rows, steps, 6)
        torch.testing.assert_close(loaded(x), layer(x))
    loaded(x)[0].sum().backward()
    assert all(p.grad is not None for p in loaded.parameters())


def test_exported_without_gradients() -> None:
    """Then nothing is kept for backward, which says so."""
    layer, x = GRU(6, 4), torch.randn(9, 5, 6)
    with torch.no_grad():
        loaded = torch.export.export(layer, (x,)).module()
    torch.testing.assert_close(loaded(x), layer(x))
    with pytest.raises(RuntimeError, match="gru: backward needs what forward was told not to keep"):
        loaded(x)[0].sum().backward()
