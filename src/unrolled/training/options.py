"""Options of training as a typed dataclass, and the way of any such dataclass to and from TOML.

Flags, TOML files and Python keywords all build the same dataclass. Each option's annotation has its
range; a wrong value is reported in the same words wherever it came from.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from unrolled.errors import UserError
from unrolled.files import read_bytes, write_file
from unrolled.ranges import (
    COUNT,
    COUNT_OR_NONE,
    SEED,
    SHARE,
    SIZE,
    THREADS,
    Range,
    complaint,
    complaint_about,
    expected,
    fits,
    hints,
    shown,
)
from unrolled.training.duration import parse_duration

Options = TypeVar("Options")

RATE = Range(0, 1e38, open_below=True)
"""Learning rates: what 32 bits hold. One that is too large is found when the weights run away."""

CLIP = Range(0, 1e38)
"""Largest norms of a gradient; 0 for none."""

PROCESSES = Range(1, 256)
"""Processes of one machine."""

LIMITS = ("max_epochs", "max_steps", "max_time", "patience")
"""Options that may be changed when a run goes on."""


class CheckedOptions:
    """Base of dataclasses of options: every value fits the type and range of its annotation."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value is of another type, or outside its range.
        """
        if wrong := complaint(self):
            raise UserError(wrong)


@dataclass(frozen=True)
class TrainingOptions(CheckedOptions):
    """How to train, whatever the task. Tasks set defaults of their own and add options.

    Attributes:
        batch_size: Sequences or streams trained side by side in an update.
        optimizer: Update rule.
        lr: Highest learning rate.
        beta2: Decay of the average of squared gradients, for adam and adamw.
        weight_decay: Weight decay, on weight matrices only (never on biases or embeddings).
        clip: Largest norm of the gradient; 0 leaves it alone.
        schedule: Course of the learning rate after warm-up.
        warmup: Share of the training spent raising the learning rate to --lr.
        final_lr: Learning rate at the end, as a share of --lr.
        ema: Decay of a moving average of the weights, used for validation; 0 for none.
        max_epochs: Stop after so many passes over the data.
        max_steps: Stop after so many updates.
        max_time: Stop after so much training time (90s, 2m, 1h30m); the schedule ends with it.
        patience: Stop after so many validations without a better one.
        val_every: Updates between validations; 0 for once per epoch.
        checkpoint_every: Time between checkpoints (90s, 2m).
        checkpoint_steps: Updates between checkpoints, besides those by time; 0 for none.
        log_every: Updates between rows of the log.
        lens_every: Updates between looks through time (influence, half-life, saturation), more
            where these would take over 3 % of the training time; 0 for none.
        seed: Seed of everything random.
        threads: Threads for the CPU, of each process; 0 leaves it to PyTorch.
        processes: Processes of this machine that share every batch; torchrun's number goes first.
        device: Where to train.
        precision: Number format; bf16-mixed keeps the weights in 32 bits.
    """

    batch_size: Annotated[int, SIZE] = 32
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: Annotated[float, RATE] = 1e-3
    beta2: Annotated[float, SHARE] = 0.999
    weight_decay: Annotated[float, Range(0, 1e38)] = 0.01
    clip: Annotated[float, CLIP] = 1.0
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: Annotated[float, SHARE] = 0.03
    final_lr: Annotated[float, Range(0, 1)] = 0.01
    ema: Annotated[float, SHARE] = 0.0
    max_epochs: Annotated[int | None, COUNT] = None
    max_steps: Annotated[int | None, COUNT] = None
    max_time: float | str | None = None
    patience: Annotated[int | None, COUNT] = None
    val_every: Annotated[int, COUNT_OR_NONE] = 0
    checkpoint_every: float | str = "60s"
    checkpoint_steps: Annotated[int, COUNT_OR_NONE] = 0
    log_every: Annotated[int, COUNT] = 20
    lens_every: Annotated[int, COUNT_OR_NONE] = 100
    seed: Annotated[int, SEED] = 0
    threads: Annotated[int, THREADS] = 0
    processes: Annotated[int, PROCESSES] = 1
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["32", "bf16-mixed", "64"] = "32"

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value is outside its range.
        """
        super().__post_init__()
        if self.max_time is not None:
            parse_duration(self.max_time, "--max-time")
        parse_duration(self.checkpoint_every, "--checkpoint-every")

    @property
    def max_seconds(self) -> float | None:
        """``max_time`` in seconds."""
        return None if self.max_time is None else parse_duration(self.max_time, "--max-time")

    @property
    def epochs(self) -> int | None:
        """``max_epochs``, or 10 where no limit at all was given."""
        unlimited = self.max_epochs is None and self.max_steps is None and self.max_time is None
        return 10 if unlimited else self.max_epochs


