"""Spans replaced by others of their type while training."""

from __future__ import annotations

import numpy as np

from unrolled.tasks.tag.schemes import read_spans
from unrolled.tasks.tag.swapping import SpanSwaps

ONE = (("Ann", "is", "in", "New", "York"), ("B-P", "O", "O", "B-L", "I-L"))
TWO = (("Bob", "likes", "Oslo"), ("B-P", "O", "B-L"))


def test_every_span_gets_one_of_its_type_and_the_rest_stays() -> None:
    swaps = SpanSwaps([ONE, TWO], 1.0)
    seen = set()
    for seed in range(20):
        tokens, tags = swaps.swapped(*ONE, np.random.default_rng(seed))
        assert len(tokens) == len(tags)
        person, place = read_spans(tags, "iob2")
        assert (person.label, place.label) == ("P", "L")
        assert tokens[person.end : place.start] == ["is", "in"]
        seen.add((tokens[0], " ".join(tokens[place.start : place.end])))
    assert seen == {(p, q) for p in ("Ann", "Bob") for q in ("New York", "Oslo")}


def test_without_a_share_nothing_changes() -> None:
    swaps = SpanSwaps([ONE, TWO], 0.0)
    tokens, tags = swaps.swapped(*ONE, np.random.default_rng(0))
    assert (tuple(tokens), tuple(tags)) == ONE
