"""Short calls without a gradient give the bits of any other call, whatever happened to the layer.

They keep packed weights from call to call; each test changes a layer in another way between two
calls and compares with what the kernels give that look at everything again.
"""

from __future__ import annotations

import copy
import io
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils import parametrizations, prune

import unrolled
from unrolled import using
from unrolled.cells import CELLS
from unrolled.engine import register
from unrolled.engine.cpu.kept import MOST_ROWS, MOST_STEPS
from unrolled.engine.observer import Observer
from unrolled.layers.quick import Quick


def flat(result: Any) -> list[Tensor]:
    """Output and last states."""
    output, states = result
    return [output, *([states] if isinstance(states, Tensor) else states)]


def same(layer: Any, *arguments: Any) -> bool:
    """Whether a short call gives the numbers and shapes of one that looks at everything."""
    with torch.no_grad():
        found = flat(layer(*arguments))
        with using("kernels"):
            expected = flat(layer(*arguments))
    return all(
        torch.equal(one, other) and one.stride() == other.stride()
        for one, other in zip(found, expected, strict=True)
    )


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each call whether it was answered from kept weights."""
    answers: list[bool] = []
    run = Quick.run

    def counted(*arguments: Any) -> Any:
        result = run(*arguments)
        answers.append(result is not None)
        return result

    monkeypatch.setattr(Quick, "run", counted)
    return answers


@pytest.fixture
def layer() -> Any:
    torch.manual_seed(0)
    return unrolled.GRU(5, 12, num_layers=2)


x = torch.linspace(-1, 1, 15).reshape(3, 1, 5)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.__name__)
def test_every_cell_and_number_of_rows(cell: Any, taken: list[bool]) -> None:
    torch.manual_seed(1)
    size = 6 if unrolled.Recurrent(cell, 6, 6).program.reads_input else 5
    many: list[dict[str, Any]] = [{}, {"num_layers": 2, "batch_first": True}, {"bias": False}]
    for options in many:
        layer = unrolled.Recurrent(cell, size, 6, **options)
        for steps in (0, 1, 2, 9):
            # of more rows, torch's own layers run the shortest sequences
            for rows in range(1, MOST_ROWS + 1 + (steps > 8)):
                shape = (rows, steps, size) if layer.batch_first else (steps, rows, size)
                assert same(layer, torch.randn(shape))
            assert same(layer, torch.randn(steps, size))
    # those with vectors, or a matrix made of another, look at everything every time
    assert any(taken) or layer.program.vectors or cell().antisymmetric


def test_several_rows_of_a_long_call_are_left_to_several_threads(taken: list[bool]) -> None:
    layer = unrolled.GRU(5, 12)
    for rows, steps, quick in [(2, MOST_STEPS, True), (2, MOST_STEPS + 1, False), (1, 999, True)]:
        taken.clear()
        assert same(layer, torch.randn(steps, rows, 5))
        assert any(taken) == quick, (rows, steps)


@pytest.mark.parametrize("kind", [unrolled.LSTM, unrolled.GRU, unrolled.RNN])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_first": True},
        {"proj_size": 3},
        {"num_layers": 3},
        {"zoneout": 0.2, "recurrent_dropout": 0.3, "candidate_dropout": 0.1},
        {"layer_norm": True},
        {"learn_initial": True},
        {"bidirectional": True},
    ],
    ids=str,
)
def test_options_and_states(kind: Any, options: dict[str, Any], taken: list[bool]) -> None:
    torch.manual_seed(2)
    if kind is unrolled.RNN:
        options = {name: value for name, value in options.items() if name != "candidate_dropout"}
    layer = kind(5, 12, **options).eval()
    directions = 2 if layer.bidirectional else 1
    stacked, rows = layer.num_layers * directions, 1 if layer.batch_first else 3
    sizes = layer.description.state_sizes(layer.program)
    states = [torch.randn(stacked, rows, size) for size in sizes]
    hx: Any = tuple(states) if len(states) > 1 else states[0]
    given = torch.randn((1, 9, 5) if layer.batch_first else (9, 3, 5))
    assert same(layer, given)
    assert same(layer, given, hx)
    apart = [state.transpose(1, 2).contiguous().transpose(1, 2) for state in states]
    assert same(layer, given, tuple(apart) if len(apart) > 1 else apart[0])
    assert taken


def test_heads(taken: list[bool]) -> None:
    torch.manual_seed(2)
    for cell in ("LSTM", "GRU", "CoRNN"):
        kind = next(each for each in CELLS if each.__name__ == cell)
        assert same(unrolled.Recurrent(kind, 5, 12, heads=4, num_layers=2), torch.randn(4, 2, 5))
    assert any(taken)


def test_inputs_of_any_order_in_memory(layer: Any) -> None:
    torch.manual_seed(3)
    assert same(layer, torch.randn(5, 4).t())
    assert same(layer, torch.randn(1, 1, 5).expand(4, 2, 5))
    assert same(layer, torch.randn(8, 2, 10)[::2, :, ::2])
    assert same(layer, torch.randn(8, 2, 10)[1::2, 1:, 3:8])


CHANGES: dict[str, Callable[[Any], Any]] = {
    "in place": lambda layer: layer.weight_hh_l1.add_(0.1),
    "one number": lambda layer: layer.bias_hh_l0[3:4].add_(0.1),
    "data in place": lambda layer: layer.weight_hh_l0.data.mul_(0.5),
    "data anew": lambda layer: setattr(layer.weight_ih_l0, "data", torch.randn(36, 5)),
    "numpy": lambda layer: layer.bias_ih_l1.numpy().fill(0.25),
    "parameter anew": lambda layer: setattr(layer, "bias_hh_l0", Parameter(torch.randn(36))),
    "state_dict": lambda layer: layer.load_state_dict(unrolled.GRU(5, 12, 2).state_dict()),
    "assigned": lambda layer: layer.load_state_dict(
        unrolled.GRU(5, 12, 2).state_dict(), assign=True
    ),
    "drawn again": lambda layer: layer.reset_parameters(),
    "not a number": lambda layer: layer.weight_hh_l0[0, 0].fill_(float("nan")),
    "tied": lambda layer: setattr(layer, "weight_hh_l1", layer.weight_hh_l0),
    "vector to parameters": lambda layer: torch.nn.utils.vector_to_parameters(
        torch.randn(sum(p.numel() for p in layer.parameters())), layer.parameters()
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_written_to_parameters_is_seen(layer: Any, change: str, taken: list[bool]) -> None:
    with torch.no_grad():
        before = layer(x)[0]
        CHANGES[change](layer)
        after = layer(x)[0]
        with using("kernels"):
            expected = layer(x)[0]
    assert taken[:2] == [True, True]
    torch.testing.assert_close(after, expected, rtol=0, atol=0, equal_nan=True)
    assert not torch.equal(before, after)


def test_an_optimizer_s_steps_are_seen(layer: Any) -> None:
    for optimizer in (torch.optim.SGD, torch.optim.Adam):
        stepping = optimizer(layer.parameters(), lr=0.1)
        for _ in range(3):
            layer(x)[0].sum().backward()
            stepping.step()
            assert same(layer, x)


def test_tied_layers_see_each_other_s_changes(layer: Any) -> None:
    other = unrolled.GRU(5, 12, num_layers=2)
    for name, parameter in layer.named_parameters():
        setattr(other, name, parameter)
    with torch.no_grad():
        assert torch.equal(layer(x)[0], other(x)[0])
        layer.weight_hh_l0.mul_(2)
        assert torch.equal(layer(x)[0], other(x)[0])


def test_attributes_and_modes_are_seen(layer: Any) -> None:
    layer.dropout = 0.5
    square = torch.randn(3, 3, 5)
    with torch.no_grad():
        layer(x)
        assert not torch.equal(layer(square)[0], layer(square)[0])  # dropout is drawn
        layer.eval()
        assert torch.equal(layer(square)[0], layer(square)[0])
        layer.batch_first = True
        turned, _ = layer(x.transpose(0, 1))
        layer.batch_first = False
        assert torch.equal(turned.transpose(0, 1), layer(x)[0])


def test_noise_of_training_is_drawn() -> None:
    torch.manual_seed(0)
    for name in ("zoneout", "recurrent_dropout", "weight_drop"):
        options: dict[str, Any] = {name: 0.5}
        layer = unrolled.GRU(5, 12, **options)
        with torch.no_grad():
            assert not torch.equal(layer(x)[0], layer(x)[0])
            layer.eval()
            assert torch.equal(layer(x)[0], layer(x)[0])


def test_dtypes_and_defaults(layer: Any, taken: list[bool]) -> None:
    with torch.no_grad():
        expected = layer(x)[0]
        layer.double()
        assert layer(x.double())[0].dtype == torch.float64
        layer.float()
        assert torch.equal(layer(x)[0], expected)
        torch.set_default_dtype(torch.float64)
        try:
            assert torch.equal(layer(x)[0], expected)
            assert layer(x)[1].dtype == torch.float32
        finally:
            torch.set_default_dtype(torch.float32)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            layer(x)
        assert not taken[-1]
        with torch.inference_mode():
            assert torch.equal(layer(x)[0], expected)


def test_parametrised_and_pruned_weights(layer: Any, taken: list[bool]) -> None:
    with torch.no_grad():
        layer(x)
    parametrizations.weight_norm(layer, "weight_hh_l0")
    assert same(layer, x)
    prune.random_unstructured(layer, "weight_hh_l1", 0.5)  # type: ignore[no-untyped-call]
    assert same(layer, x)
    assert taken[0]
    assert not any(taken[1:])


def test_functional_calls_take_the_weights_that_they_are_given(layer: Any) -> None:
    other = {name: torch.randn_like(value) for name, value in layer.named_parameters()}
    with torch.no_grad():
        expected = layer(x)[0]
        found = torch.func.functional_call(layer, other, (x,))[0]
        assert not torch.equal(found, expected)
        assert torch.equal(layer(x)[0], expected)


def test_copies_have_nothing_in_common(layer: Any) -> None:
    with torch.no_grad():
        expected = layer(x)[0]
        file = io.BytesIO()
        torch.save(layer, file)
        file.seek(0)
        copies = [copy.deepcopy(layer), torch.load(file, weights_only=False)]
        layer.weight_hh_l0.zero_()
        for each in copies:
            assert torch.equal(each(x)[0], expected)


def test_errors_are_the_layer_s_own(layer: Any) -> None:
    wrong: list[tuple[Any, ...]] = [
        (torch.randn(3, 1, 4),),
        (torch.randn(3, 1, 5).double(),),
        (torch.randn(5),),
        (x, torch.randn(2, 1, 11)),
        (x, torch.randn(2, 2, 12)),
        (x, [torch.randn(2, 1, 12)]),
        (x, torch.randn(2, 1, 12).double()),
        (x, "zeros"),
    ]
    with torch.no_grad():
        layer(x)
    for arguments in wrong:
        messages = []
        for enabled in (True, False):
            with torch.set_grad_enabled(enabled), pytest.raises((TypeError, ValueError)) as error:
                layer(*arguments)
            messages.append(str(error.value))
        assert messages[0] == messages[1]
    del layer.weight_hh_l1
    with torch.no_grad(), pytest.raises(AttributeError):
        layer(x)


def test_results_are_nobody_else_s(layer: Any) -> None:
    with torch.no_grad():
        first = flat(layer(x))
        kept = [each.clone() for each in first]
        layer(x + 1)
        first[1].add_(1)
        assert torch.equal(first[0], kept[0])
        assert all(torch.equal(a, b) for a, b in zip(kept, flat(layer(x)), strict=True))


def test_threads_may_call_one_layer(layer: Any) -> None:
    inputs = [torch.randn(50, 1 + number % 4, 5) for number in range(8)]
    with torch.no_grad():
        expected = [layer(each)[0] for each in inputs]
    wrong: list[int] = []

    def work(number: int) -> None:
        with torch.no_grad():
            for _ in range(100):
                if not torch.equal(layer(inputs[number])[0], expected[number]):
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_who_looks_at_every_step_sees_it(layer: Any) -> None:
    with torch.no_grad():
        layer(x)
        with using("reference"):
            assert "reference" in unrolled.explain(layer, x)
            torch.testing.assert_close(layer(x)[0], layer(x.clone())[0], rtol=1e-5, atol=1e-6)
    assert layer(x)[0].requires_grad


class Unable:
    """An engine that can run nothing."""

    name = "unable"
    variants = ()
    is_one_node = False

    def obstacle(self, request: Any) -> str:
        return "it can run nothing"


def test_engines_of_others_are_asked_first(layer: Any, taken: list[bool]) -> None:
    with torch.no_grad():
        with register(Unable()):  # type: ignore[arg-type]
            layer(x)
        layer(x)
    assert taken == [False, True]


def test_calls_are_quick_again_when_nobody_looks(layer: Any, taken: list[bool]) -> None:
    """The lens sets an attribute for a while, and deletes it."""
    with torch.no_grad():
        layer.watch = lambda level, direction: Observer()
        layer(x)
        del layer.watch
        layer(x)
    assert taken == [False, True]
