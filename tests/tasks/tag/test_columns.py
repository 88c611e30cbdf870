"""Files of columns: tokens and comments, documents, and mistakes of single lines."""

from __future__ import annotations

from typing import Any

import pytest

from unrolled.errors import UserError

from .conftest import pairs


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


def test_documents(read: Any) -> None:
    content = "a O\n\nb O\n\n-DOCSTART- O\n\nc O\n\nd O\n-DOCSTART- O\n\ne O\n"
    assert [one.document for one in read(content)] == [1, 2, 3, 3, 4]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\tO\nb\tc\tO\n\na\tO\n", r"a\.txt:2: expected 2 columns between tabs, got 3: 'b"),
        ("a O\nb\n\nc O\n", r"a\.txt:2: expected 2 columns between whitespace, got 1: 'b'"),
        ("#tag\na\tO\n", r"a\.txt:1: expected 2 columns"),
        ("a\tO\n\tO\n", r"a\.txt:2:1: the token is empty"),
        ("a\tO\nbc\t\n", r"a\.txt:2:4: the tag is empty"),
    ],
)
def test_mistakes(read: Any, content: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(content)


def test_a_file_without_blank_lines(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unrolled.tasks.tag.sentences.LONGEST_SENTENCE", 10)
    with pytest.raises(
        UserError, match=r"a\.txt:1: the sentence has over 10 tokens; expected a bl"
    ):
        read("a O\n" * 11)
