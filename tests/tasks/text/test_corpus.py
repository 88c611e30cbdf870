from pathlib import Path

import numpy as np
import pytest

from unrolled.errors import UserError
from unrolled.tasks.text import corpus
from unrolled.tasks.text.vocabulary import UNKNOWN, Vocabulary

HANGUL = "나는 학교에 간다.\n한글, 漢字, ünï, 🙂🙂\n"


def tokens_of(path: Path, *files: Path) -> tuple[str, np.ndarray, Vocabulary]:
    found = corpus.count(files)
    vocabulary = Vocabulary(found.characters)
    corpus.write_tokens(files, vocabulary, [(path, found.length)])
    tokens = corpus.open_tokens(path, vocabulary)
    return "".join(map(vocabulary.decode, tokens.tolist())), tokens, vocabulary


@pytest.mark.parametrize("block", [1, 2, 3, 5, 7, 1 << 20])
def test_any_unicode_in_blocks_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(corpus, "BLOCK", block)
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(("\ufeff" + HANGUL).replace("\n", "\r\n").encode())
    two.write_bytes(b"x\ry\n\r\n")
    text, tokens, _ = tokens_of(tmp_path / "t.npy", one, two)
    assert text == HANGUL + "x\ny\n\n"
    assert tokens.dtype == np.uint8
    assert isinstance(tokens, np.memmap)


def test_a_large_alphabet_takes_two_bytes(tmp_path: Path) -> None:
    file = tmp_path / "syllables"
    syllables = "".join(map(chr, range(0xAC00, 0xD7A4)))
    file.write_text(syllables, encoding="utf-8")
    text, tokens, vocabulary = tokens_of(tmp_path / "t.npy", file)
    assert text == syllables
    assert tokens.dtype == np.uint16
    assert len(vocabulary) == len(syllables) + 1


def test_parts_split_the_text_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "BLOCK", 4)
    file = tmp_path / "file"
    file.write_text("abcdefghij")
    vocabulary = Vocabulary("abcdefghi")
    parts = [(tmp_path / f"{i}.npy", n) for i, n in enumerate([3, 0, 7])]
    assert corpus.write_tokens([file], vocabulary, parts) == 1
    got = [corpus.open_tokens(p, vocabulary).tolist() for p, n in parts if n]
    assert got == [[1, 2, 3], [4, 5, 6, 7, 8, 9, UNKNOWN]]


def test_a_text_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("abc")
    for length in (2, 4):
        with pytest.raises(UserError, match="changed while it was being read"):
            corpus.write_tokens([file], Vocabulary("abc"), [(tmp_path / "t.npy", length)])


@pytest.mark.parametrize("block", [1, 3, 1 << 20])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"abc\xff", "not text in UTF-8: byte 3 is 0xff"),
        ("가나".encode() + b"\xea\xb0", "not text in UTF-8: byte 6 is 0xea"),
        ("가".encode() + b"\xea\xb0x", "not text in UTF-8: byte 3 is 0xea"),
        (b"ab\0c", "byte 2 is zero"),
    ],
)
def test_what_is_not_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str, block: int
) -> None:
    monkeypatch.setattr(corpus, "BLOCK", block)
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(UserError, match=message):
        corpus.count([file])


@pytest.mark.parametrize("place", [0, 5, -1])
def test_tokens_beyond_the_vocabulary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    monkeypatch.setattr(corpus, "BLOCK", 4)
    path = tmp_path / "t.npy"
    tokens = np.ones(11, np.uint8)
    tokens[place] = 3
    np.save(path, tokens)
    with pytest.raises(UserError, match=r"does not fit the vocabulary: it holds token 3, .* are 3"):
        corpus.open_tokens(path, Vocabulary("ab"))
    assert len(corpus.open_tokens(path, Vocabulary("abc"))) == 11


def test_vocabulary_round_trip(tmp_path: Path) -> None:
    vocabulary = Vocabulary("".join(sorted(set(HANGUL))))
    path = tmp_path / "vocabulary.json"
    vocabulary.save(path)
    again = Vocabulary.load(path)
    assert again.characters == vocabulary.characters
    assert again.encode("나Z").tolist() == [vocabulary.encode("나")[0], UNKNOWN]
    assert again.unknown_in("ZxZ나") == "Zx"
    assert again.decode(UNKNOWN) == "\ufffd"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"format": 2, "characters": "ab"}',
        b'{"format": 1, "characters": "ba"}',
        b'{"format": 1, "characters": "aa"}',
        b'{"format": 1, "characters": ""}',
        b'{"format": 1, "characters": "\\ud800"}',
        b'{"format": 1, "characters": 3}',
    ],
)
def test_corrupt_vocabulary(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "vocabulary.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"vocabulary\.json: (corrupt|not a vocabulary)"):
        Vocabulary.load(path)
