"""What the Inspect view asks of a run, and how a text run answers."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from unrolled.errors import UserError
from unrolled.files import read_bytes, read_json
from unrolled.tasks.text import corpus
from unrolled.tasks.text.predictor import TextPredictor
from unrolled.tasks.text.task import TASK
from unrolled.tasks.text.tokens import Characters
from unrolled.tasks.text.tokens.vocabulary import UNKNOWN
from unrolled.training import session
from unrolled.training.run_folder.folder import RunFolder

LIMIT = 600
"""Most characters of a sample: influence takes memory and time with its square."""

PIECE = 300
"""Characters of a sample that is offered."""


@dataclass(frozen=True)
class Sample:
    """A sample to pick.

    Attributes:
        title: where it is from.
        text: the sample.
    """

    title: str
    text: str


class Subject(Protocol):
    """A trained model, and what its inputs and outputs mean.

    Attributes:
        name: what the page calls it.
        model: in evaluation mode.
    """

    name: str
    model: nn.Module

    def facts(self) -> dict[str, Any]:
        """What the page tells about it: cell, sizes, scores."""
        ...

    def samples(self) -> list[Sample]:
        """Samples to pick."""
        ...

    def rows(self, steps: int, count: int) -> Tensor | None:
        """Unseen data as tokens ``[T, N]``: at most so many steps and sequences; None without."""
        ...

    def tokens(self, sample: str) -> Tensor:
        """A sample as tokens ``[T]``.

        Raises:
            UserError: if the model cannot read it.
        """
        ...

    def name_of(self, token: int) -> str:
        """A token in writing."""
        ...

    def input(self, tokens: Tensor) -> Any:
        """What the model is called with for tokens ``[T, N]``."""
        ...

    def logits(self, output: Any) -> Tensor:
        """What the model says about the next token, ``[T, N, V]``."""
        ...

    def losses(self, output: Any, tokens: Tensor) -> Tensor:
        """Bits that each token takes but the first: ``[T - 1]`` for one sequence ``[T]``."""
        ...


class TextSubject:
    """A run of the text task: tokens are characters.

    Args:
        folder: the run's.
        name: what the page calls it.

    Raises:
        UserError: if the folder is no text run or one of words or subwords, something in it is
            corrupt or leads out of it, or it has no weights.
    """

    def __init__(self, folder: RunFolder, name: str) -> None:
        _check_inside(folder)
        self._run: TextPredictor = session.load(TASK, folder.path)
        vocabulary = self._run.vocabulary
        if not isinstance(vocabulary, Characters):
            raise UserError(
                f"{name}: the page shows models of characters, this is one of {vocabulary.unit}s; "
                "in Python, lens.trace and lens.influence take any model"
            )
        self._vocabulary = vocabulary
        self.name = name
        self.model: nn.Module = self._run.model

    def facts(self) -> dict[str, Any]:
        """What the page tells about it: cell, sizes, bits per character on unseen text."""
        options = self._run.options.model
        try:
            summary = read_json(self._run.folder.summary)
        except UserError:  # not trained to its end
            summary = {}
        bits = _bits(summary)
        return {
            "cell": options.cell.upper(),
            "layers": options.num_layers,
            "units": options.hidden_size,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "characters": len(self._vocabulary) - 1,
            "bits": round(bits, 3) if isinstance(bits, int | float) else None,
        }

    def samples(self) -> list[Sample]:
        """Pieces of the validation text, and what the run wrote last."""
        found = []
        rows = self.rows(PIECE, 6)
        if rows is not None:
            for place, row in enumerate(rows.T, 1):
                text = "".join(map(self.name_of, row.tolist()))
                found.append(Sample(f"validation text, piece {place}", text))
        written = sorted(self._run.folder.samples.glob("*.txt"))
        for path in written[-1:]:
            text = read_bytes(path).decode("utf-8", "replace")[:PIECE]
            found.append(Sample(f"written by the run ({path.stem})", text))
        # What the model has never seen cannot be looked at.
        return [s for s in found if s.text and not self._vocabulary.unknown_in(s.text)]

    def rows(self, steps: int, count: int) -> Tensor | None:
        """Pieces of the validation text, evenly spread, each from the beginning of a line."""
        path = self._run.folder.cache / "validation.npy"
        if not path.exists():
            return None
        tokens = corpus.open_tokens(path, self._vocabulary)
        steps = min(steps, len(tokens))
        if steps == 0:
            return None
        count = min(count, len(tokens) // steps)
        newline = int(self._vocabulary.encode("\n")[0])
        room = len(tokens) // count
        rows = []
        for place in range(count):
            piece = torch.from_numpy(tokens[place * room :][:room].astype("int64"))
            # A row begins with a line, where quotes and brackets are seldom open.
            breaks = (piece[: room - steps] == newline).nonzero()
            start = int(breaks[0]) + 1 if newline != UNKNOWN and len(breaks) else 0
            rows.append(piece[start : start + steps])
        return torch.stack(rows, dim=1)

    def tokens(self, sample: str) -> Tensor:
        """The characters' tokens.

        Raises:
            UserError: if there is no character, too many, or one that the model has never seen.
        """
        if not sample:
            raise UserError("sample: expected at least one character, got none")
        if len(sample) > LIMIT:
            raise UserError(
                f"sample: expected at most {LIMIT} characters, got {len(sample):,}; look at a part "
                "of it, or in Python at all of it: lens.influence(..., window=, steps=)"
            )
        unknown = "".join(c for c in dict.fromkeys(sample) if "\ud800" <= c <= "\udfff")
        unknown = unknown or self._vocabulary.unknown_in(sample)
        if unknown:
            listed = " ".join(f"{c!r} (U+{ord(c):04X})" for c in unknown[:10])
            more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
            raise UserError(f"sample: {self.name} has never seen {listed}{more}")
        return torch.from_numpy(self._vocabulary.encode(sample).astype("int64"))

    def name_of(self, token: int) -> str:
        """The character; U+FFFD for one that the model does not know."""
        return self._vocabulary.decode(token)

    def input(self, tokens: Tensor) -> Tensor:
        """The tokens as they are."""
        return tokens

    def logits(self, output: Any) -> Tensor:
        """The first of what the model returns; the last states are the second."""
        logits: Tensor = output[0]
        return logits

    def losses(self, output: Any, tokens: Tensor) -> Tensor:
        """Cross-entropy −log₂ p of each next character."""
        logits = self.logits(output)[: len(tokens) - 1, 0]
        nats = functional.cross_entropy(logits, tokens[1:], reduction="none")
        return nats / math.log(2)


def _check_inside(folder: RunFolder) -> None:
    """A run from somebody else must not show files from elsewhere on this machine."""
    root = os.path.realpath(folder.path)
    parts = (folder.options, folder.weights, folder.checkpoint, folder.summary)
    others = (
        folder.path / "vocabulary.json",
        folder.path / "tokenizer.json",
        folder.cache / "validation.npy",
    )
    for path in (*parts, *others, *folder.samples.glob("*.txt")):
        if not Path(os.path.realpath(path)).is_relative_to(root):
            raise UserError(f"{path}: leads out of the run's folder")


def _bits(summary: Any) -> Any:
    """Bits per character that a run's summary tells, of its test part if it has one; or None."""
    metrics = summary.get("metrics") if isinstance(summary, dict) else None
    metrics = metrics if isinstance(metrics, dict) else {}
    found = metrics.get("test_bits", metrics.get("bits"))
    return found.get("value") if isinstance(found, dict) else None
