"""The cheap method beside the network: an n-gram model of the training text."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled.errors import UserError
from unrolled.training.run_folder.folder import RunFolder

from .kneser_ney import MOST_ORDER, stored
from .kneser_ney.counts import count_grams
from .kneser_ney.model import KneserNey

Tokens = np.ndarray[Any, np.dtype[Any]]

NAME = "baseline.npz"

ORDERS = (3, 4, 5, 6, 7, 9, MOST_ORDER)
"""Orders that are tried on the validation text."""

ORDER = 5
"""The order where there is no validation text."""

MOST_TOKENS = 5_000_000
"""Tokens of the training text that are counted at most: those at its end."""

_MOST_PLACES = 40_000_000
"""Tokens times orders at most, which memory and time grow with."""
_TRIED = 100_000
"""Tokens of the validation text on which the order is chosen, at most."""
_NEAR = 1.002
"""Of orders whose nats are so near the least, the lowest is taken: its file is smaller."""


def fit_baseline(
    train: Tokens, validation: Tokens | None, vocabulary_size: int, order: int | None = None
) -> KneserNey:
    """The n-gram model of a text, or of its end where it is long.

    Args:
        train: The training text.
        validation: The text on which the order is chosen.
        vocabulary_size: Number of tokens.
        order: Its order, if it is given.
    """
    train = train[-MOST_TOKENS:]
    most = min(MOST_ORDER, _MOST_PLACES // len(train))
    if order is None and (validation is None or not len(validation)):
        order = ORDER
    if order is not None:
        return KneserNey.fit(train, vocabulary_size, min(order, most))
    assert validation is not None
    grams = count_grams(train, most)
    nats = {
        tried: KneserNey.of_grams(grams, vocabulary_size, tried).nats(validation[:_TRIED]).mean()
        for tried in ORDERS
        if tried <= most
    }
    least = min(nats.values())
    chosen = next(tried for tried, own in nats.items() if own <= least * _NEAR)
    return KneserNey.of_grams(grams, vocabulary_size, chosen)


def save_baseline(model: KneserNey, folder: RunFolder) -> None:
    """Write it to a run that is being set up.

    Raises:
        OSError: The file cannot be written.
    """
    stored.write(folder.path / NAME, model)


def load_baseline(folder: RunFolder, vocabulary_size: int) -> KneserNey | None:
    """The n-gram model of a run; None if the run has none.

    Raises:
        UserError: The file is corrupt.
    """
    path = folder.path / NAME
    if not path.exists():
        return None
    model = stored.read(path)
    if model.vocabulary_size != vocabulary_size:
        raise UserError(
            f"{path}: does not fit the vocabulary: expected {vocabulary_size} tokens, "
            f"got {model.vocabulary_size}"
        )
    return model
