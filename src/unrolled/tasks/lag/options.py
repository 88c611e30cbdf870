"""Options of the lag experiment."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from unrolled.errors import UserError
from unrolled.ranges import SEED, SHARE, Range, shown
from unrolled.training.options import CLIP, RATE, CheckedOptions

from .variants import LAG, Variant, takes, variant

TASKS = ("copy", "adding", "recall")
PROCESSES = Range(1, 256)
"""Models trained at a time."""
SHORTEST, LONGEST = 2, 10_000


@dataclass(frozen=True)
class LagOptions(CheckedOptions):
    """Which models are trained, on what, and for how long. Names may be joined by commas.

    Attributes:
        tasks: Problems: copy, adding, recall.
        cells: Cells, each with options of its own if wanted: lstm+chrono, rnn+orthogonal,
            gru+forget-bias=2, rnn+identity+relu, lstm+layer-norm.
        lags: Steps over which something must be remembered.
        word: Letters of the word in copy memory.
        every_step: Ask for an answer at every step in copy memory, "nothing" until the marker,
            which then stays on (Bai, Kolter & Koltun, 2018).
        hidden: Units of a model.
        forget_bias: Bias with which forget gates begin, of all cells that have one.
        orthogonal: Begin with orthogonal recurrent matrices.
        chrono: Begin with gates that remember for up to the lag (Tallec & Ollivier, 2018), in all
            cells that have gates of memory.
        layer_norm: Normalise the products of all cells.
        clip: Largest norm of the gradient; 0 leaves it alone.
        lr: Learning rate. [default: 0.02 for cells with gates of memory, 0.003 for others]
        ramp: Share of the updates over which the lag of training grows, in equal ratios, from 10
            to its value; the test always has its value.
        schedule: Course of the learning rate, from --lr to zero after --updates.
        batch: Sequences of an update.
        updates: Most updates of a model; one that has solved its problem stops earlier.
        stop_loss: Mean loss of 20 updates from which a problem counts as solved; 0 for never.
            [default: 98 % right answers, whatever the loss]
        minutes: Stop after so many minutes and draw what there is. [default: no limit]
        seed: Seed of weights and sequences.
    """

    tasks: tuple[str, ...] = TASKS
    cells: tuple[str, ...] = ("rnn", "rnn+orthogonal", "gru", "lstm", "lstm+chrono")
    lags: tuple[str | int, ...] = (10, 50, 100, 200, 400)
    word: Annotated[int, Range(1, 1000)] = 3
    every_step: bool = False
    hidden: Annotated[int, Range(1, 4096)] = 32
    forget_bias: Annotated[float | None, Range(-1e6, 1e6)] = None
    orthogonal: bool = False
    chrono: bool = False
    layer_norm: bool = False
    clip: Annotated[float, CLIP] = 1.0
    lr: Annotated[float | None, RATE] = None
    ramp: Annotated[float, SHARE] = 0.0
    schedule: Literal["cosine", "linear", "constant"] = "constant"
    batch: Annotated[int, Range(1, 65536)] = 64
    updates: Annotated[int, Range(0, 10**7)] = 3000
    stop_loss: Annotated[float | None, Range(0, 1e38)] = None
    minutes: Annotated[float | None, Range(0, 10**6, open_below=True)] = None
    seed: Annotated[int, SEED] = 0

    def __post_init__(self) -> None:
        """Check the values, and split names joined by commas.

        Raises:
            UserError: A value is none of those there are.
        """
        super().__post_init__()
        self._set("tasks", _split(self.tasks, "tasks"))
        for task in self.tasks:
            _one_of("tasks", task, TASKS)
        self._set("lags", tuple(sorted({_lag(word) for word in _split(self.lags, "lags")})))
        if self.forget_bias is not None and self.chrono:
            raise UserError("--forget-bias and --chrono set the same bias; give one of them")
        self._set("cells", tuple(v.name for v in self.variants()))
        for option in ("forget_bias", "chrono"):
            if getattr(self, option) not in (None, False) and not any(
                takes(v.cell, option) for v in self.variants()
            ):
                raise UserError(
                    f"--{option.replace('_', '-')}: none of {', '.join(self.cells)} has a gate of "
                    "memory whose bias could be set"
                )

    def variants(self) -> list[Variant]:
        """The cells with all their options."""
        common: dict[str, Any] = {}
        if self.forget_bias is not None:
            common["forget_bias"] = self.forget_bias
        if self.orthogonal:
            common["recurrent_init"] = "orthogonal"
        if self.chrono:
            common["chrono"] = LAG
        if self.layer_norm:
            common["layer_norm"] = True
        found = [variant(text, common) for text in _split(self.cells, "cells")]
        return list({one.name: one for one in found}.values())

    def variant(self, name: str) -> Variant:
        """The cell of this name."""
        return next(one for one in self.variants() if one.name == name)

    def learning_rate(self, name: str) -> float:
        """The learning rate of a cell: without gates, larger ones make the weights run away."""
        if self.lr is not None:
            return self.lr
        return 2e-2 if self.variant(name).cell.gates_of_memory else 3e-3

    def settings(self) -> dict[str, Any]:
        """All that a single result depends on, besides its task, cell and lag."""
        own = asdict(self)
        for name in ("tasks", "cells", "lags", "minutes"):
            del own[name]
        return own

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)


def _split(words: Iterable[object], name: str) -> tuple[str, ...]:
    found = [part.strip() for word in words for part in str(word).split(",")]
    if not any(found):
        raise UserError(f"--{name}: expected at least one, got none")
    return tuple(dict.fromkeys(found))


def _one_of(name: str, word: str, known: Collection[str]) -> None:
    if word not in known:
        raise UserError(f"--{name}: expected some of {', '.join(known)}, got {shown(word)}")


def _lag(word: str) -> int:
    if not word.isdecimal() or len(word) > 9 or not SHORTEST <= int(word) <= LONGEST:
        raise UserError(
            f"--lags: expected whole numbers from {SHORTEST} to {LONGEST}, got {shown(word)}"
        )
    return int(word)
