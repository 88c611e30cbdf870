"""Tools that record a model: torch's own layer is what they get, or one clear line; never a number
that is wrong elsewhere. So everything recorded is run at other lengths and batch sizes.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import unrolled
from unrolled import cells
from unrolled.layers import GRU, LSTM, RNN, Recurrent
from unrolled.layers.layer import Layer

# Both are torch's own: what it says of its tracer, its quantization and its exporters.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:torch"),
]

trace: Any = torch.jit.trace  # untyped
export: Any = torch.onnx.export  # also to a file in memory
to_graph: Any = make_fx
SIZES = [(9, 3), (20, 7), (1, 1)]

IN_TORCH: dict[str, Callable[[], Layer]] = {
    "LSTM": lambda: LSTM(6, 4),
    "LSTM-deep": lambda: LSTM(6, 4, 2, batch_first=True, bidirectional=True, dropout=0.5),
    "LSTM-projected": lambda: LSTM(6, 4, proj_size=3, bias=False),
    "GRU": lambda: GRU(6, 4, bidirectional=True, learn_initial=True),
    "GRU-noise": lambda: GRU(6, 4, 2, recurrent_dropout=0.3, weight_drop=0.2).eval(),
    "RNN": lambda: RNN(6, 4, 2, batch_first=True),
    "RNN-relu": lambda: RNN(6, 4, nonlinearity="relu", forget_bias=None),
    "any-cell": lambda: Recurrent(cells.LSTM, 6, 4, bidirectional=True),
}

NOT_IN_TORCH: dict[str, tuple[Callable[[], Layer], str]] = {
    "published GRU": (lambda: GRU(6, 4, reset_after=False), "cell OriginalGRU()"),
    "sigmoid": (lambda: RNN(6, 4, nonlinearity="sigmoid"), "cell RNN(nonlinearity=sigmoid)"),
    "normalised": (lambda: LSTM(6, 4, layer_norm=True), "layer_norm=True"),
    "clipped": (lambda: LSTM(6, 4, cell_clip=1.0), "cell_clip=1.0"),
    "activation": (lambda: GRU(6, 4, activation="relu"), "activation=relu"),
    "zoneout": (lambda: GRU(6, 4, zoneout=0.1).eval(), "zoneout=0.1"),
    "noise": (lambda: GRU(6, 4, recurrent_dropout=0.1), "recurrent_dropout=0.1"),
    "weight_drop": (lambda: GRU(6, 4, weight_drop=0.1), "weight_drop=0.1"),
    "projection": (lambda: GRU(6, 4, proj_size=2), "proj_size=2"),
    "heads": (lambda: Recurrent(cells.GRU, 6, 4, heads=2), "heads=2"),
    "other cell": (lambda: Recurrent(cells.MGU, 6, 4), "cell MGU()"),
}


class Model(nn.Module):
    """A layer in the middle of something; with ``packed`` its input is packed."""

    def __init__(self, layer: Layer, packed: bool = False) -> None:
        super().__init__()
        self.layer, self.packed = layer, packed

    def forward(self, x: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        if self.packed:
            sequences = pack_padded_sequence(
                x, more[0], batch_first=self.layer.batch_first, enforce_sorted=False
            )
            output, last = self.layer(sequences)
            output, _ = pad_packed_sequence(output, batch_first=self.layer.batch_first)
        elif more and more[0].dtype == torch.int64:
            output, last = self.layer(x * 2, lengths=more[0])
        elif more:
            output, last = self.layer(x * 2, more[0] if len(more) == 1 else more)
        else:
            output, last = self.layer(x * 2)
        return output.sin(), *(last if isinstance(last, tuple) else [last])


def given(layer: Layer, steps: int, rows: int, more: str, full: bool = False) -> tuple[Any, ...]:
    x = torch.randn(*((rows, steps) if layer.batch_first else (steps, rows)), 6)
    if more == "states":
        expected = layer.expected(2 if layer.bidirectional else 1)
        sizes = [size for _, size in expected.states]
        return x, *(torch.randn(expected.stacked, rows, size) for size in sizes)
    if more in ("lengths", "packed"):
        low = 0 if more == "lengths" else 1
        lengths = torch.full((rows,), steps) if full else torch.randint(low, steps + 1, (rows,))
        lengths[-1] = steps
        return x, lengths
    return (x,)


@pytest.mark.parametrize("more", ["nothing", "states", "lengths", "packed"])
@pytest.mark.parametrize("name", IN_TORCH)
def test_traced(name: str, more: str) -> None:
    """Lengths are full while tracing: what is decided then must not hold for ever."""
    layer = IN_TORCH[name]().eval()
    model = Model(layer, more == "packed").eval()
    with torch.no_grad():
        traced = trace(model, given(layer, 9, 3, more, full=True))
    for steps, rows in SIZES:
        arguments = given(layer, steps, rows, more)
        torch.testing.assert_close(traced(*arguments), model(*arguments), rtol=1e-5, atol=1e-5)


def test_traced_where_it_trains_and_in_bfloat16() -> None:
    layer, x = LSTM(6, 4, 2, dropout=0.5), torch.randn(12, 3, 6)
    traced = trace(Model(layer), (torch.randn(9, 2, 6),), check_trace=False)
    torch.manual_seed(0)
    found = traced(x)
    torch.manual_seed(0)
    torch.testing.assert_close(found, Model(layer)(x), rtol=1e-5, atol=1e-5)
    leaves, model = list(layer.parameters()), Model(layer).eval()
    ours = torch.autograd.grad(model(x)[0].sum(), leaves)
    traced = trace(model, (torch.randn(9, 2, 6),))
    theirs = torch.autograd.grad(traced(x)[0].sum(), leaves)
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-4)
    gru = GRU(6, 4).bfloat16().eval()
    traced = trace(gru, (x.bfloat16(),), check_trace=False)
    torch.testing.assert_close(traced(x[:9].bfloat16()), gru(x[:9].bfloat16()), rtol=0, atol=0.03)


def test_a_layer_alone_and_one_sequence() -> None:
    """The layer's node is torch's, and remains one whatever engine is asked for."""
    layer, x = GRU(6, 4), torch.randn(9, 6)
    with unrolled.using("reference"):
        traced = trace(layer, (x,))
    assert "aten::gru(" in str(traced.inlined_graph)
    torch.testing.assert_close(traced(x[:4]), layer(x[:4]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NOT_IN_TORCH)
def test_what_torch_has_not_is_refused(name: str) -> None:
    make, beyond = NOT_IN_TORCH[name]
    layer = make()
    with pytest.raises(RuntimeError) as error:
        trace(layer, (torch.randn(9, 3, 6),))
    assert str(error.value).startswith(f"{layer!r}: torch.jit.trace")
    assert f"without {beyond}; torch.export" in str(error.value)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"reset": torch.zeros(9, 3, dtype=torch.bool)}, "reset="),
        ({"return_states": True}, "return_states=True"),
        ({"return_gates": True}, "return_gates=True"),
    ],
)
def test_what_a_call_asks_beyond_torch_is_refused(more: dict[str, Any], named: str) -> None:
    """A mask that is false everywhere while tracing as well: it may be true later."""

    class Asking(Model):
        def forward(self, x: Tensor, *_: Tensor) -> Any:
            return self.layer(x, **more)

    with pytest.raises(RuntimeError, match=f"LSTM\\(6, 4\\): .* without {named}"):
        trace(Asking(LSTM(6, 4)), (torch.randn(9, 3, 6),))


def test_a_reason_is_given_wherever_the_equations_differ() -> None:
    for make in IN_TORCH.values():
        assert not make().description.beyond_torch(training=False)
    for make, _ in NOT_IN_TORCH.values():
        layer = make()
        assert layer.description.beyond_torch(training=True) or layer.options.weight_drop


@pytest.mark.parametrize("more", ["nothing", "states", "lengths", "packed"])
@pytest.mark.parametrize("name", ["LSTM-deep", "GRU", "RNN", "RNN-relu", "any-cell"])
def test_onnx(name: str, more: str) -> None:
    runtime: Any = pytest.importorskip("onnxruntime")
    layer = IN_TORCH[name]().eval()
    model, file = Model(layer, more == "packed").eval(), io.BytesIO()
    arguments = given(layer, 9, 3, more)
    names = [f"input_{k}" for k in range(len(arguments))]
    axes: dict[str, dict[int, str]] = {names[0]: {0: "a", 1: "b"}}
    axes |= {name: {1 if more == "states" else 0: "n"} for name in names[1:]}
    export(
        model, arguments, file, dynamo=False, input_names=names, dynamic_axes=axes, verbose=False
    )
    session = runtime.InferenceSession(file.getvalue())
    for steps, rows in SIZES:
        arguments = given(layer, steps, rows, more)
        numbers = {name: value.numpy() for name, value in zip(names, arguments, strict=True)}
        found = [torch.tensor(each) for each in session.run(None, numbers)]
        torch.testing.assert_close(found, [*model(*arguments)], rtol=1e-5, atol=1e-5)


def test_onnx_of_a_layer_alone() -> None:
    """The exporter hands on every default of `forward` by position."""
    runtime: Any = pytest.importorskip("onnxruntime")
    layer, file = GRU(6, 4, batch_first=True).eval(), io.BytesIO()
    export(
        layer,
        (torch.randn(3, 9, 6),),
        file,
        dynamo=False,
        input_names=["x"],
        dynamic_axes={"x": {0: "N", 1: "T"}},
    )
    x = torch.randn(5, 20, 6)
    found, _ = runtime.InferenceSession(file.getvalue()).run(None, {"x": x.numpy()})
    torch.testing.assert_close(torch.tensor(found), layer(x)[0], rtol=1e-5, atol=1e-5)


def exported_by_dynamo(model: nn.Module, x: Tensor) -> bytes:
    pytest.importorskip("onnxscript")
    found: Any = torch.onnx.export(model, (x,), dynamo=True, verbose=False)
    written: bytes = found.model_proto.SerializeToString()
    return written


def test_onnx_by_dynamo() -> None:
    """As torch's own layer goes out: for the number of steps that it was exported with."""
    runtime: Any = pytest.importorskip("onnxruntime")
    layer, x = LSTM(6, 4, 2, bidirectional=True).eval(), torch.randn(9, 3, 6)
    written = exported_by_dynamo(layer, x)
    assert written.count(b"LSTM") >= 2
    session = runtime.InferenceSession(written)
    found = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    torch.testing.assert_close(torch.tensor(found), layer(x)[0], rtol=1e-5, atol=1e-5)


