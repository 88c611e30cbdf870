"""The recurrent layers of tasks: every cell, every option, and the errors of both."""

import pickle
import subprocess
import sys
from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import unrolled
from unrolled import layers
from unrolled.cells import CELLS
from unrolled.cells.functions import NONLINEARITIES
from unrolled.engine.choice import using
from unrolled.errors import UserError
from unrolled.ranges import SIZE, fits, hints
from unrolled.tasks.model_memory import weight_count
from unrolled.tasks.recurrent import (
    CELLS_BY_NAME,
    RecurrentOptions,
    as_hx,
    as_tuple,
    build_recurrent,
    cell_class,
    output_size,
)
from unrolled.training.options import read_options, write_options

NAMES = sorted(CELLS_BY_NAME)


def options(**values: Any) -> RecurrentOptions:
    return RecurrentOptions(**{"hidden_size": 6, "dropout": 0.0} | values)


def drawn(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float32, device="cpu")


def run(module: nn.Module, given: RecurrentOptions, inputs: int = 3) -> Tensor:
    """One forward and backward pass; every parameter has a finite gradient."""
    torch.manual_seed(0)
    x = drawn(1, 4, 2, inputs)
    with using("reference"):  # what is new here is not the kernels
        output, states = module(x, lengths=[4, 2])
        assert output.shape == (4, 2, output_size(given))
        carried = as_tuple(states)
        again, _ = module(x, as_hx(carried))
        (output.sum() + again.square().sum()).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    result: Tensor = output
    return result


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_is_built_and_learns(name: str) -> None:
    given = options(cell=name, num_layers=2, dropout=0.2)
    module = build_recurrent(given, 3)
    run(module, given)
    assert weight_count(given, 3) == sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize(("num_layers", "dropout"), [(1, 0.3), (2, 0.3)])
def test_drop_ins_begin_with_the_weights_of_direct_construction(
    name: str, num_layers: int, dropout: float
) -> None:
    direct = {"lstm": unrolled.LSTM, "gru": unrolled.GRU, "rnn": unrolled.RNN}[name]
    torch.manual_seed(5)
    expected = direct(3, 6, num_layers, dropout=dropout if num_layers > 1 else 0.0)
    after = torch.rand(1, dtype=torch.float32, device="cpu")
    torch.manual_seed(5)
    found = build_recurrent(options(cell=name, num_layers=num_layers, dropout=dropout), 3)
    assert torch.equal(torch.rand(1, dtype=torch.float32, device="cpu"), after)
    assert type(found) is direct
    assert repr(found) == repr(expected)
    state, wanted = found.state_dict(), expected.state_dict()
    assert list(state) == list(wanted)
    assert all(torch.equal(state[key], wanted[key]) for key in wanted)


def test_choices_of_single_cells_reach_them() -> None:
    gru: Any = build_recurrent(options(cell="gru", reset_after=False), 3)
    rnn: Any = build_recurrent(options(cell="rnn", nonlinearity="relu"), 3)
    assert gru.cell.name == "originalgru"
    assert rnn.cell.name == "rnn,nonlinearity=relu"
    heads: Any = build_recurrent(options(cell="gru", reset_after=False, heads=2), 3)
    assert heads.cell.name == "originalgru"
    heads = build_recurrent(options(cell="rnn", nonlinearity="relu", heads=2), 3)
    assert heads.cell.name == "rnn,nonlinearity=relu"


OPTIONS: dict[str, Any] = {
    "bidirectional": True,
    "recurrent_dropout": 0.3,
    "candidate_dropout": 0.3,
    "zoneout": 0.1,
    "weight_drop": 0.3,
    "layer_norm": True,
    "proj_size": 4,
    "heads": 2,
    "recurrent_init": "orthogonal",
    "forget_bias": 1.0,
    "chrono": 20.0,
    "learn_initial": True,
    "cell_clip": 2.0,
    "activation": "relu",
    "recurrent_activation": "softplus",
}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("name", ["lstm", "gru", "slstm", "mut3", "peepholelstm"])
def test_every_option_reaches_the_layer(name: str, option: str) -> None:
    torch.manual_seed(3)
    given = options(cell=name, num_layers=2, **{option: OPTIONS[option]})
    module: Any = build_recurrent(given, 3)
    if hasattr(module.options, option):
        assert getattr(module.options, option) == OPTIONS[option]
    else:
        assert getattr(module, option) == OPTIONS[option]
    assert weight_count(given, 3) == sum(p.numel() for p in module.parameters())
    run(module, given)


