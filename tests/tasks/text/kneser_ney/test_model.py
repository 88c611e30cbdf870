"""The n-gram model against the paper's equations, written once more with dictionaries."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.tasks.text.kneser_ney.counts import count_grams
from unrolled.tasks.text.kneser_ney.model import BLOCK, FALLBACK, KneserNey

Gram = tuple[int, ...]


class Direct:
    """Chen and Goodman's equations, token by token."""

    def __init__(self, text: Sequence[int], vocabulary_size: int, order: int) -> None:
        self.text, self.size = list(text), vocabulary_size
        self.order = min(order, len(text))
        self.counts = [self._counts(n) for n in range(1, self.order + 1)]
        self.discounts = [self._discounts(counts) for counts in self.counts]

    def _counts(self, n: int) -> Counter[Gram]:
        grams = [tuple(self.text[i : i + n]) for i in range(len(self.text) - n + 1)]
        if n == self.order:
            return Counter(grams)
        before: dict[Gram, set[int | None]] = defaultdict(set)
        for i, gram in enumerate(grams):
            before[gram].add(self.text[i - 1] if i else None)
        return Counter({gram: len(tokens) for gram, tokens in before.items()})

    @staticmethod
    def _discounts(counts: Counter[Gram]) -> tuple[float, float, float]:
        of = Counter(counts.values())
        if not (of[1] and of[2] and of[3] and of[4]):
            return FALLBACK
        y = of[1] / (of[1] + 2 * of[2])
        found = (
            1 - 2 * y * of[2] / of[1],
            2 - 3 * y * of[3] / of[2],
            3 - 4 * y * of[4] / of[3],
        )
        return found if min(found) > 0 else FALLBACK

    def chance(self, token: int, context: Gram) -> float:
        n = len(context) + 1
        shorter = self.chance(token, context[1:]) if context else 1 / self.size
        counts, discounts = self.counts[n - 1], self.discounts[n - 1]
        follow = {gram: c for gram, c in counts.items() if gram[:-1] == context}
        total = sum(follow.values())
        if not total:
            return shorter
        taken = {gram: discounts[min(c, 3) - 1] for gram, c in follow.items()}
        gram = (*context, token)
        own = max(follow.get(gram, 0) - taken.get(gram, 0), 0) / total
        return own + sum(taken.values()) / total * shorter

    def nats(self, text: Sequence[int]) -> list[float]:
        return [
            -math.log(self.chance(token, tuple(text[max(0, i - self.order + 1) : i])))
            for i, token in enumerate(text)
        ]


def array(text: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return np.array(text, np.uint8)


TEXTS = st.lists(st.integers(0, 3), min_size=1, max_size=60)


@given(TEXTS, TEXTS, st.integers(1, 5))
@settings(deadline=None)
def test_it_is_the_papers_equation(text: list[int], other: list[int], order: int) -> None:
    model, direct = KneserNey.fit(array(text), 5, order), Direct(text, 5, order)
    # 4 is a token that the text never has.
    for scored in (text, other, [4, *other, 4]):
        assert model.nats(array(scored)) == pytest.approx(direct.nats(scored), rel=1e-9)


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_it_is_the_papers_equation_with_discounts_of_its_own(order: int) -> None:
    draw = np.random.default_rng(0)
    text = (draw.zipf(1.3, 400) % 50).tolist()
    model, direct = KneserNey.fit(array(text), 52, order), Direct(text, 52, order)
    assert model.order == order
    assert np.array(model.discounts) == pytest.approx(np.array(direct.discounts))
    assert any(one != FALLBACK for one in model.discounts)
    scored = (draw.zipf(1.3, 100) % 52).tolist()
    assert model.nats(array(scored)) == pytest.approx(direct.nats(scored), rel=1e-9)


@given(TEXTS, st.lists(st.integers(0, 5), max_size=7), st.integers(1, 12))
@settings(deadline=None)
def test_probabilities_sum_to_one(text: list[int], context: list[int], order: int) -> None:
    model = KneserNey.fit(array(text), 6, order)
    nats = [model.nats(array([*context, token]))[-1] for token in range(6)]
    assert np.exp(-np.array(nats)).sum() == pytest.approx(1, rel=1e-9)
    assert np.isfinite(nats).all()


def test_tokens_of_any_size() -> None:
    """Only which tokens are the same matters, and how many there could be."""
    small = np.array([0, 1, 2, 1, 0, 1, 2, 2, 1, 0, 0, 1])
    large = np.array([5, 2**31, 2**32 - 1], np.uint32)[small]
    expected = KneserNey.fit(small.astype(np.uint8), 2**32, 4).nats(small.astype(np.uint8))
    assert KneserNey.fit(large, 2**32, 4).nats(large) == pytest.approx(expected)


def test_a_tiny_text_has_the_discounts_that_stand_in() -> None:
    model = KneserNey.fit(array([1]), 3, 7)
    assert model.order == 1
    assert model.discounts == (FALLBACK,)
    assert np.exp(-model.nats(array([1]))) == pytest.approx([0.5 + 0.5 / 3])


def test_a_part_of_a_text_is_predicted_from_all_before_it() -> None:
    draw = np.random.default_rng(1)
    text = draw.integers(0, 4, BLOCK + 50).astype(np.uint8)
    model = KneserNey.fit(text[:500], 4, 6)
    whole = model.predictions(text)
    for start, stop in ((0, 3), (2, 40), (BLOCK - 5, BLOCK + 5), (7, BLOCK + 50), (9, 9)):
        part = model.predictions(text, start, stop)
        assert part.nats.tolist() == whole.nats[start:stop].tolist()
        assert part.matched.tolist() == whole.matched[start:stop].tolist()


def test_the_length_of_the_context_that_was_seen() -> None:
    text = array([0, 1, 2, 0, 1, 3])
    model = KneserNey.fit(text, 5, 4)
    # 3 stands at the text's end only, and 4 nowhere: nothing follows them.
    assert model.predictions(array([0, 1, 2, 0, 3, 1, 4, 0])).matched.tolist() == [
        0, 1, 2, 3, 3, 0, 1, 0,
    ]  # fmt: skip


def test_orders_share_their_counts() -> None:
    draw = np.random.default_rng(2)
    text = draw.integers(0, 3, 300).astype(np.uint8)
    grams = count_grams(text, 6)
    for order in range(1, 7):
        own, fitted = KneserNey.of_grams(grams, 3, order), KneserNey.fit(text, 3, order)
        assert own.nats(text).tolist() == fitted.nats(text).tolist()


@pytest.mark.parametrize(
    ("text", "size", "order", "message"),
    [
        ([], 3, 2, "one token or more"),
        ([1, 2], 2, 2, "tokens below 2, got 2"),
        ([1, 2], 0, 2, "vocabulary_size"),
        ([1, 2], 2**32 + 1, 2, "vocabulary_size"),
        ([1, 2], 3, 0, "order: expected 1 to 12, got 0"),
        ([1, 2], 3, 13, "order: expected 1 to 12, got 13"),
    ],
)
def test_wrong_numbers(text: list[int], size: int, order: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KneserNey.fit(array(text), size, order)
