"""Reading: every form of file, and one line of error for every mistake."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrolled.errors import UserError
from unrolled.tasks.tag.options import DataOptions
from unrolled.tasks.tag.reading import Sentence, read_sentences, tokenise


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """Sentences of a text or bytes as a file."""

    def run(content: str | bytes, *, tagged: bool = True, **options: Any) -> list[Sentence]:
        path = tmp_path / "a.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(read_sentences([str(path)], DataOptions(**options), tagged=tagged))

    return run


def pairs(sentences: list[Sentence]) -> list[list[tuple[str, str]]]:
    return [list(zip(one.tokens, one.tags or (), strict=True)) for one in sentences]


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


def test_a_blank_may_be_a_token(read: Any) -> None:
    expected = [[("a", "O"), (" ", "O"), ("#", "B-X"), ("\u3000", "O")]]
    assert pairs(read("a\tO\n \tO\n#\tB-X\n\u3000\tO\n")) == expected
    assert pairs(read("a O\n  O\n# B-X\n\u3000 O\n")) == expected


def test_a_number_sign_with_a_tag_is_a_token_wherever_it_stands(read: Any) -> None:
    assert pairs(read("#\tO\n1\tO\n\n#\tO\n2\tO\n")) == [
        [("#", "O"), ("1", "O")],
        [("#", "O"), ("2", "O")],
    ]
    assert pairs(read("#win O\nnow O\n\n# O\n# part\na O\n")[:1]) == [[("#win", "O"), ("now", "O")]]
    assert pairs(read("# part\na O\nb B-X\n\n# O\nc O\n")) == [
        [("a", "O"), ("b", "B-X")],
        [("#", "O"), ("c", "O")],
    ]


def test_comments_of_a_file_of_characters(read: Any) -> None:
    """Comments with a tab have as many columns as the tokens."""
    content = "## 컬럼명 : CHAR\tTAG\n## id-1\t수학 <A:QT>\n수\tO\n \tO\n\n## id-2\t# A\n#\tO\n"
    assert pairs(read(content)) == [[("수", "O"), (" ", "O")], [("#", "O")]]


def test_other_line_breaks_are_part_of_a_token(read: Any) -> None:
    assert pairs(read("a\u2028b\tO\nc\x85\tO\n")) == [[("a\u2028b", "O"), ("c\x85", "O")]]


def test_columns_by_number_and_separator(read: Any) -> None:
    content = "O\tNew York\tx\nB-X\tParis\tx\n"
    assert pairs(read(content, token_column=2, tag_column=1)) == [
        [("New York", "O"), ("Paris", "B-X")]
    ]
    assert pairs(read("a b O\nc d O\n", separator="space", token_column=2)) == [
        [("b", "O"), ("d", "O")]
    ]


def test_conll_u(read: Any) -> None:
    rest = "\t_" * 6
    content = (
        "# newdoc\n# sent_id = 1\n# text = Im Haus\n"
        f"1-2\tIm\t_\t_{rest}\n1\tin\tin\tADP{rest}\n2\tdem\tder\tDET{rest}\n"
        f"3\tHaus\tHaus\tNOUN{rest}\n3.1\tx\tx\tX{rest}\n\n"
    )
    (sentence,) = read(content)
    assert pairs([sentence]) == [[("in", "ADP"), ("dem", "DET"), ("Haus", "NOUN")]]
    assert sentence.place_of(2).endswith("a.txt:7")


def test_numbered_tokens_are_seen(read: Any) -> None:
    assert pairs(read("#\tn-tv.de\n1\tAnn\tB-PER\tO\n2\tlebt\tO\tO\n")) == [
        [("Ann", "O"), ("lebt", "O")]
    ]


def test_documents(read: Any) -> None:
    content = "a O\n\nb O\n\n-DOCSTART- O\n\nc O\n\nd O\n-DOCSTART- O\n\ne O\n"
    assert [one.document for one in read(content)] == [1, 2, 3, 3, 4]
    rows = [json.dumps({"tokens": ["a"], "tags": ["O"], "doc": doc}) for doc in "xxy"]
    assert [one.document for one in read("\n".join(rows))] == [1, 1, 2]


def test_documents_of_several_files_differ(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text("-DOCSTART- O\n\nx O\n\ny O\n")
    files = [str(tmp_path / name) for name in "ab"]
    assert len({one.document for one in read_sentences(files, DataOptions())}) == 2


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


@given(st.text(max_size=60))
def test_tokens_cover_all_but_blanks(text: str) -> None:
    end, kept = 0, ""
    for start, stop in tokenise(text, "word"):
        assert end <= start < stop
        assert not text[end:start].strip()
        kept, end = kept + text[start:stop], stop
    assert not text[end:].strip()


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
        ("a\tO\nb\tc\tO\n\na\tO\n", r"a\.txt:2: expected 2 columns between tabs, got 3: 'b"),
        ("a O\nb\n\nc O\n", r"a\.txt:2: expected 2 columns between whitespace, got 1: 'b'"),
        ("#tag\na\tO\n", r"a\.txt:1: expected 2 columns"),
        ("a\tO\n\tO\n", r"a\.txt:2:1: the token is empty"),
        ("a\tO\nbc\t\n", r"a\.txt:2:4: the tag is empty"),
        ("a\nb\n", r"a\.txt: expected a column of tokens and one of tags, got 1 column"),
        ("", r"a\.txt: the file has no sentence"),
        ("\n\n# only a comment\n", r"a\.txt: the file has no sentence"),
        (b"a\tO\nb\xff\tO\n", r"a\.txt:2:2: not text in UTF-8: byte 0xff"),
        (b"a\tO\nb\0\tO\n", r"a\.txt:2:2: not a text file: a byte is zero"),
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


def test_a_file_without_blank_lines(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unrolled.tasks.tag.reading.LONGEST_SENTENCE", 10)
    with pytest.raises(
        UserError, match=r"a\.txt:1: the sentence has over 10 tokens; expected a bl"
    ):
        read("a O\n" * 11)
    with pytest.raises(UserError, match=r"a\.txt:1: the sentence has over 10 tokens"):
        read(json.dumps({"tokens": ["a"] * 11, "tags": ["O"] * 11}))


def test_a_line_too_long(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unrolled.tasks.tag.reading.LONGEST_LINE", 10)
    with pytest.raises(UserError, match=r"a\.txt:2: the line has over 10 bytes"):
        read("a O\n" + "a" * 20 + " O\n")
