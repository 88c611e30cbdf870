"""Words as tokens."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.text.tokens.texts import TEXTS, in_blocks

from unrolled.errors import UserError
from unrolled.tasks.text.tokens.vocabulary import UNKNOWN
from unrolled.tasks.text.tokens.words import Split, Words

pytest.importorskip("tokenizers")

SPLITS: list[Split] = ["marks", "blanks"]


@pytest.mark.parametrize("split", SPLITS)
@given(text=TEXTS, draw=st.randoms(use_true_random=False))
def test_a_text_comes_back_as_it_was(split: Split, text: str, draw: object) -> None:
    words = Words.fit([text], 10_000, split)
    tokens = words.encode(text).tolist()
    assert "".join(map(words.decode, tokens)) == text
    assert UNKNOWN not in tokens or "\ufffd" in text
    assert words.unknown_in(text) == (["\ufffd"] if UNKNOWN in tokens else [])
    blocks = in_blocks(text, draw)
    assert [t for block in blocks for t in words.encode(block).tolist()] == tokens


def pieces(text: str, split: Split) -> list[str]:
    words = Words.fit([text], 1000, split)
    return [words.decode(token) for token in words.encode(text).tolist()]


def test_a_word_carries_its_blank() -> None:
    found = pieces("I don't know -- well-read, 나는.\n", "marks")
    assert "|".join(found) == "I| don't| know| -|-| well|-|read|,| 나는|.|\n"
    found = pieces("e\u0301te\u0301 नमस्ते  x\ty", "marks")
    assert "|".join(found) == "e\u0301te\u0301| नमस्ते| | x|\t|y"


def test_split_texts_have_as_many_tokens_as_words_and_lines() -> None:
    """As the Penn Treebank counts them: the blank before a line's end is no token of its own."""
    line = " mr. <unk> is n't N years old \n"
    assert "|".join(pieces(line, "blanks")) == " mr.| <unk>| is| n't| N| years| old| \n"


def test_the_most_frequent_words_come_first() -> None:
    words = Words.fit(["b b b b a a c\n" * 2], 4, "marks")
    assert words.words == ["\ufffd", " b", " a", "\n"]
    assert words.encode("b a c b z\n").tolist() == [0, 2, 0, 1, 0, 3]
    assert words.unknown_in("b a c b z c\n") == ["b", " c", " z"]
    assert len(words) == 4


def test_it_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    words = Words.fit(["나는 학교에 <unk> \ufffd간다.\n"], 50, "blanks")
    words.save(tmp_path / "v.json")
    again = Words.load(tmp_path / "v.json")
    assert again.words == words.words
    assert again.encode("나는 x <unk>\n").tolist() == words.encode("나는 x <unk>\n").tolist()


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"kind": "characters"},
        {"split": "x"},
        {"split": []},
        {"words": "ab"},
        {"words": []},
        {"words": ["a", "a"]},
        {"words": ["a", "\ufffd"]},
        {"words": ["a", ""]},
        {"words": ["a", 1]},
        {"words": ["a", chr(0xD800)]},
    ],
)
def test_a_damaged_file(tmp_path: Path, change: dict[str, object]) -> None:
    record = {"format": 1, "kind": "words", "split": "marks", "words": ["a", " b"]}
    path = tmp_path / "vocabulary.json"
    path.write_text(json.dumps(record))
    assert Words.load(path).encode("a b").tolist() == [1, 2]
    path.write_text(json.dumps(record | change))
    with pytest.raises(UserError, match=r"vocabulary\.json: (corrupt|not a vocabulary of words)"):
        Words.load(path)
