"""The worked example's network: a cell, a word and a hidden size, in float64.

Each letter of the word is to predict the next one. The letters are numbered as they first appear
and come in as one-hot vectors x; what goes out are the classes' scores o = V h + d.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from unrolled.cells import BUILTIN, RNN, Cell
from unrolled.layers import Recurrent
from unrolled.layers.parameters import names as names_of

LETTERS = (2, 40)
"""The shortest and the longest word."""

UNITS = (1, 8)
"""The fewest and the most."""

CHOICES: Mapping[str, Cell] = {cell.name: cell for cell in BUILTIN}
"""Cells by their names."""

# The example that is worked out by hand: "hello" on three units, letters as h, e, l, o.
_W = [
    [0.2973, 0.2766, 0.7974],
    [0.3869, 0.9170, 0.4125],
    [0.5538, 0.5646, 0.5026],
    [0.2206, 0.6801, 0.3880],
]
_U = [[0.3152, 0.5083, 0.9454], [0.3008, 0.6058, 0.2999], [0.9741, 0.3419, 0.9133]]
_V = [
    [0.3189, 0.6216, 0.5164, 0.7501],
    [0.0260, 0.6230, 0.0179, 0.6123],
    [0.1320, 0.9009, 0.3873, 0.8142],
]

Numbers = list[float] | list[list[float]]


@dataclass(frozen=True)
class Setting:
    """What is worked out.

    Attributes:
        cell: one of `CHOICES`.
        word: 2 to 40 letters, not all the same.
        hidden: units, 1 to 8.
        bias: whether there are biases.
        seed: of the first weights, where they are random.
        scale: what the recurrent weights are multiplied by.
        weights: by name, as `Network.numbers` gives them; None for the first ones.

    Raises:
        ValueError: if one is not as described.
    """

    cell: str = "rnn"
    word: str = "hello"
    hidden: int = 3
    bias: bool = False
    seed: int = 0
    scale: float = 1.0
    weights: Mapping[str, Numbers] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        shortest, longest = LETTERS
        if self.cell not in CHOICES:
            raise ValueError(f"cell: expected one of {', '.join(CHOICES)}, got {self.cell!r:.60}")
        if not shortest <= len(self.word) <= longest:
            raise ValueError(
                f"word: expected {shortest} to {longest} letters, got {len(self.word):,}"
            )
        if len(set(self.word)) == 1:
            # With one class its probability is 1 from the start: every loss and gradient is 0.
            raise ValueError(
                f"word: expected two different letters or more, got {self.word[0]!r} "
                f"{len(self.word)} times: there is nothing to predict"
            )
        unprintable = [letter for letter in self.word if not letter.isprintable()]
        if unprintable:
            raise ValueError(f"word: expected letters that can be shown, got {unprintable[0]!r}")
        if not UNITS[0] <= self.hidden <= UNITS[1]:
            raise ValueError(
                f"hidden: expected {UNITS[0]} to {UNITS[1]} units, got {self.hidden:,}"
            )

    @property
    def letters(self) -> str:
        """The classes: the word's letters, each once, as they first appear."""
        return "".join(dict.fromkeys(self.word))


