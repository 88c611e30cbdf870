"""Text from files, folders, patterns and standard input."""

import io
import sys
from pathlib import Path

import pytest

from unrolled.errors import UserError
from unrolled.tasks.text import reading
from unrolled.tasks.text.reading import read, sources


@pytest.fixture
def books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "books"
    (folder / "older").mkdir(parents=True)
    for name in ("b.txt", "a.txt", "c.md", "older/d.txt", "[x].txt"):
        (folder / name).write_text(f"{name}\n")
    (folder / "folder.txt").mkdir()
    return folder


def text_of(*names: str) -> list[str]:
    return "".join(read(sources(names))).splitlines()


def test_folders_and_patterns_in_order_of_names(books: Path) -> None:
    assert text_of("books") == ["[x].txt", "a.txt", "b.txt", "older/d.txt"]
    assert text_of("books/*.md") == ["c.md"]
    assert text_of("books/**/*.txt") == ["[x].txt", "a.txt", "b.txt", "older/d.txt"]
    assert text_of("books/b.txt", "books/older") == ["b.txt", "older/d.txt"]
    assert text_of("books/[x].txt") == ["[x].txt"]  # a file of that name comes first
    assert text_of("books/[ab].txt") == ["a.txt", "b.txt"]


def test_names_that_mean_nothing(books: Path) -> None:
    (books / "none").mkdir()
    for name, message in {
        "books/none": "books/none: expected files .*txt in this folder, found none",
        "books/*.rst": r"books/\*.rst: expected files of this pattern, found none",
        "books/e.txt": "books/e.txt: no such file",
    }.items():
        with pytest.raises(UserError, match=message):
            sources([name])


def give(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_standard_input_is_read_twice_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, "나는\r\nx".encode())
    (one,) = sources(["-"])
    assert "".join(read([one])) == "".join(read(sources(["-"]))) == "나는\nx"
    assert one.path.exists()
    monkeypatch.undo()
    assert not one.path.exists()


def test_standard_input_that_is_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    for content, message in (
        (b"", "standard input: the file is empty"),
        (b"ab\xff", "standard input: not text in UTF-8: byte 2 is 0xff"),
    ):
        give(monkeypatch, content)
        with pytest.raises(UserError, match=message):
            list(read(sources(["-"])))
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UserError, match="standard input: it is closed"):
        sources(["-"])


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
    monkeypatch.setattr(reading, "BLOCK", block)
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(read(sources([file])))
