"""What a reader of a text keeps in mind, character by character: units are compared with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def _paragraph_ends(text: Sequence[str], place: int) -> bool:
    """Where a quote that nobody closed is over, so that it does not turn all that follows."""
    return place > 0 and text[place - 1] == text[place] == "\n"


def _double_quotes(text: Sequence[str]) -> list[float]:
    found, inside = [], False
    for place, character in enumerate(text):
        if _paragraph_ends(text, place):
            inside = False
        elif character == '"':
            inside = not inside
        elif character in "“„«":
            inside = True
        elif character in "”»":
            inside = False
        found.append(float(inside))
    return found


def _single_quotes(text: Sequence[str]) -> list[float]:
    found, inside = [], False
    for place, character in enumerate(text):
        after_letter = place > 0 and text[place - 1].isalnum()
        before_letter = place + 1 < len(text) and text[place + 1].isalnum()
        if _paragraph_ends(text, place):
            inside = False
        elif character == "‘":
            inside = True
        elif character in "'’":
            # Between two letters it is an apostrophe.
            if inside and not (after_letter and before_letter):
                inside = False
            elif character == "'" and not inside and not after_letter:
                inside = True
        found.append(float(inside))
    return found


def _brackets(text: Sequence[str]) -> list[float]:
    found, depth = [], 0
    for character in text:
        depth = max(0, depth + (character in "([{") - (character in ")]}"))
        found.append(float(depth))
    return found


def _since(text: Sequence[str], starts: Callable[[str], bool]) -> list[float]:
    """Characters since the last one of a kind."""
    found, count = [], 0
    for character in text:
        count = 0 if starts(character) else count + 1
        found.append(float(count))
    return found


def _each(kind: Callable[[str], bool]) -> Callable[[Sequence[str]], list[float]]:
    return lambda text: [float(kind(character)) for character in text]


def _word_start(text: Sequence[str]) -> list[float]:
    before = [" ", *text]
    return [
        float(b.isspace() and not character.isspace())
        for b, character in zip(before, text, strict=False)
    ]


FEATURES: dict[str, Callable[[Sequence[str]], list[float]]] = {
    'inside "double" quotes': _double_quotes,
    "inside 'single' quotes": _single_quotes,
    "depth of brackets": _brackets,
    "space": _each(str.isspace),
    "after a space": _word_start,
    "upper case": _each(str.isupper),
    "digit": _each(str.isdigit),
    "position in the line": lambda text: _since(text, lambda c: c == "\n"),
    "position in the word": lambda text: _since(text, lambda c: not c.isalnum()),
    "position in the sample": lambda text: [float(place) for place in range(len(text))],
}
"""What holds once a character was read: an opening quote is inside, a closing one is not."""


def features(text: Sequence[str]) -> Tensor:
    """All features of a text, ``[F, T]`` in the order of `FEATURES`.

    Args:
        text: its characters.
    """
    return torch.tensor(
        [feature(text) for feature in FEATURES.values()], dtype=torch.float64, device="cpu"
    )


def correlations(values: Tensor, features: Tensor) -> Tensor:
    """Pearson's r of every unit with every feature; 0 where one of them never changes.

    r = Σ (v − v̄)(f − f̄) / √(Σ (v − v̄)² Σ (f − f̄)²)

    Args:
        values: ``[T, H]``.
        features: ``[F, T]``.

    Returns:
        ``[F, H]``, in float64.
    """
    values = values.double() - values.double().mean(0)
    features = features.double() - features.double().mean(1, keepdim=True)
    norms = features.norm(dim=1).unsqueeze(1) * values.norm(dim=0)
    # A constant's deviations are rounding, and so would its correlation be.
    still = norms <= 1e-9 * len(values)
    return torch.where(still, 0.0, features @ values / norms)
