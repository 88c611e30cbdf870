"""Which engine runs a call, and the sentence that says why."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

import unrolled
from unrolled.cells import GRU, LSTM, RNN, OriginalGRU
from unrolled.compiler.program import Program
from unrolled.engine.choice import ENGINES, Choice, choose, using
from unrolled.engine.cpu import FLOAT32_SETS, INSTRUCTION_SETS
from unrolled.engine.weights import program_of

from ..compiler.invented import Apart

FASTEST = FLOAT32_SETS[0]
X = torch.zeros(2, 2, 3)


def test_usually_the_kernels_at_their_fastest() -> None:
    found = choose(program_of(LSTM()), [X])
    assert found == Choice("kernels", FASTEST)
    assert str(found).startswith("CPU kernels with ")
    assert str(found).endswith("on 1 thread")


@pytest.mark.parametrize(
    ("tensors", "autocast"),
    [([X.bfloat16()], False), ([X], True), ([X.bfloat16(), X], True)],
    ids=["module", "autocast", "mixed"],
)
def test_bfloat16_takes_the_instructions_made_for_it(tensors: list[Tensor], autocast: bool) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        found = choose(program_of(LSTM()), tensors)
    assert found == Choice("kernels", INSTRUCTION_SETS[0], bfloat16=True)
    assert str(found).endswith(", products in bfloat16")


@pytest.mark.parametrize(
    ("program", "tensors", "context", "engine", "reason"),
    [
        (
            program_of(LSTM()),
            [X],
            lambda: using("reference"),
            "reference",
            'using("reference") asks for it',
        ),
        (program_of(LSTM()), [X], lambda: using("torch"), "torch", 'using("torch") asks for it'),
        (
            program_of(OriginalGRU()),
            [X],
            lambda: using("torch"),
            "reference",
            'using("torch") asks for it and torch has no originalgru',
        ),
        (
            program_of(GRU()),
            [X.double()],
            nullcontext,
            "torch",
            "the numbers are float64 and the kernels compute in float32 or bfloat16",
        ),
        (
            program_of(RNN(nonlinearity="sigmoid")),
            [X, X.bfloat16()],
            nullcontext,
            "reference",
            "some numbers are bfloat16 and some are not "
            "and torch has no rnn,nonlinearity=sigmoid",
        ),
        (
            program_of(LSTM()),
            [X.to("meta")],
            nullcontext,
            "torch",
            "the input is on meta and the kernels run on the CPU",
        ),
        (
            program_of(GRU()),
            [X],
            lambda: torch.autocast("cpu", dtype=torch.float16),
            "torch",
            "autocast is to float16 and the kernels compute in float32 or bfloat16",
        ),
        (
            program_of(Apart()),
            [X],
            lambda: using("torch"),
            "reference",
            'using("torch") asks for it and torch has no apart',
        ),
    ],
    ids=[
        "reference", "torch", "torch_without", "float64", "bfloat16", "device", "autocast", "cell"
    ],
)  # fmt: skip
def test_the_reason(
    program: Program,
    tensors: list[Tensor],
    context: Callable[[], AbstractContextManager[Any]],
    engine: str,
    reason: str,
) -> None:
    with context():
        found = choose(program, tensors)
    assert (found.engine, found.reason) == (engine, reason)
    assert str(found).endswith(f", because {reason}")


DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("autocast", [None, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("steps", [1, 20])
def test_nothing_is_handed_to_torch_that_it_cannot_run(
    cell: str, autocast: torch.dtype | None, dtype: torch.dtype, steps: int
) -> None:
    """Whatever the processor: torch's LSTM, for example, knows bfloat16 with AVX-512 only."""
    layer = getattr(unrolled, cell)(3, 4, dtype=dtype)
    x = torch.randn(steps, 2, 3).to(dtype)
    with torch.autocast("cpu", dtype=autocast, enabled=autocast is not None):
        with torch.no_grad():
            output, _ = layer(x)
        trained, _ = layer(x)
    trained.sum().backward()
    with using("reference"):
        expected, _ = layer.double()(x.double())
    for found in (output, trained):
        assert (found.double() - expected).abs().max() < 0.02  # of half precision


# torch's own, when it first imports what these need
own_warning = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")


@own_warning
def test_under_a_transform_the_reference() -> None:
    seen = []

    def function(x: Tensor) -> Tensor:
        seen.append(choose(program_of(LSTM()), [x]))
        return x.sum()

    torch.func.grad(function)(X)
    torch.func.vmap(function)(X)
    torch.func.jvp(function, (X,), (X,))
    assert [found.engine for found in seen] == ["reference"] * 3
    assert seen[0].reason == "a torch.func transform is active"


@own_warning
def test_forward_mode_takes_the_reference() -> None:
    with forward_ad.dual_level():
        assert choose(program_of(LSTM()), [X]).engine == "kernels"
        dual = forward_ad.make_dual(X, X)  # type: ignore[no-untyped-call]
        found = choose(program_of(LSTM()), [dual])
    assert found == Choice("reference", reason="forward-mode derivatives are asked for")


@pytest.mark.parametrize("isa", INSTRUCTION_SETS)
def test_an_instruction_set_can_be_asked_for(isa: str) -> None:
    with using(isa):
        found = choose(program_of(LSTM()), [X])
    assert (found.engine, found.isa) == ("kernels", isa)
    assert found.reason == ("" if isa == FASTEST else f'using("{isa}") asks for it')


def engine() -> str:
    return choose(program_of(LSTM()), [X]).engine


def test_using_nests() -> None:
    with using("reference"):
        assert engine() == "reference"
        with using("torch"):
            assert engine() == "torch"
            with using("auto"):
                assert engine() == "kernels"
            assert engine() == "torch"
        assert engine() == "reference"
    assert engine() == "kernels"


def test_using_ends_with_an_exception() -> None:
    def fail() -> None:
        with using("reference"):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert engine() == "kernels"


def test_using_is_the_threads_own() -> None:
    seen = []
    with using("reference"):
        thread = threading.Thread(target=lambda: seen.append(engine()))
        thread.start()
        thread.join()
    assert seen == ["kernels"]


@pytest.mark.parametrize("name", ["cuda", "", "AVX2"])
def test_an_engine_that_does_not_exist(name: str) -> None:
    with (
        pytest.raises(ValueError, match=rf"using: expected one of {', '.join(ENGINES)}, got"),
        using(name),
    ):
        pass


def test_a_few_steps_go_to_torch() -> None:
    """Where packing the weights would cost more than it saves, and nothing else speaks for us."""
    lstm, weight = program_of(LSTM()), torch.zeros(1)
    short = choose(lstm, [weight], steps=3)
    assert short.engine == "torch"
    assert short.reason == "so short a sequence (3) is over before packed weights pay"
    assert choose(lstm, [weight], steps=8).engine == "kernels"
    assert choose(lstm, [weight], steps=None).engine == "kernels"
    assert choose(program_of(OriginalGRU()), [weight], steps=3).engine == "kernels"
    assert choose(program_of(LSTM(), projected=True), [weight], steps=3).engine == "kernels"
    with using("kernels"):
        assert choose(lstm, [weight], steps=3).engine == "kernels"
    trained = weight.clone().requires_grad_()
    assert choose(lstm, [trained], steps=3).engine == "kernels"
    with torch.no_grad():
        assert choose(lstm, [trained], steps=3).engine == "torch"
