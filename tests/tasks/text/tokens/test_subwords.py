"""Subwords as tokens."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.text.tokens.texts import TEXTS, in_blocks

from unrolled.errors import UserError
from unrolled.tasks.text.tokens.subwords import Subwords

tokenizers = pytest.importorskip("tokenizers")

LEARNT = "the cell remembers the cell, the gate forgets 나는 학교에 간다 🙂\n" * 20


@pytest.fixture(scope="module")
def subwords() -> Subwords:
    return Subwords.fit(lambda: iter([LEARNT]), 300)


@given(text=TEXTS, draw=st.randoms(use_true_random=False))
def test_a_text_comes_back_as_it_was(subwords: Subwords, text: str, draw: object) -> None:
    tokens = subwords.encode(text).tolist()
    write = subwords.decoder()
    assert "".join(map(write, tokens)) == text
    blocks = in_blocks(text, draw)
    assert [t for block in blocks for t in subwords.encode(block).tolist()] == tokens


def test_parts_of_a_character_wait_for_the_rest(subwords: Subwords) -> None:
    tokens = subwords.encode("漢").tolist()  # never seen: three bytes
    write = subwords.decoder()
    assert [write(token) for token in tokens] == ["", "", "漢"]
    assert subwords.decode(tokens[0]) == "\ufffd"
    write = subwords.decoder()
    assert write(tokens[0]) == ""
    assert write(subwords.encode("a").tolist()[0]) == "\ufffda"  # it never comes


def test_frequent_subwords_have_low_numbers(subwords: Subwords) -> None:
    counts = [0] * len(subwords)
    for token in subwords.encode(LEARNT).tolist():
        counts[token] += 1
    assert counts == sorted(counts, reverse=True)
    assert subwords.encode(" cell").tolist()[0] < 20


def test_there_are_no_more_than_asked_for_and_none_is_unknown(subwords: Subwords) -> None:
    assert len(subwords) == 300
    assert subwords.unknown is None
    assert len(Subwords.fit(lambda: iter(["ab ab"]), 5000)) < 270
    assert subwords.unknown_in("漢\x00") == ""
    assert subwords.unknown_in("a\udcff") == "\udcff"


def test_it_comes_back_as_it_was_saved(subwords: Subwords, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    subwords.save(path)
    again = Subwords.load(path)
    assert again.encode(LEARNT).tolist() == subwords.encode(LEARNT).tolist()
    other = tokenizers.Tokenizer.from_file(str(path))  # others read it, too
    assert other.decode(other.encode("the gate").ids) == "the gate"


def record_of(subwords: Subwords, path: Path) -> dict[str, Any]:
    subwords.save(path)
    record: dict[str, Any] = json.loads(path.read_text())
    return record


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normalizer": {"type": "Lowercase"}}, "does not give every text back"),
        ({"normalizer": {"type": "NFC"}}, "does not give every text back"),
        ({"normalizer": {"type": "NFKC"}}, "does not give every text back"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "does not give every text back"),
        ({"pre_tokenizer": {"type": "Python", "call": "os.system"}}, "not a tokenizer"),
        ({"model": {"type": "BPE", "vocab": {"a": 0, "b": 7}, "merges": []}}, "token numbers"),
        ({"model": {"type": "BPE", "vocab": {}, "merges": []}}, "does not give"),
        ({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "b"]]}}, "not a tokenizer"),
        ({"model": None}, "not a tokenizer"),
    ],
)
def test_a_tokenizer_that_cannot_be_used(
    subwords: Subwords, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = tmp_path / "tokenizer.json"
    record = record_of(subwords, path)
    path.write_text(json.dumps(record | change))
    with pytest.raises(UserError, match=rf"tokenizer\.json: .*{message}"):
        Subwords.load(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"null", b"[" * 100_000])
def test_a_damaged_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"tokenizer\.json: (not a tokenizer|corrupt)"):
        Subwords.load(path)


def test_what_would_cut_or_vary_a_text_is_switched_off(subwords: Subwords, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    record = record_of(subwords, path)
    truncation = {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
    record["model"]["dropout"] = 0.9
    path.write_text(json.dumps(record | {"truncation": truncation}))
    found = Subwords.load(path)
    assert found.encode(LEARNT).tolist() == subwords.encode(LEARNT).tolist()
    assert math.isclose(record["model"]["dropout"], 0.9)


def test_tokens_with_names_of_their_own(subwords: Subwords, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    subwords.save(path)
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    tokenizer.add_special_tokens(["<|endoftext|>", "é!"])
    tokenizer.save(str(path))
    found = Subwords.load(path)
    text = "the<|endoftext|> caf\xe9! 나"
    tokens = found.encode(text).tolist()
    assert "".join(map(found.decoder(), tokens)) == text
    assert len(subwords) in tokens