class Network(nn.Module):
    """The cell and its read-out.

    Where x stands in the cell's equations itself it has to have as many numbers as units: there a
    letter comes in as a column of a learned matrix E.

    Args:
        setting: its weights are the network's.

    Raises:
        ValueError: if the setting's weights do not fit.
    """

    _drawing = threading.Lock()  # torch has one generator for all

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.setting = setting
        cell, hidden, bias = CHOICES[setting.cell], setting.hidden, setting.bias
        classes = len(setting.letters)
        with self._drawing, torch.random.fork_rng(devices=[]):
            torch.manual_seed(setting.seed)
            try:
                self.layer = Recurrent(cell, classes, hidden, bias=bias, dtype=torch.float64)
                self.embedding = None
            except ValueError:
                self.layer = Recurrent(cell, hidden, hidden, bias=bias, dtype=torch.float64)
                self.embedding = nn.Linear(classes, hidden, bias=False, dtype=torch.float64)
            self.readout = nn.Linear(hidden, classes, bias=bias, dtype=torch.float64)
        if setting.weights is not None:
            self._load(setting.weights)
        elif is_by_hand(setting):
            self._load_by_hand()
        with torch.no_grad():
            for name in self.scaled:
                self.tensors[name] *= setting.scale

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Every weight by its name in the equations; changing one changes the network."""
        found = {} if self.embedding is None else {"E": self.embedding.weight}
        found |= {name: self.layer.gate(name) for name in names_of(self.layer.description)}
        found |= {"V": self.readout.weight}
        return found | ({"d": self.readout.bias} if self.setting.bias else {})

    @property
    def numbers(self) -> dict[str, Numbers]:
        """The weights as lists."""
        return {name: tensor.tolist() for name, tensor in self.tensors.items()}

    @property
    def scaled(self) -> list[str]:
        """The weights by which the past comes in: the matrices U, or, without one, the vectors."""
        names = names_of(self.layer.description)
        matrices = [name for name in names if name[:2] == "U." and not name.endswith(".bias")]
        return matrices or [name for name in names if name[:2] == "V."]

    def forward(self, x: Tensor) -> Tensor:
        """Scores ``[T, 1, C]`` of one-hot letters ``[T, 1, C]``."""
        x = x if self.embedding is None else self.embedding(x)
        scores: Tensor = self.readout(self.layer(x)[0])
        return scores

    @property
    def x(self) -> Tensor:
        """The word's letters but the last, ``[T, 1, C]``."""
        letters = self.setting.letters
        places = torch.tensor(
            [letters.index(letter) for letter in self.setting.word[:-1]],
            device="cpu",
            dtype=torch.int64,
        )
        return nn.functional.one_hot(places, len(letters)).double().unsqueeze(1)

    @property
    def targets(self) -> Tensor:
        """The word's letters but the first, as classes ``[T]``."""
        letters = self.setting.letters
        return torch.tensor(
            [letters.index(letter) for letter in self.setting.word[1:]],
            device="cpu",
            dtype=torch.int64,
        )

    def loss(self, scores: Tensor) -> Tensor:
        """The loss of each step, ``[T]``: -log of the right letter's probability."""
        return cross_entropy(scores.squeeze(1), self.targets, reduction="none")

    @torch.no_grad()
    def _load(self, numbers: Mapping[str, Numbers]) -> None:
        tensors = self.tensors
        if tensors.keys() != numbers.keys():
            raise ValueError(
                f"weights: expected {', '.join(tensors)}, got {', '.join(numbers):.200}"
            )
        for name, tensor in tensors.items():
            try:
                found = torch.tensor(numbers[name], dtype=torch.float64, device="cpu")
            except (ValueError, TypeError):
                found = torch.empty(0, dtype=torch.float64, device="cpu")
            if found.shape != tensor.shape or not found.isfinite().all():
                shape = " x ".join(map(str, tensor.shape))
                raise ValueError(f"weights.{name}: expected {shape} finite numbers")
            tensor.copy_(found)

    @torch.no_grad()
    def _load_by_hand(self) -> None:
        for name, rows in (("W.h", _W), ("U.h", _U), ("V", _V)):
            self.tensors[name].copy_(torch.tensor(rows, dtype=torch.float64, device="cpu").T)
        for name in ("W.h.bias", "U.h.bias", "d"):
            if name in self.tensors:
                self.tensors[name].zero_()


def is_by_hand(setting: Setting) -> bool:
    """Whether the first weights are those of the example that is worked out by hand."""
    simple = isinstance(CHOICES[setting.cell], RNN)
    return simple and setting.word == "hello" and setting.hidden == 3 and setting.seed == 0
