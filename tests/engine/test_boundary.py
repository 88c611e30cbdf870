"""The boundary where tensors become pointers: whatever comes, an error or the right numbers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import unrolled
from unrolled.cells import GRU, LSTM, PeepholeLSTM
from unrolled.engine import _cpu, cpu
from unrolled.engine.cpu import backward_pass, checkpointing, forward_pass
from unrolled.engine.request import Recurrence, RecurrenceBackward
from unrolled.engine.weights import program_of

from .cases import Shape, by_kernels, case, numbers

ISA = cpu.fastest(bfloat16=False)
PROGRAMS = [program_of(GRU()), program_of(LSTM(), projected=True), program_of(PeepholeLSTM())]
each_program = pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)


def freed(tensor: Tensor) -> Tensor:
    found = tensor.clone()
    found.untyped_storage().resize_(0)
    return found


def fake(tensor: Tensor) -> Any:
    return FakeTensorMode().from_tensor(tensor.detach().clone())


SPOILS: dict[str, Callable[[Tensor], Any]] = {
    "shorter": lambda t: t[1:],
    "longer": lambda t: torch.cat([t, t]),
    "narrower": lambda t: t[..., :-1],
    "wider": lambda t: torch.cat([t, t], dim=-1),
    "flat": lambda t: t.flatten(),
    "one number": lambda t: t.flatten()[0],
    "empty": lambda t: t.new_empty(0),
    "a dimension more": lambda t: t.unsqueeze(0),
    "two dimensions more": lambda t: t[None, None],
    "float64": lambda t: t.double(),
    "float16": lambda t: t.half(),
    "complex": lambda t: t.to(torch.complex64),
    "bytes": lambda t: t.to(torch.uint8),
    "meta": lambda t: t.to("meta"),
    "sparse": lambda t: t.to_sparse(),
    "freed": freed,
    "fake": fake,
    "no tensor": lambda t: t.tolist(),
    "none": lambda t: None,
}


def spoilt(value: Any) -> Iterator[tuple[str, Any]]:
    """Everything wrong that an argument can be."""
    if isinstance(value, Tensor):
        for name, spoil in SPOILS.items():
            yield name, spoil(value)
    elif isinstance(value, (list, tuple)) and value and isinstance(value[0], Tensor):
        yield "no tensors", []
        yield "one less", list(value[:-1])
        yield "one more", [*value, value[0]]
        yield "turned round", list(value[::-1])
        for k in range(len(value)):
            for name, spoil in SPOILS.items():
                yield f"{name}, number {k}", [*value[:k], spoil(value[k]), *value[k + 1 :]]
    elif isinstance(value, bool):
        yield "not", not value
    elif isinstance(value, int):
        for number in (-1, 0, 3, 10**6, 2**31, 2**40, 2**62, -(2**62), 2**70):
            yield str(number), number
    elif isinstance(value, str):
        for text in ("", "lstm", "no such thing", "\0"):
            yield repr(text), text


def refuses(call: Callable[[], Any]) -> bool:
    """Whether a call ends with an error that says something; what matters is that it comes back."""
    try:
        call()
    except Exception as error:  # of ours, of nanobind, or of torch
        if not str(error):
            raise
        return True
    return False


def refusals(function: Callable[..., Any], given: dict[str, Any]) -> int:
    """How many wrong arguments a function refuses; each in every way, one at a time."""
    changes = [
        {**given, name: wrong} for name, value in given.items() for _, wrong in spoilt(value)
    ]
    return sum(refuses(partial(function, **changed)) for changed in changes)


PART = (*checkpointing._Direction._fields, "threads", "slices", "output")
NAMES = {
    "forward": (*Recurrence._fields, "threads", "slices"),
    "backward": (*RecurrenceBackward._fields, "directions", "threads", "slices", "block"),
    "forward_part": (*PART, "last", "tapes"),
    "backward_part": (
        *PART,
        "tapes",
        "block",
        "gradient",
        "gradient_last",
        "gradient_x",
        "gradient_weights",
        "gradient_initial",
        "gradient_anew",
    ),
}
"""The arguments of the module's functions, in their order."""


