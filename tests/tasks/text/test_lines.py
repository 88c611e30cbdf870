"""Lines of a text that stand in the training text."""

from pathlib import Path

import numpy as np
import pytest

from unrolled.errors import UserError
from unrolled.tasks.text import lines
from unrolled.tasks.text.lines import NAME, KnownLines
from unrolled.training.run_folder.folder import RunFolder

END = 10
ENDS = np.arange(256) == END


def tokens(text: str) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return np.frombuffer(text.encode(), np.uint8)


def marked(known: KnownLines, text: str, start: int = 0, stop: int | None = None) -> str:
    """The text with a dot in the place of what is not known."""
    read = tokens(text)
    stop = len(read) if stop is None else stop
    marks = known.marks(read, start, stop)
    assert len(marks) == stop - start
    return "".join(c if m else "." for c, m in zip(text[start:stop], marks, strict=True))


def test_lines_are_known_word_for_word() -> None:
    known = KnownLines.of(tokens("one\ntwo words\n\nlast"), ENDS)
    assert known is not None
    assert marked(known, "one\ntwo\none \n\none\n") == "one\n.........\none\n"
    assert marked(known, "two words\nnew\nlast") == "two words\n....last"


def test_any_part_of_a_text_is_marked_alike() -> None:
    draw = np.random.default_rng(0)
    text = "".join("ab\n"[i] for i in draw.integers(0, 3, 400))
    known = KnownLines.of(tokens("a\n\nbb\naba\n"), ENDS)
    assert known is not None
    whole = marked(known, text)
    assert 0.1 < whole.count(".") / len(whole) < 0.9
    for start, stop in draw.integers(0, 401, (200, 2)).tolist():
        if start <= stop:
            assert marked(known, text, start, stop) == whole[start:stop]


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    text = tokens("one\ntwo\nthree\n" * 5 + "four\n")
    whole = KnownLines.of(text, ENDS)
    monkeypatch.setattr(lines, "_BLOCK", 7)
    parts = KnownLines.of(text, ENDS)
    assert whole is not None
    assert parts is not None
    assert parts.hashes.tolist() == whole.hashes.tolist()
    assert len(whole.hashes) == 4


def test_very_long_lines_are_never_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LONGEST", 5)
    text = "long line\nabcd\nlong line\nabcd\nno end at all"
    known = KnownLines.of(tokens(text), ENDS)
    assert known is not None
    expected = "..........abcd\n..........abcd\n............."
    assert marked(known, text) == expected
    for start in range(len(text)):
        assert marked(known, text, start, start + 1) == expected[start]


def test_too_many_lines_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST_LINES", 2)
    assert KnownLines.of(tokens("a\nb\na\nb\n"), ENDS) is not None
    assert KnownLines.of(tokens("a\nb\nc\n"), ENDS) is None


def test_they_are_kept_with_the_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert KnownLines.load(folder, ENDS) is None
    known = KnownLines.of(tokens("a\nbcd\n"), ENDS)
    assert known is not None
    known.save(tmp_path / NAME)
    again = KnownLines.load(folder, ENDS)
    assert again is not None
    assert marked(again, "a\nbc\nbcd\n") == "a\n...bcd\n"
    np.save(tmp_path / NAME, np.zeros(3, np.int64))
    with pytest.raises(UserError, match="expected a list of numbers of 64 bits"):
        KnownLines.load(folder, ENDS)
