from typing import Any

from torch import Tensor

def instruction_sets() -> list[str]: ...
def plans() -> list[str]: ...
def target(isa: str) -> tuple[str, str]: ...
def add_kernel(target: str, name: str, path: str, symbol: str) -> None: ...
def advise(array: Tensor) -> None: ...
def release_memory() -> int: ...
def forward(
    x: Tensor,
    initial: list[Tensor],
    weights: list[Tensor],
    lengths: Tensor | None,
    reset: Tensor | None,
    program: str,
    isa: str,
    directions: int,
    batch_first: bool,
    save: bool,
    checkpoint: int,
    seed: Tensor | None,
    rates: list[float],
    threads: int,
    slices: int,
) -> list[Tensor]: ...
def backward(
    gradient: Tensor | None,
    gradient_last: list[Tensor | None],
    gradient_tapes: list[Tensor],
    x: Tensor,
    initial: list[Tensor],
    weights: list[Tensor],
    lengths: Tensor | None,
    reset: Tensor | None,
    output: Tensor,
    tapes: list[Tensor],
    program: str,
    isa: str,
    batch_first: bool,
    need_x: bool,
    checkpoint: int,
    seed: Tensor | None,
    rates: list[float],
    directions: int,
    threads: int,
    slices: int,
    block: int,
) -> list[Tensor]: ...
def forward_part(
    x: Tensor,
    initial: list[Tensor],
    weights: list[Tensor],
    lengths: Tensor | None,
    reset: Tensor | None,
    program: str,
    isa: str,
    seed: Tensor | None,
    rates: list[float],
    descending: bool,
    first_step: int,
    anew: list[Tensor],
    threads: int,
    slices: int,
    output: Tensor,
    last: list[Tensor],
    tapes: list[Tensor],
) -> None: ...
def backward_part(
    x: Tensor,
    initial: list[Tensor],
    weights: list[Tensor],
    lengths: Tensor | None,
    reset: Tensor | None,
    program: str,
    isa: str,
    seed: Tensor | None,
    rates: list[float],
    descending: bool,
    first_step: int,
    anew: list[Tensor],
    threads: int,
    slices: int,
    output: Tensor,
    tapes: list[Tensor],
    block: int,
    gradient: Tensor | None,
    gradient_last: list[Tensor | None],
    gradient_x: list[Tensor],
    gradient_weights: list[Tensor],
    gradient_initial: list[Tensor],
    gradient_anew: list[Tensor],
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