def test_onnx_by_dynamo_refused() -> None:
    layer = GRU(6, 4, reset_after=False).eval()
    with pytest.raises(Exception, match=r"torch.onnx.export\(dynamo=True\) can only record"):
        exported_by_dynamo(layer, torch.randn(9, 3, 6))


@pytest.mark.parametrize("name", ["LSTM", "published GRU"])
def test_script_is_refused(name: str) -> None:
    layer = {**IN_TORCH, "published GRU": NOT_IN_TORCH["published GRU"][0]}[name]()
    for module in (layer, Model(layer)):
        with pytest.raises(RuntimeError, match="cannot read this layer; call unrolled"):
            torch.jit.script(module)
    assert isinstance(layer, Layer)


class Tagger(nn.Module):
    """A layer that torch.fx can see around."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer, self.head = layer, nn.Linear(4, 2)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        output, _ = self.layer(x, lengths=lengths)
        found: Tensor = self.head(output)
        return found


@pytest.mark.parametrize("name", [*NOT_IN_TORCH])
def test_fx_sees_a_leaf(name: str) -> None:
    """Whatever the layer, as torch.nn's are to it."""
    layer = NOT_IN_TORCH[name][0]().eval()
    model = Tagger(layer if layer.output_size == 4 else GRU(6, 4))
    graph = torch.fx.symbolic_trace(model)
    (node,) = [node for node in graph.graph.nodes if node.target == "layer"]
    assert node.op == "call_module"
    assert len(node.args) == len(node.kwargs) == 1
    for steps, rows in SIZES:
        x, lengths = torch.randn(steps, rows, 6), torch.arange(rows) % (steps + 1)
        torch.testing.assert_close(graph(x, lengths), model(x, lengths))
    with pytest.raises(RuntimeError, match="a layer alone is one node and has nothing to trace"):
        torch.fx.symbolic_trace(layer)


