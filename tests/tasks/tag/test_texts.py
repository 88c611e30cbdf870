"""Tokens of plain text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrolled.errors import UserError
from unrolled.tasks.tag.texts import tokenise


@given(st.text(max_size=60))
def test_tokens_cover_all_but_blanks(text: str) -> None:
    end, kept = 0, ""
    for start, stop in tokenise(text, "word"):
        assert end <= start < stop
        assert not text[end:start].strip()
        kept, end = kept + text[start:stop], stop
    assert not text[end:].strip()


def test_a_line_of_too_many_tokens(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unrolled.tasks.tag.sentences.LONGEST_SENTENCE", 10)
    with pytest.raises(UserError, match=r"a\.txt:2: the line has over 10 tokens$"):
        read("a\n" + "a " * 11, tagged=False, format="text")
