r"""The model: discounts, weights and probabilities.

Chen and Goodman (1998, "An empirical study of smoothing techniques for language modeling", section
3), interpolated. With :math:`h'` for a context :math:`h` without its first token and V tokens,

.. math::
    p_k(w \mid h) &= \frac{\max(c_k(hw) - D_k(c_k(hw)), 0)}{\sum_v c_k(hv)}
                     + \gamma_k(h) \, p_{k-1}(w \mid h'), \qquad p_0(w) = 1 / V \\
    \gamma_k(h) &= \frac{\sum_v D_k(c_k(hv))}{\sum_v c_k(hv)}

The count of an n-gram of the highest order n is how often it stands in the text. That of a lower
order is how many different tokens stand before it; the text's start counts as one of them. Each
order has its own three discounts, from the numbers :math:`n_j` of n-grams whose count is j:

.. math::
    Y = \frac{n_1}{n_1 + 2 n_2}, \quad D(1) = 1 - 2 Y \frac{n_2}{n_1}, \quad
    D(2) = 2 - 3 Y \frac{n_3}{n_2}, \quad D(c \ge 3) = 3 - 4 Y \frac{n_4}{n_3}

Where one of :math:`n_1, …, n_4` is zero, or a discount is not above zero, as happens in tiny texts
and for tokens of a small alphabet, they are `FALLBACK`. Where the text never has the context h, or
only as its end, :math:`p_k(w \mid h) = p_{k-1}(w \mid h')`. The first tokens of a text have shorter
contexts: those that there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from . import MOST_ORDER
from .counts import TOKEN_BITS, Counts, Grams, Keys, Tokens, count_grams, gram_keys

Array = npt.NDArray[np.float64]

FALLBACK = (0.5, 1.0, 1.5)
"""Discounts of n-grams seen once, twice and more often, where the text's do not give them."""

BLOCK = 1 << 16
"""Tokens predicted at a time."""


class Predictions(NamedTuple):
    """Predictions of the tokens of a text.

    Attributes:
        nats: Negative log-probability of each token given those before it, ``[N]``.
        matched: Tokens before it, at most the order less one, that stand in the training text with
            any token after them, ``[N]``.
    """

    nats: Array
    matched: npt.NDArray[np.uint8]


class Level(NamedTuple):
    """N-grams of one order as the model has them.

    Attributes:
        keys: As in `counts.Grams`, ``[G]``.
        counts: The counts of the equation above, one or more, ``[G]``.
    """

    keys: Keys
    counts: Counts


