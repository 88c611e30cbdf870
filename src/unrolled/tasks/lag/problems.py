"""Problems whose lag is a dial: each can be solved only by what came so many steps earlier.

Everything is drawn afresh for every batch, so that what a model gets right it has learned, and no
sequence is ever seen twice.

References:
    Hochreiter & Schmidhuber, 1997 (the adding problem, copying; the tolerance of a sum); Le, Jaitly
    & Hinton, 2015; Arjovsky, Shah & Bengio, 2016 (the forms in use since); Bai, Kolter & Koltun,
    2018 (copy memory with an answer at every step).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from torch import Generator, Tensor
from torch.nn import functional

from .options import LagOptions

SYMBOLS = 8
"""Letters of the copied word, and values of a fact."""
NAMES = 2
"""Facts to hold at a time."""
DISTRACTIONS = 4
"""Letters that mean nothing."""
TOLERANCE = 0.08
"""How near a sum must be: Hochreiter & Schmidhuber's 0.04 of 0.5 + (X₁ + X₂) / 4, X in [-1, 1]."""


class Problem(ABC):
    """One problem.

    Attributes:
        name: what the command line calls it.
        title: what a picture calls it.
        words: what is asked, in a sentence.
        right: what counts as right, in a few words.
        inputs: features of x.
        outputs: numbers that the model gives for an answer.
        answers: how many of the last steps are answers.
        chance: share of answers that are right without any memory, at best.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    words: str
    right: ClassVar[str]
    inputs: ClassVar[int]
    outputs: int
    answers: int = 1
    chance: ClassVar[float]

    @classmethod
    def of(cls, options: LagOptions) -> Self:
        """The problem in the size that the options ask for."""
        return cls()

    @property
    def asked(self) -> slice:
        """The steps that have a loss: those of the answers."""
        return slice(-self.answers, None)

    @abstractmethod
    def draw(self, lag: int, rows: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """A batch: x ``[T, rows, inputs]`` and the targets ``[asked, rows]`` of the steps asked."""

    @abstractmethod
    def losses(self, given: Tensor, target: Tensor) -> Tensor:
        """Losses ``[asked, rows]`` of what the model gave, ``[asked, rows, outputs]``."""

    @abstractmethod
    def hits(self, given: Tensor, target: Tensor) -> Tensor:
        """Which answers are right, ``[answers, rows]``."""


class _Choice(Problem):
    """An answer is one of the symbols."""

    outputs = SYMBOLS
    chance = 1 / SYMBOLS

    def losses(self, given: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(given.movedim(-1, 1), target, reduction="none")

    def hits(self, given: Tensor, target: Tensor) -> Tensor:
        return given[-self.answers :].argmax(-1) == target[-self.answers :]


class Copy(_Choice):
    """Copy memory.

    ===========================  ==============  =============  ========  ==============
    steps                        word            lag - 1        1         word
    input                        letters         nothing        go        nothing
    answer                                                                the letters
    input with ``every_step``    letters         nothing        go        go
    answer with ``every_step``   nothing         nothing        nothing   the letters
    ===========================  ==============  =============  ========  ==============

    Every letter is answered word + lag steps after it was read. Features: the letters, then "go".
    "Nothing" as an answer is a class of its own, after the letters. A model without memory that
    answers at every step has a mean loss of word · ln 8 / (lag + 2 word) at best.

    Args:
        word: letters to copy.
        every_step: ask for an answer at every step, in the form of Bai, Kolter & Koltun.
    """

    name = "copy"
    title = "Copy memory"
    right = "letters repeated"
    inputs = SYMBOLS + 1

    def __init__(self, word: int, *, every_step: bool) -> None:
        self.words = f"Repeat a word of {word} letters after a pause."
        self.answers, self.every_step = word, every_step
        self.outputs = SYMBOLS + every_step

    @classmethod
    def of(cls, options: LagOptions) -> Self:
        """See `Problem`."""
        return cls(options.word, every_step=options.every_step)

    @property
    def asked(self) -> slice:
        """Steps that have a loss: those of the answers, or all."""
        return slice(None) if self.every_step else super().asked

    def draw(self, lag: int, rows: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """See the class."""
        letters, go = self.answers, self.answers + lag - 1
        word = torch.randint(
            SYMBOLS, (letters, rows), generator=generator, dtype=torch.int64, device="cpu"
        )
        x = torch.zeros(2 * letters + lag, rows, self.inputs, dtype=torch.float32, device="cpu")
        x[:letters] = functional.one_hot(word, self.inputs)
        x[go : None if self.every_step else go + 1, :, SYMBOLS] = 1
        nothing = torch.full((go + 1, rows), SYMBOLS, dtype=torch.int64, device="cpu")
        return x, torch.cat([nothing, word])[self.asked]


class Adding(Problem):
    """The adding problem.

    x_t = (u_t, m_t), u uniform on [0, 1]; the mark m is 1 at one step of the first half and at one
    of the second, else 0. The answer, at the last of the lag steps, is the sum of the two marked u.
    Without memory the best answer is 1, whose squared error is 1/6 on average.
    """

    name = "adding"
    title = "Adding problem"
    words = "Add the two numbers of a long list that are marked."
    right = f"sums within {TOLERANCE}"
    inputs = 2
    outputs = 1
    chance = 2 * TOLERANCE - TOLERANCE**2  # |u₁ + u₂ - 1| is triangular on [0, 1]

    def draw(self, lag: int, rows: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """See the class."""
        numbers = torch.rand(lag, rows, generator=generator, dtype=torch.float32, device="cpu")
        half, every = lag // 2, torch.arange(rows, dtype=torch.int64, device="cpu")
        marks = torch.zeros(lag, rows, dtype=torch.float32, device="cpu")
        marks[
            torch.randint(half, (rows,), generator=generator, dtype=torch.int64, device="cpu"),
            every,
        ] = 1
        marks[
            torch.randint(half, lag, (rows,), generator=generator, dtype=torch.int64, device="cpu"),
            every,
        ] = 1
        return torch.stack([numbers, marks], -1), (numbers * marks).sum(0, keepdim=True)

    def losses(self, given: Tensor, target: Tensor) -> Tensor:
        """The squared error."""
        return (given.squeeze(-1) - target).square()

    def hits(self, given: Tensor, target: Tensor) -> Tensor:
        """Within the tolerance."""
        return (given.squeeze(-1) - target).abs() < TOLERANCE


class Recall(_Choice):
    """Recall of a named fact.

    ========  ==================  =============  ==============
    steps     NAMES               lag - 1        1
    input     name and its value  distraction    one of the names
    answer                                       its value
    ========  ==================  =============  ==============

    The names come in any order, each with a value. Features: names, values, distractions.
    """

    name = "recall"
    title = "Recall of a fact"
    words = f"Hear {NAMES} named facts, then noise, then a name: tell its fact."
    right = "facts recalled"
    inputs = NAMES + SYMBOLS + DISTRACTIONS

    def draw(self, lag: int, rows: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """See the class."""
        order = torch.rand(
            NAMES, rows, generator=generator, dtype=torch.float32, device="cpu"
        ).argsort(0)
        values = torch.randint(
            SYMBOLS, (NAMES, rows), generator=generator, dtype=torch.int64, device="cpu"
        )
        noise = torch.randint(
            DISTRACTIONS, (lag - 1, rows), generator=generator, dtype=torch.int64, device="cpu"
        )
        asked = torch.randint(
            NAMES, (1, rows), generator=generator, dtype=torch.int64, device="cpu"
        )
        x = torch.zeros(NAMES + lag, rows, self.inputs, dtype=torch.float32, device="cpu")
        x[:NAMES, :, :NAMES] = functional.one_hot(order, NAMES).float()
        x[:NAMES, :, NAMES : NAMES + SYMBOLS] = functional.one_hot(values, SYMBOLS).float()
        x[NAMES:-1, :, NAMES + SYMBOLS :] = functional.one_hot(noise, DISTRACTIONS).float()
        x[-1:, :, :NAMES] = functional.one_hot(order.gather(0, asked), NAMES).float()
        return x, values.gather(0, asked)


PROBLEMS: Mapping[str, type[Problem]] = {kind.name: kind for kind in (Copy, Adding, Recall)}


def problem(name: str, options: LagOptions) -> Problem:
    """The problem of this name, in the size that the options ask for."""
    return PROBLEMS[name].of(options)
