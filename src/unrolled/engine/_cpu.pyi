from typing import Any

from torch import Tensor

def instruction_sets() -> list[str]: ...
def plans() -> list[str]: ...
def target(isa: str) -> tuple[str, str]: ...
def add_kernel(target: str, name: str, path: str, symbol: str) -> None: ...
def advise(array: Tensor) -> None: ...
def release_memory() -> int: ...
def call(
    isa: str,
    name: str,
    mode: str,
    bfloat16: bool,
    descending: bool,
    hidden: int,
    projected: int,
    heads: int,
    threads: int,
    slices: int,
    lengths: Tensor | None,
    input: Tensor,  # noqa: A002
    exact_input: Tensor | None,
    input_weights: Tensor,
    input_bias: Tensor | None,
    recurrent_bias: Tensor | None,
    matrices: list[Tensor],
    vectors: Tensor | None,
    initial: list[Tensor],
    last: list[Tensor],
    output: Tensor,
    tape: Tensor | None,
    reset: Tensor | None,
    anew: list[Tensor],
    rates: list[float],
    drawing: bool,
    seed: int,
    first_step: int,
    block: int = ...,
    gradient: Tensor | None = ...,
    gradient_last: list[Tensor | None] = ...,
    gradient_tape: Tensor | None = ...,
    gradient_input: Tensor | None = ...,
    gradient_input_weights: Tensor | None = ...,
    gradient_input_bias: Tensor | None = ...,
    gradient_recurrent_bias: Tensor | None = ...,
    gradient_matrices: list[Tensor] = ...,
    gradient_vectors: Tensor | None = ...,
    gradient_anew: list[Tensor] = ...,
) -> None: ...

class Stream:
    def __init__(
        self,
        isa: str,
        name: str,
        rows: int,
        input_size: int,
        hidden: int,
        projected: int,
        layers: list[
            tuple[Tensor, Tensor | None, Tensor | None, list[Tensor], Tensor | None, list[float]]
        ],
        outputs: list[object],
        heads: int = ...,
    ) -> None: ...
    def clone(self, outputs: list[object]) -> Stream: ...
    def step(self, x: object, out: object = None) -> Any: ...
    def run(self, block: object, out: object) -> None: ...
    def step_rows(self, rows: object, x: object, out: object) -> None: ...
    def read_state(self, state: int, to: Tensor, rows: object = ...) -> None: ...
    def write_state(self, state: int, source: Tensor, rows: object = ...) -> None: ...

class Kept:
    def __init__(
        self,
        isa: str,
        name: str,
        rows: int,
        input_size: int,
        hidden: int,
        projected: int,
        heads: int,
        names: list[tuple[str | None, ...]],
        masks: list[float],
        kind: type,
    ) -> None: ...
    def run(
        self,
        parameters: dict[str, Any],
        x: Tensor,
        batch_first: bool,
        initial: list[Tensor],
        output: Tensor,
        last: list[Tensor],
    ) -> None: ...

def row_numbers(rows: object, count: int) -> list[int]: ...