class KneserNey:
    """An n-gram model.

    Args:
        levels: N-grams of the orders 1, 2, …
        vocabulary_size: Number V of tokens.

    Attributes:
        levels: N-grams of the orders 1, 2, …
        vocabulary_size: Number V of tokens.
        discounts: D(1), D(2) and D(3 and more) of each order.
    """

    def __init__(self, levels: Sequence[Level], vocabulary_size: int) -> None:
        self.levels, self.vocabulary_size = tuple(levels), vocabulary_size
        self.discounts = tuple(discounts(level.counts) for level in self.levels)
        # Of each n-gram the first part of the sum; of each context gamma, 1 where nothing follows.
        self._shares: list[Array] = []
        self._rests: list[Array] = []
        self._followed: list[npt.NDArray[np.bool_]] = []
        contexts = 1
        for level, discount in zip(self.levels, self.discounts, strict=True):
            owner = (level.keys >> np.uint64(TOKEN_BITS)).astype(np.int64)
            taken = np.array(discount)[np.minimum(level.counts, 3) - 1]
            totals = np.bincount(owner, level.counts, contexts)
            rests = np.bincount(owner, taken, contexts)
            followed = totals > 0
            self._shares.append((level.counts - taken) / totals[owner])
            self._rests.append(np.divide(rests, totals, out=np.ones(contexts), where=followed))
            self._followed.append(followed)
            contexts = len(level.keys)

    @property
    def order(self) -> int:
        """Highest order n: a token is predicted from n - 1 before it."""
        return len(self.levels)

    @classmethod
    def fit(cls, tokens: Tokens, vocabulary_size: int, order: int) -> KneserNey:
        """The model of a text.

        Args:
            tokens: The text, ``[N]``, numbers below ``vocabulary_size``.
            vocabulary_size: Number V of tokens, at most 2^32.
            order: Highest order n, from 1 to `MOST_ORDER`; a text of fewer tokens has fewer.

        Raises:
            ValueError: There is no token, or a number is out of range.
        """
        return cls.of_grams(count_grams(tokens, order), vocabulary_size, order)

    @classmethod
    def of_grams(cls, grams: Sequence[Grams], vocabulary_size: int, order: int) -> KneserNey:
        """The model of n-grams that are counted already, up to an order.

        Raises:
            ValueError: A number is out of range.
        """
        if not 1 <= order <= MOST_ORDER:
            raise ValueError(f"order: expected 1 to {MOST_ORDER}, got {order}")
        if not 1 <= vocabulary_size <= 1 << TOKEN_BITS:
            raise ValueError(f"vocabulary_size: expected 1 to 2^32, got {vocabulary_size}")
        highest = int(grams[0].keys[-1])
        if highest >= vocabulary_size:
            raise ValueError(f"expected tokens below {vocabulary_size}, got {highest}")
        *lower, top = grams[:order]
        levels = [Level(one.keys, one.continuations) for one in lower]
        return cls([*levels, Level(top.keys, top.counts)], vocabulary_size)

    def nats(self, tokens: Tokens) -> Array:
        """Negative log-probability of every token given those before it, ``[N]``."""
        return self.predictions(tokens).nats

    def predictions(self, tokens: Tokens, start: int = 0, stop: int | None = None) -> Predictions:
        """Predictions of the tokens from ``start`` to ``stop``, from all of the text before them.

        Args:
            tokens: The text, ``[N]``; it may be a memory map, and is read in blocks.
            start: First token to predict.
            stop: End of those to predict. [default: N]
        """
        stop = len(tokens) if stop is None else stop
        nats = np.empty(stop - start)
        matched = np.empty(stop - start, np.uint8)
        for first in range(start, stop, BLOCK):
            last = min(first + BLOCK, stop)
            before = max(0, first - self.order + 1)
            found = self._block(np.asarray(tokens[before:last], np.uint32))
            here = slice(first - start, last - start)
            nats[here], matched[here] = (part[first - before :] for part in found)
        return Predictions(nats, matched)

    def _block(self, tokens: npt.NDArray[np.uint32]) -> Predictions:
        """Predictions of all tokens of a short text."""
        chances = np.full(len(tokens), 1 / self.vocabulary_size)
        matched = np.zeros(len(tokens), np.uint8)
        live = np.arange(len(tokens))
        contexts = np.zeros(len(tokens), np.int64)
        parts = zip(self.levels, self._shares, self._rests, self._followed, strict=True)
        for length, (level, shares, rests, followed) in enumerate(parts):
            if not len(live):
                break
            keys = gram_keys(contexts, tokens[live])
            numbers = np.minimum(np.searchsorted(level.keys, keys), len(level.keys) - 1)
            hit = level.keys[numbers] == keys
            matched[live[followed[contexts]]] = length
            chances[live] *= rests[contexts]
            live, contexts = live[hit], numbers[hit]
            chances[live] += shares[contexts]
            # The n-gram that ends here is the context of the next token.
            inside = live < len(tokens) - 1
            live, contexts = live[inside] + 1, contexts[inside]
        return Predictions(-np.log(chances), matched)


def discounts(counts: Counts) -> tuple[float, float, float]:
    """Discounts D(1), D(2) and D(3 and more) of the counts of all n-grams of an order."""
    n1, n2, n3, n4 = (float((counts == count).sum()) for count in (1, 2, 3, 4))
    if min(n1, n2, n3, n4) == 0:
        return FALLBACK
    y = n1 / (n1 + 2 * n2)
    found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    return found if min(found) > 0 else FALLBACK
