"""The layer of any cell: the same call, whatever the equations have; and torch's own numbers."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

import unrolled
from unrolled import cells
from unrolled.cells import Cell
from unrolled.layers import GRU, LSTM, RNN, Recurrent, explain
from unrolled.layers.parameters import names

from .batches import ENGINES, LAYOUTS, as_list, check, laid_out, layer_options
from .cells import Bare, Fixed, Highway, Memory, Shared, ThreeStates

CELLS: dict[str, type[Cell]] = {
    cell.__name__: cell for cell in (Memory, Shared, ThreeStates, Bare, Highway, Fixed, cells.LSTM)
}
READ_INPUT = {"Bare", "Highway", "Fixed"}  # x itself stands in their equations
each_cell = pytest.mark.parametrize("name", CELLS)


def small(name: str, **more: Any) -> Recurrent:
    """Five units; as many features, where they must agree, else three."""
    return Recurrent(CELLS[name], 5 if name in READ_INPUT else 3, 5, **more)


@settings(max_examples=120)
@given(data=st.data())
def test_any_cell_on_any_shape_and_options(data: st.DataObject) -> None:
    """By every engine against pieces run alone in float64: lengths, resets, layouts, gradients."""
    name = data.draw(st.sampled_from(list(CELLS)), "cell")
    engine = data.draw(st.sampled_from(list(ENGINES)), "engine")
    steps, rows = data.draw(st.integers(1, 6), "T"), data.draw(st.integers(1, 5), "N")
    hidden = 5 if name == "Fixed" else data.draw(st.integers(1, 20), "H")
    size = hidden if name in READ_INPUT else data.draw(st.integers(1, 9), "I")
    own = layer_options(data)
    if name in READ_INPUT and own["bidirectional"]:
        own["num_layers"] = 1
    choices: Any = {"leak": [0.1 * k for k in range(hidden)]} if name == "Memory" else {}
    lengths = data.draw(st.none() | st.lists(st.integers(0, steps), min_size=rows, max_size=rows))
    reset = data.draw(st.sampled_from([None, 0.2, 1.0]), "reset")
    layer = Recurrent(CELLS[name], size, hidden, dtype=ENGINES[engine], **own, **choices)
    x = laid_out(data.draw(st.sampled_from(LAYOUTS), "layout"), steps, rows, size)
    mask = None if reset is None else torch.rand(steps, rows) < reset
    check(layer, engine, x, lengths, mask)


@each_cell
def test_the_kernels_run_it(name: str) -> None:
    assert "CPU kernels" in explain(small(name), torch.zeros(9, 2, small(name).input_size))


@pytest.mark.parametrize("way", ["kernels", "torch", "reference", "auto"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "bidirectional"])
@pytest.mark.parametrize(
    ("cell", "drop_in", "own"),
    [
        (cells.LSTM, LSTM, {}),
        (cells.LSTM, LSTM, {"proj_size": 2}),
        (cells.GRU, GRU, {}),
        (cells.RNN(nonlinearity="relu"), RNN, {"nonlinearity": "relu"}),
    ],
    ids=["LSTM", "LSTM-projected", "GRU", "RNN-relu"],
)
def test_torchs_cells_to_the_bit(
    cell: Any, drop_in: Any, own: dict[str, Any], bidirectional: bool, way: str
) -> None:
    """The weights of a seed, their names, outputs and gradients are those of the drop-in."""
    layers: list[Any] = []
    more = {"num_layers": 2, "bidirectional": bidirectional, "dropout": 0.5}
    for make in (drop_in, lambda *sizes, **given: Recurrent(cell, *sizes, **given)):
        torch.manual_seed(3)
        is_drop_in = make is drop_in
        skipped = {} if is_drop_in else {"nonlinearity"}
        layers.append(make(3, 5, **{k: v for k, v in own.items() if k not in skipped}, **more))
    ours, theirs = layers[1], layers[0]
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x, found = torch.randn(6, 3, 3), []
    for layer in (theirs, ours):
        for dtype in (torch.float32, torch.float64):
            torch.manual_seed(4)
            layer.to(dtype)
            with unrolled.using(way):
                output, last = layer(x.to(dtype), lengths=[6, 0, 2])
                inferred = layer.eval()(x.to(dtype))[0].detach()
            layer.train()
            gradients = torch.autograd.grad(output.square().sum(), list(layer.parameters()))
            found.append([output, *as_list(last), inferred, *gradients])
    for k in range(2):
        for a, b in zip(found[k], found[k + 2], strict=True):
            assert torch.equal(a, b)


def test_torchs_own_numbers_to_the_bit_where_torch_runs_it() -> None:
    layer, theirs = Recurrent(cells.LSTM, 3, 5, 2), torch.nn.LSTM(3, 5, 2)
    theirs.load_state_dict(layer.state_dict(), strict=True)
    x = torch.randn(9, 2, 3)
    with unrolled.using("torch"):
        output, (h, c) = layer(x)
    wanted, (wanted_h, wanted_c) = theirs(x)
    assert torch.equal(output, wanted)
    assert torch.equal(h, wanted_h)
    assert torch.equal(c, wanted_c)


@each_cell
def test_parameters_are_those_that_the_equations_have(name: str) -> None:
    shapes = {k: list(v.shape) for k, v in small(name).named_parameters()}
    wanted: dict[str, dict[str, list[int]]] = {
        "Memory": {"weight_ih": [15, 3], "weight_hh": [15, 5], "bias_ih": [15], "bias_hh": [15],
                   "vector": [15], "scalar": [2]},
        "Shared": {"weight_ih": [10, 3], "bias_ih": [10]},
        "ThreeStates": {"weight_ih": [10, 3], "weight_hh": [10, 5], "bias_ih": [10],
                        "bias_hh": [10]},
        "Bare": {"vector": [5]},
        "Highway": {"weight_ih": [10, 5], "weight_hh": [10, 5], "bias_ih": [10], "bias_hh": [10],
                    "scalar": [1]},
        "Fixed": {},
        "LSTM": {"weight_ih": [20, 3], "weight_hh": [20, 5], "bias_ih": [20], "bias_hh": [20]},
    }  # fmt: skip
    assert shapes == {f"{k}_l0": size for k, size in wanted[name].items()}
    saved = {k for k, v in small(name).state_dict().items() if v.numel()}
    assert saved == shapes.keys()


@each_cell
def test_unbatched_packed_empty_and_one_row_at_a_time(name: str) -> None:
    layer = small(name).double()
    x = torch.randn(7, 3, layer.input_size).double()
    output, last = layer(x, lengths=[7, 2, 5])
    alone, _ = layer(x[:, 2], lengths=5)
    torch.testing.assert_close(output[:, 2], alone)
    packed = pack_padded_sequence(x, torch.tensor([7, 2, 5]), enforce_sorted=False)
    unpacked, packed_last = (
        torch.nn.utils.rnn.pad_packed_sequence(layer(packed)[0])[0],
        layer(packed)[1],
    )
    torch.testing.assert_close(unpacked, output)
    for a, b in zip(as_list(packed_last), as_list(last), strict=True):
        torch.testing.assert_close(a, b)
    empty, state = layer(x[:0])
    assert empty.shape == (0, 3, 5)
    assert not any(each.any() for each in as_list(state))


@each_cell
def test_a_stream_has_the_layers_numbers(name: str) -> None:
    layer = small(name)
    x = torch.randn(6, 2, layer.input_size)
    for dtype in (torch.float32, torch.float64):  # by the kernels, by the reference
        expected, last = layer.to(dtype)(x.to(dtype))
        stream = layer.stream(2)
        torch.testing.assert_close(stream.run(x.to(dtype)), expected.detach())
        for a, b in zip(as_list(stream.state), as_list(last), strict=True):
            torch.testing.assert_close(a, b.detach())


@each_cell
def test_copies_are_the_same_layer(name: str) -> None:
    layer = small(name, bidirectional=True)
    x = torch.randn(5, 2, layer.input_size)
    expected, _ = layer(x)
    for twin in (copy.deepcopy(layer), copy.copy(layer), pickle.loads(pickle.dumps(layer))):
        assert repr(twin) == repr(layer)
        assert torch.equal(twin(x)[0], expected)
    other = small(name, bidirectional=True)
    other.load_state_dict(layer.state_dict(), strict=True)
    assert torch.equal(other(x)[0], expected)
    meta = small(name, bidirectional=True, device="meta")
    assert meta(x.to("meta"))[0].shape == expected.shape
    filled = meta.to_empty(device="cpu")
    filled.load_state_dict(layer.state_dict(), strict=True)
    assert torch.equal(filled(x)[0], expected)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@each_cell
def test_derivatives_of_every_kind(name: str) -> None:
    """Twice through the kernels, forward, and of a function of the parameters."""
    layer = small(name)
    x = torch.randn(4, 2, layer.input_size)

    def second(layer: Recurrent, x: Tensor) -> list[Tensor]:
        x = x.clone().requires_grad_()
        leaves = [x, *layer.parameters()]
        loss = layer(x)[0].sin().sum()
        first = torch.autograd.grad(loss, leaves, create_graph=True)
        squares = torch.stack([each.square().sum() for each in first]).sum()
        if not squares.requires_grad:  # a linear layer
            return []
        return list(torch.autograd.grad(squares, leaves, allow_unused=True))

    exact = copy.deepcopy(layer).double()
    actual = second(layer, x)
    with unrolled.using("reference"):
        expected = second(exact, x.double())
    for a, b in zip(actual, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-5)

    def run(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        output: Tensor = torch.func.functional_call(exact, parameters, (x,))[0]
        return output.square().sum()

    named: dict[str, Tensor] = dict(exact.named_parameters())
    found = torch.func.grad(run)(named, x.double())
    wanted = torch.autograd.grad(run(named, x.double()), list(named.values())) if named else []
    torch.testing.assert_close(list(found.values()), list(wanted))
    each = torch.func.vmap(lambda row: exact(row)[0])(x.double().transpose(0, 1))
    torch.testing.assert_close(each.transpose(0, 1), exact(x.double())[0])


@each_cell
def test_checkpoints_change_no_output_and_gradients_to_rounding(name: str) -> None:
    layer = small(name)
    x = torch.randn(11, 2, layer.input_size)
    found = []
    for every in (None, 3):
        output, _ = layer(x, checkpoint=every, lengths=[11, 6])
        leaves = list(layer.parameters())
        gradients = torch.autograd.grad(output.sin().sum(), leaves) if leaves else ()
        found.append((output, gradients))
    assert torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1])


def test_choices_are_given_with_a_class_or_with_the_cell() -> None:
    torch.manual_seed(0)
    first = Recurrent(cells.RNN, 3, 5, nonlinearity="relu")
    torch.manual_seed(0)
    second = Recurrent(cells.RNN(nonlinearity="relu"), 3, 5)
    assert first.cell == second.cell
    assert repr(first) == "Recurrent(RNN(nonlinearity=relu), 3, 5)"
    x = torch.randn(9, 2, 3)
    assert torch.equal(first(x)[0], second(x)[0])


def test_numbers_for_each_unit_are_counted_in_the_representation() -> None:
    layer = Recurrent(Memory, 3, 4, leak=[0.5, 0.25, 0.125, 1.0])
    assert repr(layer) == "Recurrent(Memory(leak=[4]), 3, 4)"


def test_options_are_in_the_representation() -> None:
    layer = Recurrent(
        cells.LSTM, 3, 4, 2, False, True, 0.5, True,
        proj_size=2, heads=2, recurrent_init="identity", learn_initial=True,
    )  # fmt: skip
    assert repr(layer) == (
        "Recurrent(LSTM(), 3, 4, proj_size=2, heads=2, num_layers=2, bias=False, "
        "batch_first=True, dropout=0.5, bidirectional=True, recurrent_init=identity, "
        "learn_initial=True)"
    )


@pytest.mark.parametrize("engine", ["reference", "auto"])
def test_heads_are_layers_side_by_side(engine: str) -> None:
    """U is block-diagonal: with W and b as they are it is a whole U with zeros elsewhere."""
    torch.manual_seed(0)
    layer = Recurrent(cells.GRU, 3, 6, heads=3).double()
    assert layer.weight_hh_l0.shape == (18, 2)
    whole = Recurrent(cells.GRU, 3, 6).double()
    whole.load_state_dict({**dict(layer.named_parameters()), "weight_hh_l0": torch.zeros(18, 6)})
    with torch.no_grad():
        for gate in ("U.r", "U.z", "U.n"):
            blocks = layer.gate(gate).chunk(3)
            whole.gate(gate).copy_(torch.block_diag(*blocks))  # type: ignore[no-untyped-call]
    x = torch.randn(9, 2, 3).double()
    with unrolled.using(engine):
        torch.testing.assert_close(layer(x), whole(x))
        assert "torch" not in explain(layer, x).partition(":")[2].partition(",")[0]


def test_a_gate_is_a_view_of_its_rows() -> None:
    layer: Any = Recurrent(Memory, 3, 5, 2, bidirectional=True)
    x = torch.randn(4, 2, 3)
    assert torch.equal(layer.gate("W.f"), layer.weight_ih_l0[5:10])
    assert torch.equal(layer.gate("U.g", 1), layer.weight_hh_l1[10:])
    assert torch.equal(layer.gate("U.i.bias", 1, True), layer.bias_hh_l1_reverse[:5])
    assert torch.equal(layer.gate("V.f"), layer.vector_l0[5:10])
    assert torch.equal(layer.gate("s.back", reverse=True), layer.scalar_l0_reverse[1:])
    before = layer(x)[0]
    with torch.no_grad():
        layer.gate("V.o").add_(1)
    assert not torch.equal(layer(x)[0], before)
    projected: Any = LSTM(3, 4, proj_size=2)
    assert torch.equal(projected.gate("P"), projected.weight_hr_l0)
    assert torch.equal(projected.gate("W.g"), projected.weight_ih_l0[8:12])


def test_autocast_returns_a_bfloat16_output_and_inner_states_as_they_came() -> None:
    """A rule for every cell that torch does not have."""
    layer, x = Recurrent(ThreeStates, 3, 5, 2), torch.randn(9, 2, 3)
    with torch.autocast("cpu"):
        output, (h, c, m) = layer(x)
    assert (output.dtype, h.dtype) == (torch.bfloat16, torch.bfloat16)
    assert (c.dtype, m.dtype) == (torch.float32, torch.float32)
    torch.testing.assert_close(output.float(), layer(x)[0], rtol=5e-2, atol=5e-2)
    original = GRU(3, 5, reset_after=False)
    with torch.autocast("cpu"):
        assert [each.dtype for each in original(x)] == [torch.bfloat16] * 2


def test_dropout_acts_between_layers_in_training_only() -> None:
    layer, x = Recurrent(Shared, 3, 5, 2, dropout=1.0), torch.randn(4, 2, 3)
    trained = layer(x)[0]
    torch.testing.assert_close(trained, layer(x * 2)[0])  # nothing of x arrives
    layer.eval()
    assert not torch.equal(layer(x)[0], layer(x * 2)[0])
    with pytest.warns(UserWarning, match="dropout acts between layers, and num_layers is 1"):
        Recurrent(Shared, 3, 5, dropout=0.5)


@pytest.mark.parametrize("cell", cells.BUILTIN, ids=lambda cell: cell.name)
def test_every_built_in_cell_is_a_layer(cell: Cell) -> None:
    """What it declares, gates of memory and initial values, names what its equations have."""
    layer = Recurrent(cell, 6, 6, 2, chrono=20 if cell.gates_of_memory else None)
    for gate in cell.gates_of_memory:
        assert any(f"{matrix}.{gate}.bias" in names(layer.description) for matrix in "WU")
    x = torch.randn(9, 2, 6)
    output, last = layer(x, lengths=[9, 3])
    assert output.shape == (9, 2, 6)
    assert len(as_list(last)) == len(cell.states)
    output.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


ANY: Any = Recurrent  # called with what mypy would not let through
ERRORS: dict[str, tuple[Any, type[Exception], str]] = {
    "cell": (
        lambda: ANY("LSTM", 3, 4),
        TypeError,
        "cell must be a class of cells or a cell, got str",
    ),
    "choice": (
        lambda: Recurrent(cells.RNN, 3, 4, nonlinear="relu"),
        TypeError,
        "Recurrent(RNN): unknown argument 'nonlinear'; the cell's choices are nonlinearity, a",
    ),
    "choice of an instance": (
        lambda: Recurrent(cells.RNN(), 3, 4, nonlinearity="relu"),
        TypeError,
        "choices are given with a class, this cell is made already",
    ),
    "size": (
        lambda: ANY(cells.GRU, 3, 4.0),
        TypeError,
        "Recurrent(GRU): hidden_size must be an integer, got float",
    ),
    "no layer": (
        lambda: Recurrent(cells.GRU, 3, 4, 0),
        ValueError,
        "num_layers must be at least 1, got 0",
    ),
    "flag": (lambda: ANY(cells.GRU, 3, 4, bias=1), TypeError, "bias must be a bool, got int"),
    "dropout": (
        lambda: Recurrent(cells.GRU, 3, 4, dropout=1.5),
        ValueError,
        "dropout must be from 0 to 1, got 1.5",
    ),
    "projection": (
        lambda: Recurrent(cells.LSTM, 3, 4, proj_size=4),
        ValueError,
        "proj_size must be less than hidden_size=4, got 4",
    ),
    "heads": (
        lambda: Recurrent(cells.GRU, 3, 4, heads=3),
        ValueError,
        "heads must divide hidden_size=4, got 3",
    ),
    "heads of a projection": (
        lambda: Recurrent(cells.LSTM, 3, 4, proj_size=3, heads=2),
        ValueError,
        "heads must divide proj_size=3, got 2",
    ),
    "heads of nothing": (
        lambda: Recurrent(Shared, 3, 4, heads=2),
        ValueError,
        "heads divide a recurrent matrix U, and there is none",
    ),
    "x itself": (
        lambda: Recurrent(Bare, 3, 4),
        ValueError,
        "x stands in the equations, so input_size must be the same as hidden_size=4, got 3",
    ),
    "x itself above": (
        lambda: Recurrent(Bare, 4, 4, 2, bidirectional=True),
        ValueError,
        "hidden_size=4 features; the layer below gives 8",
    ),
    "constants": (
        lambda: Recurrent(Memory, 3, 4, leak=[1, 2]),
        ValueError,
        "leak must have one number for each of hidden_size=4 units, got 2",
    ),
    "gate": (
        lambda: Recurrent(Shared, 3, 4).gate("U.f"),
        ValueError,
        "there is no 'U.f'; there are W.f, W.f.bias, W.n",
    ),
    "layer of a gate": (
        lambda: Recurrent(Shared, 3, 4).gate("W.f", 1),
        ValueError,
        "layer must be from 0 to 0, got 1",
    ),
    "direction of a gate": (
        lambda: Recurrent(Shared, 3, 4).gate("W.f", reverse=True),
        ValueError,
        "there is no reverse direction",
    ),
    "states": (
        lambda: Recurrent(ThreeStates, 3, 4)(torch.zeros(2, 1, 3), torch.zeros(1, 1, 4)),
        TypeError,
        "Recurrent(ThreeStates): hx must be a tuple (h_0, c_0, m_0), got a tensor",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_the_argument(name: str) -> None:
    call, kind, text = ERRORS[name]
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_antisymmetric_matrix_is_made_of_the_weights() -> None:
    """U = A - Aᵀ, for every head by itself, with the gradient of A; a projection has no such U."""
    layer = Recurrent(cells.AntisymmetricRNN, 3, 4, heads=2).double()
    x = torch.randn(3, 1, 3, dtype=torch.float64)
    output, h = layer(x)
    weights, state_dict = layer.gate("U.h"), layer.state_dict()
    A = torch.zeros(4, 4, dtype=torch.float64)
    A[:2, :2], A[2:, 2:] = weights.detach().chunk(2)
    expected = torch.zeros(1, 4, dtype=torch.float64)
    for x_t in x:
        flow = expected @ (A - A.T).T + state_dict["bias_hh_l0"] - 0.01 * expected
        z, n = (x_t @ layer.weight_ih_l0.T + state_dict["bias_ih_l0"]).chunk(2, dim=-1)
        expected = expected + 0.01 * torch.sigmoid(z + flow) * torch.tanh(n + flow)
    torch.testing.assert_close(h[0], expected)
    (gradient,) = torch.autograd.grad(output.sum(), [*layer.parameters()][1:2])
    blocks = gradient.reshape(2, 2, 2)
    torch.testing.assert_close(blocks, -blocks.transpose(-1, -2))
    with pytest.raises(ValueError, match="proj_size must be 0 for a cell whose U is antisymmetric"):
        Recurrent(cells.AntisymmetricRNN, 3, 4, proj_size=2)
