"""The n-grams of a text and their counts, order by order, by sorting.

An n-gram is known by its number among all different n-grams of its order, in sorted order. Its key
is the number of its first n - 1 tokens, followed by its last token: so the n-grams of an order are
found by sorting keys of 64 bits, and those that share a context stand side by side.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Tokens = np.ndarray[Any, np.dtype[Any]]
Keys = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.uint32]

TOKEN_BITS = 32
"""Low bits of a key, which hold the last token."""


class Grams(NamedTuple):
    """All different n-grams of one order.

    Attributes:
        keys: Number of the context · 2^32 + last token, in rising order, ``[G]``.
        counts: How often each stands in the text, ``[G]``.
        continuations: How many different tokens stand before each; the text's start is one,
            ``[G]``.
    """

    keys: Keys
    counts: Counts
    continuations: Counts


def count_grams(tokens: Tokens, order: int) -> list[Grams]:
    """N-grams of the orders 1, 2, … of a text.

    Args:
        tokens: The text, unsigned numbers below 2^32, ``[N]``.
        order: Highest order; of a shorter text N.

    Raises:
        ValueError: There is no token.
    """
    if not len(tokens):
        raise ValueError("expected one token or more to count, got none")
    tokens = np.asarray(tokens, np.uint32)
    found: list[Grams] = []
    # Of the n-gram that begins at each place, the number; that of the empty one is 0.
    numbers = np.zeros(len(tokens) + 1, np.uint32)
    for length in range(1, min(order, len(tokens)) + 1):
        keys = gram_keys(numbers[:-1][: len(tokens) - length + 1], tokens[length - 1 :])
        places = np.argsort(keys)
        keys = keys[places]
        first = np.ones(len(keys), bool)
        np.not_equal(keys[1:], keys[:-1], out=first[1:])
        starts = np.flatnonzero(first)
        if found:
            # Each different n-gram puts one token before the n-gram that it ends with.
            shorter = found[-1]
            ends = numbers[1:][places[starts]]
            continuations = np.bincount(ends, minlength=len(shorter.keys))
            continuations[numbers[0]] += 1
            found[-1] = shorter._replace(continuations=continuations.astype(np.uint32))
        counts = np.diff(starts, append=len(keys)).astype(np.uint32)
        numbers = np.empty(len(keys), np.uint32)
        numbers[places] = np.cumsum(first, dtype=np.uint32) - np.uint32(1)
        found.append(Grams(keys[starts], counts, counts))
    return found


def gram_keys(contexts: Tokens, tokens: Tokens) -> Keys:
    """Keys of n-grams: numbers of their contexts, and their last tokens."""
    keys: Keys = np.asarray(contexts).astype(np.uint64)
    keys <<= np.uint64(TOKEN_BITS)
    keys |= np.asarray(tokens).astype(np.uint64)
    return keys