def recorded(
    program: Any, checkpoint: int, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[str, dict[str, Any]]]:
    """The calls of the module that a training step makes, with a reset and ragged lengths."""
    calls: list[tuple[str, dict[str, Any]]] = []

    class Spy:
        def __getattr__(self, function: str) -> Any:
            def call(*arguments: Any) -> Any:
                calls.append((function, dict(zip(NAMES[function], arguments, strict=True))))
                return getattr(_cpu, function)(*arguments)

            return call

    with monkeypatch.context() as patch:
        for module in (forward_pass, backward_pass, checkpointing):
            patch.setattr(module, "_cpu", Spy())
        shape = Shape(4, 3, 6, "ragged", reset="some", checkpoint=checkpoint)
        numbers(case(program, shape), by_kernels(ISA), torch.float32)
    return calls


@pytest.mark.parametrize("checkpoint", [0, 3])
@each_program
def test_the_module(program: Any, checkpoint: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each argument of each call wrong in every way, one at a time; 7 000 calls in all."""
    refused, called = 0, set()
    for function, arguments in recorded(program, checkpoint, monkeypatch):
        called.add(function)
        for name, value in arguments.items():
            for what, wrong in spoilt(value):
                if name == "threads" and what == "1000000":
                    continue  # it takes as many as it is allowed
                changed = {**arguments, name: wrong}
                refused += refuses(lambda: getattr(_cpu, function)(**changed))  # noqa: B023
    assert called == {name for name in NAMES if name.endswith("_part") == bool(checkpoint)}
    assert refused > 300


@each_program
def test_the_operator(program: Any) -> None:
    """As anybody may call it, eagerly."""
    drawn = case(program, Shape(4, 3, 6, "ragged", reset="some"))
    single = [[t.float() for t in tensors] for tensors in (drawn.initial, drawn.weights)]
    names = [argument.name for argument in torch.ops.unrolled.recurrence.default._schema.arguments]
    values = [drawn.x.float(), *single, drawn.lengths, drawn.reset, program.name, ISA, 1, False]
    values += [True, 0, None, []]
    given = dict(zip(names, values, strict=True))
    torch.ops.unrolled.recurrence(**given)
    assert refusals(torch.ops.unrolled.recurrence, given) > 100
    lengths = torch.tensor([5, 0, 0])
    with pytest.raises(ValueError, match="lengths must lie between 0 and the input's 4 steps"):
        torch.ops.unrolled.recurrence(**{**given, "lengths": lengths})
    with pytest.raises(ValueError, match=r"between 0 and .* got -1 for row 1"):
        cpu.forward(Recurrence(**{**given, "lengths": torch.tensor([0, -1, 3])}))


@each_program
def test_the_operator_backwards(program: Any) -> None:
    drawn = case(program, Shape(4, 3, 6, "ragged", reset="some"))
    x, initial, weights = (
        drawn.x.float(),
        [t.float() for t in drawn.initial],
        [t.float() for t in drawn.weights],
    )
    forward = (x, initial, weights, drawn.lengths, drawn.reset, program.name, ISA, 1, False, True)
    output, *rest = torch.ops.unrolled.recurrence(*forward, 0, None, [])
    tapes, states = rest[len(initial) :], rest[: len(initial)]
    given = {
        "gradient": torch.ones_like(output),
        "gradient_last": states,
        "gradient_tapes": [],
        "x": x,
        "initial": initial,
        "weights": weights,
        "lengths": drawn.lengths,
        "reset": drawn.reset,
        "output": output,
        "tapes": tapes,
        "program": program.name,
        "isa": ISA,
        "batch_first": False,
        "need_x": True,
        "checkpoint": 0,
        "seed": None,
        "rates": [],
    }
    torch.ops.unrolled.recurrence_backward(**given)
    assert refusals(torch.ops.unrolled.recurrence_backward, given) > 100


def test_kernels_that_are_no_kernels(tmp_path: Any) -> None:
    file = tmp_path / "text.so"
    file.write_text("no library")
    for path in (str(file), "/nowhere.so", ""):
        with pytest.raises(RuntimeError, match=r".+"):
            _cpu.add_kernel("avx2", "mine", path, "unrolled_0")
    with pytest.raises(ValueError, match="no instruction set"):
        _cpu.target("no such thing")
    with pytest.raises(ValueError, match="no kernel is called mine"):
        _cpu.Stream("baseline", "mine", 1, 1, 1, 1, [], [])


def stream_arguments(monkeypatch: pytest.MonkeyPatch, layer: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    real = _cpu.Stream

    class Spy:
        class Stream:
            def __new__(cls, **arguments: Any) -> Any:
                found.update(arguments)
                return real(**arguments)

    with monkeypatch.context() as patch:
        patch.setattr(cpu.stream, "_cpu", Spy)
        layer.stream(2)
    return found


@pytest.mark.parametrize(
    "layer",
    [
        lambda: unrolled.GRU(3, 4, num_layers=2),
        lambda: unrolled.LSTM(3, 4, proj_size=2, zoneout=0.1),
        lambda: unrolled.Recurrent(PeepholeLSTM, 3, 4),
    ],
    ids=["gru", "lstm", "peephole"],
)
def test_a_stream_that_is_made_of_wrong_parts(layer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = stream_arguments(monkeypatch, layer())
    refused = 0
    wrongs = [
        (name, wrong)
        for name, value in arguments.items()
        if name not in ("layers", "outputs")
        for _, wrong in spoilt(value)
        if not (name == "rows" and isinstance(wrong, int) and wrong >= 2**31)  # no such memory
    ]
    wrongs += [("outputs", []), ("outputs", [None] * 4), ("layers", []), ("layers", [()])]
    for number, parts in enumerate(arguments["layers"]):
        for k, part in enumerate(parts):
            for _, wrong in spoilt(part):
                layers = list(arguments["layers"])
                layers[number] = (*parts[:k], wrong, *parts[k + 1 :])
                wrongs.append(("layers", layers))
    for name, wrong in wrongs:
        changed = {**arguments, name: wrong}
        refused += refuses(lambda: _cpu.Stream(**changed))  # noqa: B023
    assert refused > 50


def test_what_a_stream_is_fed() -> None:
    """Arrays that lie, or are no arrays."""
    stream = unrolled.GRU(3, 4).stream()
    x = torch.randn(3)
    raw = np.zeros(13, np.uint8)
    bad = [
        fake(x),
        freed(x),
        x.to("meta"),
        torch._neg_view(x),
        x.double(),
        x.to_sparse(),
        None,
        [1],
    ]
    bad += [np.frombuffer(raw.data[1:13], np.float32), np.zeros(3, ">f4"), np.zeros((1, 1, 1, 3))]
    for value in bad:
        with pytest.raises((ValueError, TypeError, RuntimeError, NotImplementedError)):
            stream(value)
        with pytest.raises((ValueError, TypeError, RuntimeError, NotImplementedError)):
            stream(x, out=[1] if value is None else value)
    steps: Any = stream._steps
    for k in (-1, 1, 2**40):
        with pytest.raises(ValueError, match="state must be from 0 to 0"):
            steps._native.read_state(k, torch.zeros(1, 1, 4))
    assert np.isfinite(np.asarray(stream(x))).all()


@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_another_thread_takes_the_memory_away(kind: str) -> None:
    """While a stream runs; the numbers are those from before, or there is an error."""
    stream = unrolled.GRU(64, 64).stream()
    steps = 4000
    stop = threading.Event()
    held: list[Any] = [None]

    def vandal() -> None:
        while not stop.is_set():
            block = held[0]
            if isinstance(block, Tensor):
                block.untyped_storage().resize_(0)
            elif block is not None:
                try:
                    block.resize((0, 64), refcheck=False)
                except ValueError:  # somebody looks at it just now
                    continue

    thread = threading.Thread(target=vandal)
    thread.start()
    try:
        for _ in range(10):
            block: Any = np.zeros((steps, 64), np.float32)
            if kind == "tensor":
                block = torch.zeros(steps, 64)
            held[0] = block
            out = np.zeros((steps, 64), np.float32)
            if not refuses(lambda: stream.run(block, out)):  # noqa: B023
                assert np.isfinite(out).all()
    finally:
        stop.set()
        thread.join()