def check_value(name: str, value: object, hint: Any) -> None:
    """Refuse one argument of a function that does not fit its annotation.

    Raises:
        UserError: The value is of another type, or outside its range.
    """
    if wrong := complaint_about(name, value, hint):
        raise UserError(wrong)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        UserError: The file is missing, unreadable or not TOML.
    """
    content = read_bytes(path)
    try:
        return tomllib.loads(content.decode())
    except ValueError as error:  # also of bytes that are not UTF-8 and numbers without end
        raise UserError(f"{path}: not a valid TOML file: {error}") from error
    except RecursionError as error:
        raise UserError(f"{path}: not a valid TOML file: nested too deeply") from error


def check_table(kind: type, table: object, where: str) -> dict[str, Any]:
    """Check the keys and types of a table against a dataclass, without filling in defaults.

    Args:
        kind: A dataclass; fields that are dataclasses themselves are sub-tables.
        table: What TOML or JSON gave.
        where: Name of the file, for errors.

    Returns:
        The values, lists turned to tuples, sub-tables checked alike.

    Raises:
        UserError: An unknown key or a value of the wrong type.
    """
    if not isinstance(table, Mapping):
        raise UserError(f"{where}: expected a table, got {shown(table)}")
    known = hints(kind)
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            listed = ", ".join(sorted(known))
            raise UserError(f"{where}: unknown key {shown(key)}; known: {listed}")
        hint = known[key]
        if isinstance(hint, type) and is_dataclass(hint):
            values[key] = check_table(hint, value, f"{where} [{key}]")
        elif not fits(value, hint):
            raise UserError(f"{where}: {key}: expected {expected(hint)}, got {shown(value)}")
        else:
            values[key] = tuple(value) if isinstance(value, list) else value
    return values


def build(kind: type[Options], values: Mapping[str, Any]) -> Options:
    """Build a dataclass, and those inside it, from checked values; the rest are defaults."""
    known = hints(kind)
    return kind(
        **{
            key: build(known[key], value) if is_dataclass(known[key]) else value
            for key, value in values.items()
        }
    )


def read_options(kind: type[Options], path: Path) -> Options:
    """Read a dataclass of options back from TOML.

    Raises:
        UserError: The file is missing, not TOML, or holds an unknown key or a wrong value.
    """
    values = check_table(kind, read_toml(path), str(path))
    try:
        return build(kind, values)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except TypeError as error:  # a key without default is not there
        raise UserError(f"{path}: incomplete: {error}") from error


def write_options(options: Any, path: Path) -> None:
    """Write a dataclass of options as TOML, atomically; None is written as an absent key."""
    import tomlkit

    document = tomlkit.document()
    for key, value in _writable(asdict(options)).items():
        document.add(key, value)
    write_file(path, tomlkit.dumps(document).encode())


def _writable(values: dict[str, Any]) -> dict[str, Any]:
    """What TOML can hold: no None, and of a file's name that is not UTF-8 its escapes."""
    return {key: _as_toml(value) for key, value in values.items() if value is not None}


def _as_toml(value: Any) -> Any:
    if isinstance(value, dict):
        return _writable(value)
    if isinstance(value, tuple):
        return [_as_toml(one) for one in value]
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value
