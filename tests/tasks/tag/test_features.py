"""Features of tokens: shapes, affixes, n-grams, what is unknown, and files of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from unrolled.errors import UserError
from unrolled.tasks.tag.features import Features, FeatureSizes, normal, shape, windows

SENTENCES = [("Ann", "met", "Ann"), ("met", "Ann-Marie", "7")]


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("London", "Xxx"),
        ("USA", "XX"),
        ("747-B", "dd-X"),
        ("@paulw", "@xx"),
        ("서울", "가가"),
        ("東京", "漢漢"),
        (" ", " "),
    ],
)
def test_shapes(token: str, expected: str) -> None:
    assert shape(token) == expected


def test_words_are_looked_up_in_lower_case_with_zeros_for_digits() -> None:
    assert normal("Route66", lower=True) == "route00"
    assert normal("Route66", lower=False) == "Route00"


def test_what_was_seen_once_is_unknown_except_words() -> None:
    features = Features.count(SENTENCES, FeatureSizes(affixes=2))
    numbers, characters = features.form("Ann")
    assert 0 not in numbers[:-1]
    assert len(characters) == 3
    seven, _ = features.form("7")
    assert seven[0] > 0  # a word
    assert seven[1:] == (0,) * 6  # shape, affixes, no file of vectors
    unknown, characters = features.form("Zzz")
    assert unknown[0] == 0
    assert unknown[1] > 0  # its shape is that of Ann
    assert characters == (1, 1, 1)  # unknown characters are no padding


def test_windows_hold_every_ngram_that_touches_a_token() -> None:
    assert windows(1) == []
    assert windows(3) == [(-1, 1), (0, 2), (-2, 1), (-1, 2), (0, 3)]
    features = Features.count([list("abab"), list("ab")], FeatureSizes(ngrams=2))
    found = features.windows(list("ab"))
    assert found.shape == (2, 2)
    assert found[0, 1] == found[1, 0] > 0  # "ab" from both of its tokens
    assert found[0, 0] > 0  # the edge before "a"
    assert features.windows([]).shape == (0, 2)


@pytest.mark.parametrize("unit", ["word", "character"])
def test_handmade_features_count_from_two_occurrences_on(unit: Any) -> None:
    features = Features.count([("a", "b"), ("a", "b"), ("c",)], FeatureSizes(sparse=unit))
    first, second = features.sparse_rows(("a", "b"))
    assert 0 < len(first) == len(set(first))
    assert first != second
    (unknown,) = features.sparse_rows(("c",))
    known = {text for text, number in features.sparse.items() if number in unknown}
    assert "always" in known
    assert not any("c" in text.partition("=")[2] for text in known)
    assert 0 not in unknown


def test_long_tokens_are_read_from_both_ends() -> None:
    features = Features.count([["a" * 50 + "b"] * 2], FeatureSizes())
    _, characters = features.form("a" * 50 + "b")
    assert len(characters) == 32
    assert characters[-1] != characters[0]


def test_files_come_back(tmp_path: Path) -> None:
    features = Features.count(SENTENCES, FeatureSizes(affixes=3, ngrams=3, sparse="word"))
    features.vectors = {"Ann": 1}
    features.save(tmp_path / "features.json")
    again = Features.load(tmp_path / "features.json")
    assert again == features
    assert again.form("Ann") == features.form("Ann")
    assert again.sparse_rows(SENTENCES[0]) == features.sparse_rows(SENTENCES[0])


@pytest.mark.parametrize(
    "change", [{"words": 3}, {"affixes": [[]]}, {"sizes": {"x": 1}}, {"sizes": {"sparse": 1}}, None]
)
def test_damaged_files_are_refused(tmp_path: Path, change: dict[str, object] | None) -> None:
    path = tmp_path / "features.json"
    Features.count(SENTENCES, FeatureSizes()).save(path)
    content = json.loads(path.read_bytes())
    path.write_text(json.dumps(content | change if change else [1]))
    with pytest.raises(UserError, match=r"features.json: corrupt: not the features of a tagging"):
        Features.load(path)
