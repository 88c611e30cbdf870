import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrolled.errors import UserError
from unrolled.tasks.text import corpus, reading
from unrolled.tasks.text.corpus import Corpus, beginning, open_part, shown
from unrolled.tasks.text.options import DataOptions
from unrolled.tasks.text.reading import read, sources
from unrolled.tasks.text.tokens import Characters, Words
from unrolled.tasks.text.tokens.vocabulary import UNKNOWN
from unrolled.training.display import Silent

HANGUL = "나는 학교에 간다.\n한글, 漢字, ünï, 🙂🙂\n"


def tokens_of(path: Path, *names: Path) -> tuple[str, np.ndarray, Characters]:
    files = sources(names)
    found = corpus.count(read(files))
    vocabulary = Characters(found.characters)
    corpus.write_tokens(read(files), vocabulary, [(path, found.length)])
    tokens = corpus.open_tokens(path, vocabulary)
    return "".join(map(vocabulary.decode, tokens.tolist())), tokens, vocabulary


@pytest.mark.parametrize("block", [1, 2, 3, 5, 7, 1 << 20])
def test_any_unicode_in_blocks_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(reading, "BLOCK", block)
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
    vocabulary = Characters("abcdefghi")
    parts = [(tmp_path / f"{i}.npy", n) for i, n in enumerate([3, 0, 7])]
    assert corpus.write_tokens(read(sources([file])), vocabulary, parts) == 1
    got = [corpus.open_tokens(p, vocabulary).tolist() for p, n in parts if n]
    assert got == [[1, 2, 3], [4, 5, 6, 7, 8, 9, UNKNOWN]]


def test_a_text_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("abc")
    for length in (2, 4):
        with pytest.raises(UserError, match="changed while it was being read"):
            corpus.write_tokens(
                read(sources([file])), Characters("abc"), [(tmp_path / "t.npy", length)]
            )


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
        corpus.open_tokens(path, Characters("ab"))
    assert len(corpus.open_tokens(path, Characters("abc"))) == 11


# The text in parts ------------------------------------------------------------------------------

TEXT = "".join(f"line {i}: the cell 나는\n" for i in range(60))


def divided(tmp_path: Path, **options: Any) -> dict[str, str]:
    """The parts of a text, written as tokens and read back."""
    file = tmp_path / "text.txt"
    file.write_text(TEXT, encoding="utf-8")
    data = DataOptions(data=(str(file),), **options)
    found = Corpus(data)
    vocabulary = found.vocabulary()
    cache = tmp_path / "cache"
    cache.mkdir(exist_ok=True)
    for old in cache.iterdir():
        old.unlink()
    found.write(vocabulary, cache)
    texts = {}
    for name in ("train", "validation", "test"):
        part = open_part(cache, name, vocabulary)
        if part is not None:
            decode = vocabulary.decoder()
            texts[name] = "".join(map(decode, part.tokens.tolist()))
            assert len(texts[name]) == found.lengths[name]
            first = vocabulary.decode(int(part.tokens[0]))
            assert part.characters == found.lengths[name] - len(first)
            assert "".join(found.part(name)) == texts[name]
    assert "".join(found.training()) == texts["train"]
    return texts


@pytest.mark.parametrize("tokens", ["characters", "words", "subwords"])
@pytest.mark.parametrize("block", [7, 1 << 20])
def test_parts_are_cut_at_characters_whatever_the_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokens: str, block: int
) -> None:
    if tokens != "characters":
        pytest.importorskip("tokenizers")
    monkeypatch.setattr(reading, "BLOCK", block)
    whole, test = len(TEXT), int(len(TEXT) * 0.1)
    train = int(whole * 0.7)
    parts = [TEXT[:train], TEXT[train : whole - test], TEXT[whole - test :]]
    if tokens == "words":  # all known, so that the text comes back
        known = Words.fit(parts, 1000, "marks")
        monkeypatch.setattr(Words, "fit", lambda *_: known)
    texts = divided(tmp_path, val_fraction=0.2, test_fraction=0.1, tokens=tokens)
    assert list(texts.values()) == parts


def test_files_of_their_own_for_validation_and_test(tmp_path: Path) -> None:
    one, two = tmp_path / "one.md", tmp_path / "two.md"
    one.write_text("the cell 1\n")
    two.write_text("cell 2\n")
    own = divided(tmp_path, val_data=(str(one),), test_data=(str(two),))
    assert own == {"train": TEXT, "validation": "the cell 1\n", "test": "cell 2\n"}
    own = divided(tmp_path, val_data=(str(one),), test_fraction=0.25)
    assert own["train"] + own["test"] == TEXT
    assert list(divided(tmp_path, val_fraction=0.0)) == ["train"]


def test_the_test_part_gives_no_characters_and_no_words(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    file = tmp_path / "text.txt"
    file.write_text("ab ab ab\n" * 9 + "xy xy xy\n")
    data = DataOptions(data=(str(file),), val_fraction=0.0, test_fraction=0.1)
    assert Corpus(data).characters == "\n ab"
    for kind in ("words", "subwords"):
        vocabulary = Corpus(
            DataOptions(data=data.data, val_fraction=0.1, test_fraction=0.0, tokens=kind)
        ).vocabulary()
        learnt = [vocabulary.decode(token) for token in range(len(vocabulary))]
        assert any("ab" in one for one in learnt)
        assert not any("xy" in one for one in learnt)
    assert Corpus(DataOptions(data=data.data)).characters == "\n abxy"  # as ever: all of --data


def test_lengths_that_are_damaged(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    vocabulary = Words(["a", "b"], "marks")
    np.save(tmp_path / "train.npy", np.ones(3, np.uint8))
    for content in ("[]", "{}", '{"train": -1}', '{"train": "x"}', '{"train": 1e99}', "{"):
        (tmp_path / "lengths.json").write_text(content)
        with pytest.raises(UserError, match=r"lengths\.json: corrupt"):
            open_part(tmp_path, "train", vocabulary)


@given(st.lists(st.text(max_size=5), max_size=6), st.integers(0, 30))
def test_the_beginning_of_blocks(blocks: list[str], length: int) -> None:
    assert "".join(beginning(blocks, length)) == "".join(blocks)[:length]
    assert list(shown(blocks, 3, "read")) == blocks


def test_a_long_reading_is_shown_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Seen(Silent):
        shares: ClassVar[list[float]] = []

        def progress(self, share: float, text: str) -> None:
            self.shares.append(share)

        def close(self) -> None:
            self.shares.append(-1.0)

    quiet: list[bool] = []
    monkeypatch.setattr(corpus, "choose_display", lambda *, quiet: asked(quiet))

    def asked(now: bool) -> Seen:
        quiet.append(now)
        return Seen()

    monkeypatch.setattr(corpus, "PATIENCE", -1.0)
    for terminal in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal)
        assert list(shown(["ab", "c", "d"], 4, "read")) == ["ab", "c", "d"]
    assert quiet == [True, False]
    assert Seen.shares == [0.5, 0.75, 1.0, -1.0] * 2
    monkeypatch.setattr(corpus, "PATIENCE", 60.0)
    assert list(shown(["ab"], 2, "read")) == ["ab"]
    assert len(quiet) == 2
