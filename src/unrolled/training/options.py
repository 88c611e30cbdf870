"""Options as typed dataclasses: what training can be told, and the way to and from TOML.

Flags, TOML files and Python keywords all build the same dataclass, whose ``__post_init__`` checks
the values; a wrong one is reported in the same words wherever it came from.
"""

from __future__ import annotations

import math
import reprlib
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from unrolled.training.atomic import write_file
from unrolled.training.duration import parse_duration
from unrolled.training.errors import UserError
from unrolled.training.reading import read_bytes

Options = TypeVar("Options")


@dataclass(frozen=True)
class TrainingOptions:
    """How to train, whatever the task.

    Attributes:
        seq_len: Steps of one chunk: the gradient is cut after so many.
        batch_size: Streams trained side by side, each with its own carried state.
        random_boundaries: Let each epoch cut its chunks at other places.
        optimizer: Update rule.
        lr: Highest learning rate.
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
        sample_length: Length of the sample written at each validation; 0 for none.
        seed: Seed of everything random.
        threads: Threads for the CPU; 0 leaves it to PyTorch.
        device: Where to train.
        precision: Number format; bf16-mixed keeps the weights in 32 bits.
    """

    seq_len: int = 64
    batch_size: int = 32
    random_boundaries: bool = True
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float = 4e-3
    weight_decay: float = 0.3
    clip: float = 1.0
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = 0.03
    final_lr: float = 0.01
    ema: float = 0.0
    max_epochs: int | None = None
    max_steps: int | None = None
    max_time: float | str | None = None
    patience: int | None = None
    val_every: int = 0
    checkpoint_every: float | str = "60s"
    checkpoint_steps: int = 0
    log_every: int = 20
    lens_every: int = 100
    sample_length: int = 300
    seed: int = 0
    threads: int = 0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["32", "bf16-mixed", "64"] = "32"

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value is outside its range.
        """
        for name in ("seq_len", "batch_size", "log_every"):
            at_least(self, name, 1)
        for name in ("weight_decay", "clip", "val_every", "checkpoint_steps", "sample_length"):
            at_least(self, name, 0)
        at_least(self, "lens_every", 0)
        for name in ("max_epochs", "max_steps", "patience"):
            at_least(self, name, 1)
        for name in ("seed", "threads"):
            at_least(self, name, 0)
        if self.seed >= 2**63:
            raise UserError(f"--seed: expected less than 2**63, got {self.seed}")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise UserError(f"--lr: expected a number greater than zero, got {self.lr}")
        share(self, "warmup")
        share(self, "final_lr", closed=True)
        share(self, "ema")
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


def flag(name: str) -> str:
    """The command line's spelling of an option: ``hidden_size`` is ``--hidden-size``."""
    return "--" + name.replace("_", "-")


def at_least(options: object, name: str, least: float) -> None:
    """Refuse an option that is below ``least`` or not finite; None passes.

    Raises:
        UserError: The value is too small, or not a number.
    """
    value = getattr(options, name)
    if value is not None and not (math.isfinite(value) and value >= least):
        raise UserError(f"{flag(name)}: expected {least} or more, got {value}")


def share(options: object, name: str, *, closed: bool = False) -> None:
    """Refuse an option outside [0, 1), or [0, 1] if ``closed``.

    Raises:
        UserError: The value is outside the interval.
    """
    value = getattr(options, name)
    if not (0 <= value < 1 or (closed and value == 1)):
        bound = "0 to 1" if closed else "0 to below 1"
        raise UserError(f"{flag(name)}: expected {bound}, got {value}")


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
        raise UserError(f"{where}: expected a table, got {_shown(table)}")
    hints = typing.get_type_hints(kind)
    known = {field.name: hints[field.name] for field in fields(kind)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            listed = ", ".join(sorted(known))
            raise UserError(f"{where}: unknown key {_shown(key)}; known: {listed}")
        hint = known[key]
        if isinstance(hint, type) and is_dataclass(hint):
            values[key] = check_table(hint, value, f"{where} [{key}]")
        elif not _fits(value, hint):
            raise UserError(f"{where}: {key}: expected {_words(hint)}, got {_shown(value)}")
        else:
            values[key] = tuple(value) if isinstance(value, list) else value
    return values


def build(kind: type[Options], values: Mapping[str, Any]) -> Options:
    """Build a dataclass, and those inside it, from checked values; the rest are defaults."""
    hints = typing.get_type_hints(kind)
    return kind(
        **{
            key: build(hints[key], value) if is_dataclass(hints[key]) else value
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
    for key, value in _without_none(asdict(options)).items():
        document.add(key, value)
    write_file(path, tomlkit.dumps(document).encode())


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value)
        if isinstance(value, dict)
        else list(value)
        if isinstance(value, tuple)
        else value
        for key, value in values.items()
        if value is not None
    }


def _fits(value: object, hint: Any) -> bool:
    """Whether a TOML value has the type a field asks for."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, choice) for choice in typing.get_args(hint))
    if origin is Literal:
        return isinstance(value, str) and value in typing.get_args(hint)
    if origin is tuple:
        item = typing.get_args(hint)[0]
        return isinstance(value, list | tuple) and all(_fits(one, item) for one in value)
    if hint in (int, float) and isinstance(value, int):
        return not isinstance(value, bool) and abs(value) < 2**63
    return isinstance(value, hint)


def _shown(value: object) -> str:
    """A value for errors, shortened if it is long or deep."""
    try:
        return reprlib.repr(value)
    except ValueError:
        return "a number of thousands of digits"


def _words(hint: Any) -> str:
    """A type in words, for errors."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(
            _words(choice) for choice in typing.get_args(hint) if choice is not types.NoneType
        )
    if origin is Literal:
        return "one of " + ", ".join(typing.get_args(hint))
    if origin is tuple:
        return "a list"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[hint]
