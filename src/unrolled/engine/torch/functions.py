"""The recurrent functions that torch itself has, and whether they run on this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Fused(NamedTuple):
    """One of torch's functions.

    Attributes:
        run: the function.
        gates: blocks of rows in W.
        kept: the states that come back, under autocast, in the dtype in which they were given.
    """

    run: Callable[..., Any]
    gates: int
    kept: tuple[int, ...] = ()


FUNCTIONS: dict[str, Fused] = {
    "rnn": Fused(torch.rnn_tanh, 1),
    "rnn,nonlinearity=relu": Fused(torch.rnn_relu, 1),
    "lstm": Fused(torch.lstm, 4),
    "lstm,projected": Fused(torch.lstm, 4, kept=(1,)),
    "gru": Fused(torch.gru, 3, kept=(0,)),
}
"""By the name of the program that each of them computes."""


def torch_runs(program: str, tensors: Sequence[Tensor]) -> bool:
    """Whether torch's function for a program runs in the dtypes of a call, under autocast as it is.

    torch is asked, once for each dtype, with a step of one or two units: which dtypes of half
    precision it computes in depends on the processor, and it says so by an error only. (Its LSTM in
    bfloat16, for example, needs AVX-512.) Devices other than the CPU are taken at their word.

    Args:
        program: the program's name, one of `FUNCTIONS`.
        tensors: the input, then the states, if any are given, then the weights.
    """
    x, weight = tensors[0], tensors[-1]
    if x.device.type != "cpu":
        return True
    autocast = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
    if autocast is None and x.dtype in (torch.float32, torch.float64):
        return True
    states = {tensor.dtype for tensor in tensors}  # one of these is theirs
    return all(_ask(program, x.dtype, state, weight.dtype, autocast) for state in states)


@cache
def _ask(program: str, *dtypes: torch.dtype | None) -> bool:
    found: list[bool] = []
    # Modes, traces and autocast belong to a thread: a new one has none of the caller's.
    thread = threading.Thread(target=lambda: found.append(_try(program, *dtypes)))
    thread.start()
    thread.join()
    return found == [True]


def _try(
    program: str,
    x: torch.dtype | None,
    state: torch.dtype | None,
    weight: torch.dtype | None,
    autocast: torch.dtype | None,
) -> bool:
    function, projected = FUNCTIONS[program], program.endswith("projected")
    hidden = 1 + projected

    def numbers(dtype: torch.dtype | None, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device="cpu").requires_grad_()

    shapes: list[tuple[int, ...]] = [(function.gates * hidden, 1)] * 2 + [
        (function.gates * hidden,)
    ] * 2
    weights = [numbers(weight, *shape) for shape in shapes + [(1, hidden)] * projected]
    states: Any = numbers(state, 1, 1, 1)
    if program.startswith("lstm"):
        states = [states, numbers(state, 1, 1, hidden)]
    try:
        with torch.autocast("cpu", dtype=autocast, enabled=autocast is not None):
            output = function.run(
                numbers(x, 1, 1, 1), states, weights, True, 1, 0.0, True, False, False
            )[0]
            output.sum().backward()
    except RuntimeError:
        return False
    return True
