"""Files of word vectors: their forms, what is kept of them, and mistakes in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from unrolled.errors import UserError
from unrolled.tasks.tag.vectors import read_vectors


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("head", ["", "3 2\n"], ids=["glove", "word2vec"])
def test_needed_words_and_the_first_ones_are_kept(tmp_path: Path, head: str) -> None:
    path = write(tmp_path / "v.txt", head + "the 1 2\nof 3 -4e-1\nOslo 5 6 \n")
    found = read_vectors(path, {"Oslo", "nowhere"}, others=1)
    assert found.words == ["the", "Oslo"]
    assert found.values.tolist() == [[1, 2], [5, 6]]


def test_words_with_spaces_and_words_given_twice(tmp_path: Path) -> None:
    path = write(tmp_path / "v.txt", "a 1 2\nNew York 3 4\na 5 6\n")
    found = read_vectors(path, set())
    assert found.words == ["a", "New York"]
    assert found.values.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "v.txt: expected a word and its numbers on each line, got an empty file"),
        ("a 1 2\nb 1\n", "v.txt:2: expected a word and 2 numbers, got 1 after 'b'"),
        ("a 1 2\nb 1 x\n", "v.txt:2: column 3: expected a number, got 'x'"),
        ("a 1 2\nb 1 nan\n", "v.txt:2: column 3: expected a finite number in 32 bits"),
        ("a\n", "v.txt:1: expected a word and 1 to 65536 numbers"),
        ("3 0\na\n", "v.txt:1: expected a word and 1 to 65536 numbers"),
    ],
)
def test_mistakes_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read_vectors(write(tmp_path / "v.txt", text), set())
    assert message in str(caught.value)