def test_weights_are_counted_with_all_options_at_once() -> None:
    for name in ("lstm", "gru", "fastgrnn", "rglru", "coRNN"):
        given = options(cell=name, bidirectional=True, layer_norm=True, learn_initial=True)
        given = replace(given, proj_size=4)
        if name in ("lstm", "gru"):
            given = replace(given, num_layers=3, heads=2)
        module = build_recurrent(given, 3)
        assert weight_count(given, 3) == sum(p.numel() for p in module.parameters()), name


def test_every_option_of_layers_is_an_option_here() -> None:
    known = {field.name for field in fields(RecurrentOptions)}
    assert {field.name for field in fields(layers.Options)} <= known
    hint = hints(RecurrentOptions)["activation"]
    assert all(fits(name, hint) for name in NONLINEARITIES)
    assert len(CELLS_BY_NAME) == len(CELLS)


def test_a_cell_that_reads_its_input_has_a_map_before_it() -> None:
    given = options(cell="sru", num_layers=2)
    module: Any = build_recurrent(given, 3).eval()
    x = drawn(2, 5, 2, 3)
    output, states = module(x)
    direct, _ = module.layer(module.map(x))
    assert torch.equal(output, direct)
    packed = nn.utils.rnn.pack_padded_sequence(
        x, torch.tensor([5, 2], dtype=torch.int64, device="cpu")
    )
    ragged, _ = module(x, lengths=[5, 2])
    unpacked, _ = nn.utils.rnn.pad_packed_sequence(module(packed)[0])
    torch.testing.assert_close(unpacked, ragged)
    stream = module.stream(2)
    for step, wanted in zip(x, output, strict=True):
        torch.testing.assert_close(stream(step), wanted)
    for found, wanted in zip(stream.state, states, strict=True):
        torch.testing.assert_close(found, wanted)
    stream.reset()
    copy = stream.clone()
    arrays = copy.run(x.numpy())
    assert isinstance(arrays, np.ndarray)
    torch.testing.assert_close(torch.from_numpy(arrays), output.detach())
    stream.state = copy.state
    with pytest.raises(ValueError, match="3 features"):
        stream(drawn(3, 2, 4))
    with pytest.raises(ValueError, match=r"torch\.float32"):
        stream(x[0].double())
    with pytest.raises(TypeError, match="got list"):
        stream([1.0])


def test_states_are_carried_as_tuples() -> None:
    x = drawn(1, 2, 1, 3)
    _, state = build_recurrent(options(cell="gru"), 3)(x)
    assert isinstance(state, Tensor)
    assert as_hx(as_tuple(state)) is state
    _, pair = build_recurrent(options(cell="lstm"), 3)(x)
    assert as_tuple(pair) is pair is as_hx(pair)
    assert as_hx(None) is None


