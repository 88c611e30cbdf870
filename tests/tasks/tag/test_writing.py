"""Predictions are written in the form of the file, and can be read again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.tasks.tag.options import DataOptions
from unrolled.tasks.tag.reading import read_sentences
from unrolled.tasks.tag.schemes import Scheme
from unrolled.tasks.tag.sentences import Sentence
from unrolled.tasks.tag.writing import write_sentence


def read(path: Path, content: str, *, tagged: bool = False, **options: Any) -> list[Sentence]:
    path.write_bytes(content.encode())
    return list(read_sentences([str(path)], DataOptions(**options), tagged=tagged))


def write(sentences: list[Sentence], tags: Sequence[Sequence[str]], scheme: Scheme = "iob2") -> str:
    pieces = [write_sentence(s, t, scheme) for s, t in zip(sentences, tags, strict=True)]
    return "".join(p if isinstance(p, str) else json.dumps(p) + "\n" for p in pieces)


PREDICTED = [["B-PER", "I-PER", "O"], ["B-LOC"]]


@pytest.mark.parametrize(
    ("content", "written"),
    [
        (
            "-DOCSTART- -X- O\n\n# id 1\nAnn\tO\nLee\tO\nx\tO\n\n\n# id 2\nRome\tO\n",
            "-DOCSTART- -X- O\n\n# id 1\nAnn\tO\tB-PER\nLee\tO\tI-PER\nx\tO\tO\n\n"
            "# id 2\nRome\tO\tB-LOC\n\n",
        ),
        (
            "Ann  N O\nLee  N O\nx  V O\n\nRome  N O\n",
            "Ann  N O B-PER\nLee  N O I-PER\nx  V O O\n\nRome  N O B-LOC\n\n",
        ),
        ("Ann\r\nLee\r\nx\r\n\r\nRome\r\n", "Ann B-PER\nLee I-PER\nx O\n\nRome B-LOC\n\n"),
    ],
)
def test_columns(tmp_path: Path, content: str, written: str) -> None:
    assert write(read(tmp_path / "a", content), PREDICTED) == written


def test_a_file_of_characters(tmp_path: Path) -> None:
    (sentence,) = read(tmp_path / "a", "## id\ttext\n수\tO\n \tO\n#\tO\n")
    assert write([sentence], [["B-X", "O", "O"]]) == "## id\ttext\n수\tO\tB-X\n \tO\tO\n#\tO\tO\n\n"


def test_conll_u_keeps_lines_that_are_no_tokens(tmp_path: Path) -> None:
    rest = "\t_" * 6
    content = f"1-2\tIm\t_\t_{rest}\n1\tin\tin\tADP{rest}\n2\tdem\tder\tDET{rest}\n"
    written = write(read(tmp_path / "a", content), [["X", "Y"]], "plain").splitlines()
    assert [line.split("\t")[10] for line in written if line] == ["_", "X", "Y"]


def test_records_and_texts(tmp_path: Path) -> None:
    content = '{"id": 7, "text": "Ann Lee!", "spans": [[0, 3, "X"]]}\n'
    (sentence,) = read(tmp_path / "a", content)
    assert write_sentence(sentence, PREDICTED[0], "bilou", confidence=[0.9, 0.8, 1]) == {
        "id": 7,
        "text": "Ann Lee!",
        "true_spans": [[0, 3, "X"]],
        "tokens": ["Ann", "Lee", "!"],
        "tags": ["B-PER", "L-PER", "O"],
        "confidence": [0.9, 0.8, 1.0],
        "spans": [
            {
                "label": "PER",
                "start": 0,
                "end": 7,
                "text": "Ann Lee",
                "first_token": 0,
                "last_token": 1,
                "confidence": 0.8,
            }
        ],
    }
    (sentence,) = read(tmp_path / "a", "Go home\n", format="text")
    assert write_sentence(sentence, ["VERB", "NOUN"], "plain") == {
        "text": "Go home",
        "tokens": ["Go", "home"],
        "tags": ["VERB", "NOUN"],
    }
    (sentence,) = read(tmp_path / "a", '{"tokens": ["Ann"], "tags": ["O"]}')
    assert write_sentence(sentence, ["B-X"], "iob2") == {
        "true_tags": ["O"],
        "tokens": ["Ann"],
        "tags": ["B-X"],
        "spans": [{"label": "X", "first_token": 0, "last_token": 0}],
    }


TOKENS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=4).filter(
    lambda token: not token.startswith(("#", "{", "-"))
)


@settings(max_examples=25)
@given(
    st.lists(
        st.lists(st.tuples(TOKENS, st.sampled_from("OXY")), min_size=1, max_size=5),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(["\t", " ", "json"]),
)
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, case: list[list[tuple[str, str]]], form: str
) -> None:
    tokens = [[token for token, _ in one] for one in case]
    tags = [[tag if tag == "O" else f"B-{tag}" for _, tag in one] for one in case]
    if form == "json":
        content = "".join(json.dumps({"tokens": one}) + "\n" for one in tokens)
    else:
        content = "".join("".join(f"{t}{form}O\n" for t in one) + "\n" for one in tokens)
    path = tmp_path_factory.mktemp("written") / "a"
    again = read(path, write(read(path, content), tags), tagged=True)
    assert [list(one.tokens) for one in again] == tokens
    assert [list(one.tags or ()) for one in again] == tags


def test_numbers_must_agree(tmp_path: Path) -> None:
    (sentence,) = read(tmp_path / "a", "Ann O\n")
    with pytest.raises(ValueError, match="expected 1 tags, got 2"):
        write_sentence(sentence, ["O", "O"], "iob2")