def test_fx_quantizes_around_a_layer() -> None:
    model = Tagger(GRU(6, 4)).eval()
    given = (torch.randn(9, 3, 6), torch.tensor([9, 4, 7]))
    prepared = prepare_fx(model, get_default_qconfig_mapping(), given)
    assert prepared.layer is model.layer or isinstance(prepared.layer, GRU)
    torch.testing.assert_close(prepared(*given), model(*given))
    quantized = convert_fx(prepared)
    torch.use_deterministic_algorithms(False)  # torch's quantized layers have no such code
    torch.testing.assert_close(quantized(*given), model(*given), rtol=0, atol=0.1)


@pytest.mark.parametrize("pre_dispatch", [False, True])
@pytest.mark.parametrize("mode", ["real", "symbolic"])
@pytest.mark.parametrize("steps", [9, 3])
def test_make_fx(mode: str, pre_dispatch: bool, steps: int) -> None:
    """The operator is what is recorded, however short the sequence."""
    layer = GRU(6, 4, reset_after=False)
    weights: dict[str, Tensor] = dict(layer.named_parameters())

    def run(x: Tensor, weights: dict[str, Tensor]) -> Tensor:
        found: Tensor = torch.func.functional_call(layer, weights, (x,))[0]
        return found.sin()

    graph = to_graph(run, tracing_mode=mode, pre_dispatch=pre_dispatch)(
        torch.randn(steps, 3, 6), weights
    )
    assert sum("unrolled.recurrence" in str(node.target) for node in graph.graph.nodes) == 1
    sizes = SIZES if mode == "symbolic" else [(steps, 3)]
    for size in sizes[:2]:
        x = torch.randn(*size, 6)
        torch.testing.assert_close(graph(x, weights), run(x, weights))
