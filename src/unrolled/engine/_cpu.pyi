from typing import Any

def instruction_sets() -> list[str]: ...
def plans() -> list[str]: ...
def target(isa: str) -> tuple[str, str]: ...
def add_kernel(target: str, name: str, kernel: int) -> None: ...
def advise(begin: int, bytes: int) -> None: ...  # noqa: A002
def call(
    isa: str,
    name: str,
    mode: str,
    bfloat16: bool,
    descending: bool,
    steps: int,
    rows: int,
    hidden: int,
    projected: int,
    threads: int,
    slices: int,
    lengths: int,
    input: tuple[int, int, int],  # noqa: A002
    input_size: int,
    input_weights: int,
    input_bias: int,
    recurrent_bias: int,
    matrices: list[int],
    initial: list[int],
    last: list[int],
    output: tuple[int, int, int],
    tape: tuple[int, int, int],
    block: int = ...,
    gradient: tuple[int, int, int] = ...,
    gradient_last: list[int] = ...,
    gradient_input: tuple[int, int, int] = ...,
    gradient_input_weights: int = ...,
    gradient_input_bias: int = ...,
    gradient_recurrent_bias: int = ...,
    gradient_matrices: list[int] = ...,
    reset: tuple[int, int, int] = ...,
    anew: list[int] = ...,
    gradient_anew: list[int] = ...,
    vectors: int = ...,
    exact_input: tuple[int, int, int] = ...,
    gradient_tape: tuple[int, int, int] = ...,
    gradient_vectors: int = ...,
    rates: list[float] = ...,
    drawing: bool = ...,
    seed: int = ...,
    first_step: int = ...,
    heads: int = ...,
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
        layers: list[tuple[int, int, int, list[int], int, list[float]]],
        tensor: type,
        float32: object,
        outputs: tuple[object, object, object, object],
        output: int,
    ) -> None: ...
    def clone(self, outputs: tuple[object, object, object, object], output: int) -> Stream: ...
    def step(self, x: object, out: object = None) -> Any: ...
    def run(self, block: object, out: object) -> None: ...
    def read_state(self, state: int, to: int) -> None: ...
    def write_state(self, state: int, source: int) -> None: ...
