"""Files of JSON lines: tokens with tags, texts with spans, and their mistakes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from unrolled.errors import UserError


def test_offsets_of_a_text(read: Any) -> None:
    text = "Dr. Ó’Neill-Łuk's  e.g. 2.5€, 서울에서 นี้ 🙂!"
    (sentence,) = read(json.dumps({"text": text, "spans": []}))
    assert sentence.tokens == (
        *("Dr", ".", "Ó’Neill-Łuk's", "e.g", ".", "2.5", "€", ",", "서울에서", "นี้", "🙂", "!"),
    )
    assert [text[start:end] for start, end in sentence.offsets] == list(sentence.tokens)


def test_a_text_by_characters(read: Any) -> None:
    (sentence,) = read('{"text": "서울에 감", "spans": [[0, 2, "LC"]]}', unit="character")
    assert sentence.tokens == ("서", "울", "에", " ", "감")
    assert sentence.tags == ("B-LC", "I-LC", "O", "O", "O")


def test_documents(read: Any) -> None:
    rows = [json.dumps({"tokens": ["a"], "tags": ["O"], "doc": doc}) for doc in "xxy"]
    assert [one.document for one in read("\n".join(rows))] == [1, 1, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"tokens": ["a"], "tags": ["O"]}\n{"tokens": ["a"', r"a\.txt:2:16: not valid JSON"),
        ('{"tokens": ["a", "b"], "tags": ["O"]}', r"a\.txt:1: expected a tag for each of 2 tokens"),
        ('{"tokens": [], "tags": []}', r"a\.txt:1: tokens: expected one token or more"),
        ('{"tokens": ["a", ""], "tags": ["O", "O"]}', r"tokens, number 2: expected a text, got ''"),
        ('{"tokens": ["a", NaN], "tags": ["O", "O"]}', r"a\.txt:1: not valid JSON: NaN is no num"),
        ('{"tokens": ["a"], "ner_tags": [3]}', r"ner_tags, number 1: .* give the names of the tag"),
        ('{"tokens": "a", "tags": ["O"]}', r"a\.txt:1: tokens: expected a list of texts, got 'a'"),
        ('{"tokens": ["\\ud800"], "tags": ["O"]}', r"a\.txt:1: tokens: half a character, U\+D800"),
        ('{"tokens": ["a"]}', r"a\.txt:1: expected tags beside tokens"),
        ('{"text": "a"}', r"a\.txt:1: expected spans beside text"),
        ('{"text": " ", "spans": []}', r"a\.txt:1: text: expected one token or more"),
        ('{"txt": "a"}', r"a\.txt:1: expected an object with tokens, or with text, got 'txt'"),
        ('{"text": "a"}\n[]', r"a\.txt:1: expected spans"),
        ('{"text": "a", "spans": []}\n[]', r"a\.txt:2: expected an object, got \[\]"),
        (
            '{"text": "ab c", "spans": [[0, 2, "X"], [1, 4, "Y"]]}',
            r"1:2: spans overlap: Y 1–4 'b c",
        ),
        ('{"text": "ab", "spans": [[0, 3, "X"]]}', r"number 1: expected a span within the 2 char"),
        ('{"text": "ab", "spans": [[-1, 1, "X"]]}', r"got -1 to 1"),
        ('{"text": "ab", "spans": [[1, 1, "X"]]}', r"got 1 to 1"),
        ('{"text": "ab c", "spans": [[1, 4, "X"]]}', r"a\.txt:1:2: spans: X 1–4 'b c' does not be"),
        ('{"text": "ab", "spans": [[0, 1.5, "X"]]}', r"expected whole numbers"),
        ('{"text": "ab", "spans": [[0, true, "X"]]}', r"expected whole numbers"),
        ('{"text": "ab", "spans": [{"start": 0, "end": 2}]}', r"expected a text for the label"),
        ('{"text": "ab", "spans": [[0, 2]]}', r"number 1: expected start, end and label"),
        ('{"text": "ab", "spans": {}}', r"spans: expected a list of spans"),
        ('{"text": 3, "spans": []}', r"text: expected a text, got 3"),
        ('{"a": ' + "[" * 100_000, r"a\.txt:1: not valid JSON: nested too deeply"),
    ],
)
def test_mistakes(read: Any, content: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(content)


def test_records_of_too_many_tokens(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unrolled.tasks.tag.sentences.LONGEST_SENTENCE", 10)
    assert len(read(json.dumps({"tokens": ["a"] * 10, "tags": ["O"] * 10}))) == 1
    with pytest.raises(UserError, match=r"a\.txt:1: the sentence has over 10 tokens$"):
        read(json.dumps({"tokens": ["a"] * 11, "tags": ["O"] * 11}))
    with pytest.raises(UserError, match=r"a\.txt:1: the text has over 10 tokens$"):
        read(json.dumps({"text": "a " * 11, "spans": []}))
