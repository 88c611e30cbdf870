"""Which engine runs a call, and the sentence that says why."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

import unrolled
from unrolled.cells import GRU, LSTM, RNN, OriginalGRU
from unrolled.compiler.program import Program
from unrolled.engine.choice import Choice, choose, names, using
from unrolled.engine.cpu import FLOAT32_SETS, INSTRUCTION_SETS
from unrolled.engine.observer import Observer
from unrolled.engine.request import Wanted
from unrolled.engine.weights import program_of

from ..compiler.invented import Apart
from .cases import request_of

FASTEST = FLOAT32_SETS[0]
NAMES = {
    "amx": "AMX",
    "avx512_bf16": "AVX512-BF16",
    "avx512": "AVX-512",
    "avx2": "AVX2",
    "baseline": "the baseline instruction set",
}
X = torch.zeros(9, 2, 3)


def chosen(program: Program, tensors: Sequence[Tensor], **more: Any) -> Choice:
    return choose(request_of(program, tensors, **more))


def explained(program: Program, tensors: Sequence[Tensor]) -> str:
    request = request_of(program, tensors)
    return choose(request).explain(request)


def test_usually_the_kernels_at_their_fastest() -> None:
    found = chosen(program_of(LSTM()), [X])
    assert (found.engine.name, found.reasons) == ("kernels", ())
    text = explained(program_of(LSTM()), [X])
    assert text.startswith("CPU kernels with ")
    assert text.endswith("on 1 thread")


@pytest.mark.parametrize(
    ("tensors", "autocast"),
    [([X.bfloat16()], False), ([X], True), ([X.bfloat16(), X], True)],
    ids=["module", "autocast", "mixed"],
)
def test_bfloat16_takes_the_instructions_made_for_it(tensors: list[Tensor], autocast: bool) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        found = chosen(program_of(LSTM()), tensors)
        text = explained(program_of(LSTM()), tensors)
    assert (found.engine.name, found.reasons) == ("kernels", ())
    assert text.startswith(f"CPU kernels with {NAMES[INSTRUCTION_SETS[0]]} on")
    assert ", products in bfloat16" in text
    emulated = INSTRUCTION_SETS[0] in FLOAT32_SETS
    assert ("by float32's instructions" in text) == emulated


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
        found = chosen(program, tensors)
        text = explained(program, tensors)
    assert found.engine.name == engine
    assert " and ".join(found.reasons) == reason
    assert text.endswith(f", because {reason}")


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
        seen.append(chosen(program_of(LSTM()), [x]))
        return x.sum()

    torch.func.grad(function)(X)
    torch.func.vmap(function)(X)
    torch.func.jvp(function, (X,), (X,))
    assert [found.engine.name for found in seen] == ["reference"] * 3
    assert seen[0].reasons == ("a torch.func transform is active",)


@own_warning
def test_forward_mode_takes_the_reference() -> None:
    with forward_ad.dual_level():
        assert chosen(program_of(LSTM()), [X]).engine.name == "kernels"
        dual = forward_ad.make_dual(X, X)  # type: ignore[no-untyped-call]
        found = chosen(program_of(LSTM()), [dual])
    assert found.engine.name == "reference"
    assert found.reasons == ("forward-mode derivatives are asked for",)


@pytest.mark.parametrize("isa", INSTRUCTION_SETS)
def test_an_instruction_set_can_be_asked_for(isa: str) -> None:
    with using(isa):
        found = chosen(program_of(LSTM()), [X])
        text = explained(program_of(LSTM()), [X])
    assert (found.engine.name, found.reasons) == ("kernels", ())
    assert text.startswith(f"CPU kernels with {NAMES[isa]} on")
    assert text.endswith("" if isa == FASTEST else f', because using("{isa}") asks for it')


def engine() -> str:
    return chosen(program_of(LSTM()), [X]).engine.name


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
        pytest.raises(ValueError, match=rf"using: expected one of {', '.join(names())}, got"),
        using(name),
    ):
        pass


def test_a_few_steps_go_to_torch() -> None:
    """Where packing the weights would cost more than it saves, and nothing else speaks for us."""
    lstm, x = program_of(LSTM()), torch.zeros(3, 6, 3)

    def name(program: Program, x: Tensor, **more: Any) -> str:
        return chosen(program, [x], **more).engine.name

    short = chosen(lstm, [x])
    assert short.engine.name == "torch"
    assert short.reasons == ("so short a sequence (3) is over before packed weights pay",)
    assert name(lstm, torch.zeros(8, 6, 3)) == "kernels"
    assert name(lstm, x.transpose(0, 1), batch_first=True) == "torch"
    assert name(lstm, torch.zeros(6, 9, 3), batch_first=True) == "kernels"
    assert name(lstm, x[:, :4]) == "kernels"  # of few rows, packed weights are kept
    assert name(lstm, x, lengths=torch.tensor([1, 3, 2, 2, 2, 2])) == "kernels"
    assert name(lstm, x, reset=torch.zeros(3, 6, dtype=torch.bool)) == "kernels"
    assert name(lstm, x, wanted=Wanted(states=True)) == "kernels"
    assert name(lstm, x[:, :0]) == "kernels"
    assert name(lstm, x, heads=2) == "kernels"
    assert name(program_of(OriginalGRU()), x) == "kernels"
    assert name(program_of(LSTM(), projected=True), x) == "kernels"
    with using("kernels"):
        assert name(lstm, x) == "kernels"
    trained = x.clone().requires_grad_()
    assert name(lstm, trained) == "kernels"
    with torch.no_grad():
        assert name(lstm, trained) == "torch"


def test_an_observer_of_every_step_is_for_the_reference() -> None:
    """The one reason that the others give is said once."""
    found = chosen(program_of(LSTM()), [X], watch=lambda layer, direction: Observer())
    assert (found.engine.name, found.reasons) == ("reference", ("someone looks at every step",))


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"heads": 2}, "torch's layer knows no heads"),
        ({"reset": torch.ones(9, 2, dtype=torch.bool)}, "torch's layer knows no resets"),
        ({"wanted": Wanted(True)}, "torch's layer returns the last layer's output only"),
        ({"lengths": torch.zeros(2, device="meta")}, "lengths without values cannot be packed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_torchs_layer_does_not_know(more: dict[str, Any], reason: str) -> None:
    with using("torch"):
        found = chosen(program_of(GRU()), [X], **more)
    assert found.engine.name == "reference"
    assert found.reasons == ('using("torch") asks for it', reason)