def test_a_model_is_pickled() -> None:
    module = build_recurrent(options(cell="rglru"), 3).eval()
    x = drawn(1, 2, 1, 3)
    assert torch.equal(pickle.loads(pickle.dumps(module))(x)[0], module(x)[0])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"cell": "lsmt"}, "--cell: unknown cell 'lsmt'; did you mean lstm? known: antisymm"),
        ({"cell": "xyzzyx"}, "--cell: unknown cell 'xyzzyx'; known: antisymm"),
        ({"cell": ""}, "--cell: unknown cell ''; known: "),
        ({"cell": "mine.py"}, "--cell: expected FILE.py:CLASS for a cell of your own"),
        ({"cell": "mine.txt:Mine"}, "--cell: expected FILE.py:CLASS"),
        ({"cell": "mine.py:not a name"}, "--cell: expected FILE.py:CLASS"),
        ({"hidden_size": 0}, "--hidden-size: expected a whole number from 1 to 65536, got 0"),
        ({"zoneout": 1.0}, "--zoneout: expected a number from 0 to below 1, got 1"),
        ({"chrono": 2.0}, "--chrono: expected a number above 2 to"),
        ({"cell_clip": 0.0}, "--cell-clip: expected a number above 0"),
        ({"recurrent_init": "normal"}, "--recurrent-init: expected one of random, orthogonal"),
        ({"activation": "cosh"}, "--activation: expected one of tanh, relu"),
        ({"cell": "lstm", "reset_after": False}, "--no-reset-after: only for --cell gru"),
        ({"cell": "m.py:M", "reset_after": False}, "--no-reset-after: only for --cell gru"),
        ({"cell": "gru", "nonlinearity": "relu"}, "--nonlinearity: only for --cell rnn"),
        ({"cell": "rnn", "forget_bias": 1.0}, "--forget-bias: --cell rnn cannot take it: it has"),
        ({"cell": "rnn", "chrono": 9.0}, "--chrono: --cell rnn cannot take it: it has no gate"),
        ({"chrono": 9.0, "forget_bias": 1.0}, "--forget-bias and --chrono set the same bias"),
        ({"cell": "rnn", "candidate_dropout": 0.1}, "--candidate-dropout: --cell rnn cannot"),
        ({"cell": "qrnn", "recurrent_init": "orthogonal"}, "--recurrent-init: --cell qrnn cannot"),
        ({"cell": "sru", "recurrent_dropout": 0.1}, "--recurrent-dropout: --cell sru cannot"),
        ({"cell": "indrnn", "weight_drop": 0.1}, "--weight-drop: --cell indrnn cannot"),
        ({"cell": "mingru", "heads": 2}, "--heads: --cell mingru cannot take it: it has no rec"),
        ({"cell": "antisymmetricrnn", "proj_size": 4}, "--proj-size: --cell antisymmetricrnn"),
        ({"cell": "rnn", "nonlinearity": "relu", "activation": "elu"}, "--activation: --cell rnn"),
        ({"cell": "rnn", "recurrent_activation": "elu"}, "--recurrent-activation: --cell rnn"),
        ({"cell": "sru", "num_layers": 2, "bidirectional": True}, "--bidirectional: --cell sru"),
        ({"cell": "mut1", "num_layers": 2, "proj_size": 4}, "--proj-size: --cell mut1 cannot"),
        ({"proj_size": 6}, "--proj-size: expected less than --hidden-size 6, got 6"),
        ({"heads": 4}, "--heads: expected a divisor of --hidden-size 6, got 4"),
        ({"heads": 2, "proj_size": 3}, "--heads: expected a divisor of --proj-size 3, got 2"),
    ],
)
def test_wrong_options_are_refused_in_one_line(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as error:
        options(**values)
    assert str(error.value).startswith(said)


@pytest.mark.parametrize("option", OPTIONS)
def test_what_the_options_take_the_layer_takes(option: str) -> None:
    """Nothing that a layer would refuse gets through, whatever the cell."""
    flag = "--" + option.replace("_", "-")
    for name in NAMES:
        try:
            given = options(cell=name, num_layers=2, **{option: OPTIONS[option]})
        except UserError as error:
            assert str(error).startswith(flag), name  # noqa: PT017
        else:
            build_recurrent(given, 3)


def test_options_are_read_without_torch() -> None:
    """The command line reads them for its help pages."""
    code = (
        "import sys\n"
        "from unrolled.tasks.recurrent import RecurrentOptions\n"
        "RecurrentOptions(cell='lstm', forget_bias=1.0)\n"
        "print([name for name in ('torch', 'numpy') if name in sys.modules])\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert found.stdout.strip() == b"[]"


def test_names_of_cells_are_read_in_any_spelling() -> None:
    assert options(cell="GRU").cell == "gru"
    assert options(cell="Coupled-LSTM") == options(cell="coupledlstm")
    assert cell_class(options(cell="rg_lru")).__name__ == "RGLRU"


def test_a_task_sets_its_own_defaults(tmp_path: Any) -> None:
    given = OwnDefaults(embedding_size=3)
    assert (given.cell, given.hidden_size, given.embedding_size) == ("lstm", 512, 3)
    write_options(OwnDefaults(**asdict(given) | {"zoneout": 0.25}), tmp_path / "options.toml")
    assert read_options(OwnDefaults, tmp_path / "options.toml").zoneout == 0.25
    with pytest.raises(UserError, match="--embedding-size"):
        OwnDefaults(embedding_size=0)


@dataclass(frozen=True)
class OwnDefaults(RecurrentOptions):
    cell: str = "lstm"
    hidden_size: Annotated[int, SIZE] = 512
    embedding_size: Annotated[int, SIZE] = 64


def test_rows_of_a_mapped_stream_step_by_themselves() -> None:
    """As those of any stream: the others keep their states."""
    module: Any = build_recurrent(options(cell="sru"), 3)
    whole, some = module.stream(3), module.stream(3)
    x = drawn(2, 2, 3, 3)
    first = whole(x[0]).clone()
    close = torch.testing.assert_close
    close(some.step_rows([2, 0], x[0, [2, 0]]), first[[2, 0]])
    close(some.step_rows([1], x[0, [1]]), first[[1]])
    kept = some.state_of([1])
    second = whole(x[1]).clone()
    close(some.step_rows([1], x[1, [1]]), second[[1]])
    some.set_state_of([1], kept)
    some.reset_rows([0])
    close(
        some.step_rows([0, 1], torch.stack([x[0, 0], x[1, 1]])), torch.stack([first[0], second[1]])
    )
