def instruction_sets() -> list[str]: ...
def plans() -> list[str]: ...
def advise(begin: int, bytes: int) -> None: ...  # noqa: A002
def call(
    isa: str,
    name: str,
    mode: str,
    descending: bool,
    steps: int,
    rows: int,
    hidden: int,
    projected: int,
    lengths: int,
    threads: int,
    tape: tuple[int, int, int],
    output: tuple[int, int, int],
    initial: list[int],
    last: list[int],
    matrices: list[int],
    biases: int,
    input: tuple[int, int, int],  # noqa: A002
    input_size: int,
    input_weights: int,
    from_step: int,
    until_step: int,
    gradient: tuple[int, int, int],
    gradient_last: list[int],
    delta: tuple[int, int, int],
) -> None: ...
