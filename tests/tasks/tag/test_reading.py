"""Reading: every form of file, and one line of error for a file that is none."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from unrolled.errors import UserError
from unrolled.tasks.tag.options import DataOptions
from unrolled.tasks.tag.reading import read_sentences

from .conftest import pairs

TWO = [[("We", "O"), ("met", "O")], [("Ann", "B-PER")]]


@pytest.mark.parametrize(
    "content",
    [
        "We\tO\nmet\tO\n\nAnn\tB-PER\n\n",
        "We\tO\nmet\tO\n\nAnn\tB-PER",  # no end of the last line
        "We\tO\r\nmet\tO\r\n\r\nAnn\tB-PER\r\n",
        "\ufeffWe\tO\nmet\tO\n\t\n\n \nAnn\tB-PER\n",  # marks and blanks that say nothing
        "We O\nmet O\n\nAnn B-PER\n",
        "We  PRP O\nmet\tVBD   O\n\nAnn NNP B-PER\n",
        "-DOCSTART- -X- O\n\nWe PRP O\nmet VBD O\n\nAnn NNP B-PER\n",
        "# a comment\nWe\tO\nmet\tO\n\n## id\twith a tab\nAnn\tB-PER\n",
        '{"tokens": ["We", "met"], "tags": ["O", "O"]}\n\n{"tokens": ["Ann"], "tags": ["B-PER"]}',
        '{"words": ["We", "met"], "ner_tags": ["O", "O"]}\n{"words":["Ann"],"labels":["B-PER"]}\n',
        '{"text": "We met", "spans": []}\n'
        '{"text": "Ann", "entities": [{"start": 0, "end": 3, "label": "PER"}]}\n',
        '{"text": "We met", "spans": []}\n{"text": " Ann", "labels": [[1, 4, "PER"]]}\n',
    ],
)
def test_every_form(read: Any, content: str) -> None:
    assert pairs(read(content)) == TWO


def test_other_line_breaks_are_part_of_a_token(read: Any) -> None:
    assert pairs(read("a\u2028b\tO\nc\x85\tO\n")) == [[("a\u2028b", "O"), ("c\x85", "O")]]


def test_documents_of_several_files_differ(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text("-DOCSTART- O\n\nx O\n\ny O\n")
    files = [str(tmp_path / name) for name in "ab"]
    assert len({one.document for one in read_sentences(files, DataOptions())}) == 2


def test_without_tags_to_predict(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [one.tokens for one in read("a\nb\n\nc\n", tagged=False)] == [("a", "b"), ("c",)]
    assert read('{"text": "a b"}', tagged=False)[0].tags is None
    assert read('{"tokens": ["a b"]}', tagged=False)[0].tokens == ("a b",)
    (sentence,) = read("\nAnn was here.\n", tagged=False, format="text")
    assert sentence.tokens == ("Ann", "was", "here", ".")
    assert sentence.place.endswith(":2")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a\tO\n")))
    assert pairs(list(read_sentences(["-"], DataOptions()))) == [[("a", "O")]]


def test_sentences_come_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a O\n\n" * 2000 + "wrong\n")
    sentences = read_sentences([str(path)], DataOptions())
    assert [next(sentences).tokens for _ in range(2000)] == [("a",)] * 2000
    with pytest.raises(UserError, match=r"a\.txt:4001: expected 2 columns"):
        next(sentences)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"a\.txt: the file has no sentence"),
        ("\n\n# only a comment\n", r"a\.txt: the file has no sentence"),
        (b"a\tO\nb\xff\tO\n", r"a\.txt:2:2: not text in UTF-8: byte 0xff"),
        (b"a\tO\nb\0\tO\n", r"a\.txt:2:2: not a text file: a byte is zero"),
    ],
)
def test_mistakes(read: Any, content: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(content)


def test_mistakes_of_options(read: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--tag-column 3: .* has 2 columns"):
        read("a O\n", tag_column=3)
    with pytest.raises(UserError, match="expected another column than --token-column"):
        DataOptions(tag_column=1, token_column=1)
    with pytest.raises(UserError, match=r"--format text: .* a text has no tags"):
        read("a", format="text")
    with pytest.raises(UserError, match="no such file"):
        list(read_sentences([str(tmp_path / "none")], DataOptions()))


def test_a_line_too_long(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unrolled.tasks.tag.reading.LONGEST_LINE", 10)
    with pytest.raises(UserError, match=r"a\.txt:2: the line has over 10 bytes"):
        read("a O\n" + "a" * 20 + " O\n")
