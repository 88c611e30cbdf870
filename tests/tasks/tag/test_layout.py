"""The columns of a file, seen from its first lines or named."""

from __future__ import annotations

from typing import Any

import pytest

from unrolled.errors import UserError

from .conftest import pairs


def test_a_blank_may_be_a_token(read: Any) -> None:
    expected = [[("a", "O"), (" ", "O"), ("#", "B-X"), ("\u3000", "O")]]
    assert pairs(read("a\tO\n \tO\n#\tB-X\n\u3000\tO\n")) == expected
    assert pairs(read("a O\n  O\n# B-X\n\u3000 O\n")) == expected


def test_columns_by_number_and_separator(read: Any) -> None:
    content = "O\tNew York\tx\nB-X\tParis\tx\n"
    assert pairs(read(content, token_column=2, tag_column=1)) == [
        [("New York", "O"), ("Paris", "B-X")]
    ]
    assert pairs(read("a b O\nc d O\n", separator="space", token_column=2)) == [
        [("b", "O"), ("d", "O")]
    ]


def test_numbered_tokens_are_seen(read: Any) -> None:
    assert pairs(read("#\tn-tv.de\n1\tAnn\tB-PER\tO\n2\tlebt\tO\tO\n")) == [
        [("Ann", "O"), ("lebt", "O")]
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\nb\n", r"a\.txt: expected a column of tokens and one of tags, got 1 column"),
    ],
)
def test_mistakes(read: Any, content: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(content)
