"""A conditional random field on hand-made features, the cheap method beside a trained model."""

from __future__ import annotations

from pathlib import Path

from .data import TagData


class Baseline:
    """A trained conditional random field.

    Args:
        path: Its model file.
        character_level: Whether tokens are characters.
    """

    def __init__(self, path: Path, *, character_level: bool) -> None:
        raise NotImplementedError

    def predict(self, tokens: tuple[str, ...]) -> list[str]:
        """Tags of a sentence."""
        raise NotImplementedError


def train_baseline(data: TagData, path: Path) -> Baseline:
    """Train on the training part, with penalties that do best on the validation part.

    Raises:
        UserError: python-crfsuite is not installed.
    """
    raise NotImplementedError
