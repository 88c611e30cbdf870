"""Tables are read as they were written, in blocks of any size; what is broken is named."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.errors import UserError
from unrolled.tasks import tables
from unrolled.tasks.tables import Table, read_lines

CELLS = st.text(st.sampled_from('ab,";\n 한'), max_size=5)


def saved(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def cells(table: Table, *names: str) -> list[list[Any]]:
    return [row.cells for row in table.rows(names or None)]


@settings(max_examples=40)
@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=5), st.integers(1, 9))
def test_csv_is_read_as_pythons_own_module_wrote_it(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]], block: int
) -> None:
    file = io.StringIO()
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("x,", "y", "z"), *rows])
    path = saved(tmp_path_factory.mktemp("csv"), "t.csv", file.getvalue())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "BLOCK", block)
        table = Table(path, header=True)
        assert table.columns == ("x,", "y", "z")
        assert cells(table) == [list(row) for row in rows]


def test_places_are_the_lines_where_rows_begin(tmp_path: Path) -> None:
    path = saved(tmp_path, "t.csv", '\ufefftext,n\r\n"a\r\nb",1\r\n\r\nc,2')
    table = Table(path)
    assert table.header
    assert [(row.place, row.cells) for row in table.rows(["n", "text"])] == [
        (f"{path}:2", ["1", "a\nb"]),
        (f"{path}:5", ["2", "c"]),
    ]


def test_tsv_has_no_quotes_unless_it_is_said(tmp_path: Path) -> None:
    path = saved(tmp_path, "t.tsv", 'ham\t"hi\nspam\t"a"\n')
    assert cells(Table(path)) == [["ham", '"hi'], ["spam", '"a"']]
    path = saved(tmp_path, "t.tsv", 'ham\t"h""i"\n')
    assert cells(Table(path, quotes=True)) == [["ham", 'h"i']]


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("a,b\nc,d\n", ("1", "2")),  # nothing tells words from names
        ("a,b\nc,1\nd,2\n", ("a", "b")),  # a column of numbers begins below
        ("1,2\n3,4\n", ("1", "2")),
        ("Text,b\nc,d\n", ("Text", "b")),  # a known name
        ("a;b\nc;1\n", ("a", "b")),
        ("a,,b\n1,2,3\n", ("a", "2", "b")),
    ],
)
def test_a_header_is_recognised(tmp_path: Path, content: str, columns: tuple[str, ...]) -> None:
    assert Table(saved(tmp_path, "t.csv", content), known=["text"]).columns == columns


def test_json_lines_and_parquet(tmp_path: Path) -> None:
    records = [{"text": "a", "n": [1, 2]}, {"text": "나", "n": None}, {"text": "c"}]
    path = saved(tmp_path, "t.jsonl", "\n\n".join(map(json.dumps, records)))
    table = Table(path)
    assert table.columns == ("text", "n")
    expected = [[[1, 2], "a"], [None, "나"], [None, "c"]]
    assert cells(table, "n", "text") == expected
    assert next(iter(table.rows())).place == f"{path}:1"
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    path = tmp_path / "t.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(records), path)
    assert cells(Table(path), "n", "text") == expected


def test_columns_by_name_or_number(tmp_path: Path) -> None:
    table = Table(saved(tmp_path, "t.csv", "a,b\n1,2\n"))
    assert [table.column(name, "--text") for name in ("b", "1")] == ["b", "a"]
    for name in ("c", "0", "3", "9" * 30):
        with pytest.raises(UserError, match=f"--text: .*no column {name}; it has a, b"):
            table.column(name, "--text")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", b"a,b\nc,1\nd\n", ":3: expected 2 columns, got 1"),
        ("t.csv", b"a,b\nc,1\nd,2,e\n", ":3: expected 2 columns, got 3"),
        ("t.csv", b'a,b\n"c,1\nd,2\n', ":2: column 1: a quote is opened and not closed"),
        ("t.csv", b'a,b\n"c"d,1\n', ":2: column 1: expected a separator after the closing quote"),
        ("t.csv", b"a,b\n\xb0\xa1,1\n", ":2: not text in UTF-8: byte 4 of the file is 0xb0"),
        ("t.csv", b"a,b\nc,1\nd,\xed", ":3: not text in UTF-8: byte 10 of the file is 0xed"),
        ("t.csv", b"a,b\n\0,1\n", ":2: not a text file: it holds a zero byte"),
        ("t.csv", b"", "the file is empty"),
        ("t.csv", b"\n\n", "expected rows, found none"),
        ("t.csv", b"a,a\n1,2\n", ":1: two columns are named a"),
        ("t.jsonl", b'{"a": 1}\n{"a"\n', ":2: not a line of JSON"),
        ("t.jsonl", b'{"a": NaN}\n', ":1: not a line of JSON: NaN"),
        ("t.jsonl", b"[" * 10**5, ":1: not a line of JSON"),
        ("t.jsonl", b'{"a": 1}\n[2]\n', r":2: expected a JSON object, got \[2\]"),
        ("t.jsonl", b"\n", "expected a JSON object on each line, found none"),
        ("t.parquet", b"PAR1", "not a valid Parquet file"),
        ("t.parquet", b"", "not a valid Parquet file"),
    ],
)
def test_what_is_broken_is_named(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    if name == "t.parquet":
        pytest.importorskip("pyarrow")
    path = saved(tmp_path, name, content)
    with pytest.raises(UserError, match=words) as error:
        list(Table(path, header=True).rows(["a"] if name == "t.csv" else None))
    assert str(path) in str(error.value)


def test_broken_rows_may_be_left_out(tmp_path: Path) -> None:
    broken: list[str] = []
    path = saved(tmp_path, "t.csv", 'a,b\nc,1\nd\n"e"x,2\nf,3\n')
    table = Table(path, header=True)
    assert [r.cells for r in table.rows(["a", "b"], broken.append)] == [["c", "1"], ["f", "3"]]
    assert [line.split(":")[1] for line in broken] == ["3", "4"]
    path = saved(tmp_path, "t.jsonl", '{"a": 1}\n{\n{"a": 2}\n')
    rows = Table(path).rows(["a"], broken.append)
    assert [row.cells for row in rows] == [[1], [2]]
    assert broken[-1].startswith(f"{path}:2: not a line of JSON")


@pytest.mark.parametrize("block", [1, 2, 3, 1 << 20])
@pytest.mark.parametrize("encoding", ["utf-8", "cp949", "utf-16"])
def test_encodings_in_blocks_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, encoding: str
) -> None:
    monkeypatch.setattr(tables, "BLOCK", block)
    path = saved(tmp_path, "t", "나는\r\n학교\r에\n\n간다".encode(encoding))
    lines = [(line.number, line.text) for line in read_lines(path, encoding)]
    assert lines == [(1, "나는"), (2, "학교"), (3, "에"), (4, ""), (5, "간다")]


@pytest.mark.parametrize("encoding", ["klingon", "base64", "a\0b"])
def test_encodings_that_are_none(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(UserError, match="--encoding: expected a text encoding"):
        list(read_lines(saved(tmp_path, "t", "a"), encoding))


def test_a_line_without_end_does_not_fill_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "LONGEST_LINE", 10)
    monkeypatch.setattr(tables, "BLOCK", 4)
    with pytest.raises(UserError, match=r":2: expected a line of at most 10 characters"):
        list(read_lines(saved(tmp_path, "t", "a\n" + "b" * 20)))
    path = saved(tmp_path, "t.csv", 'x,"a\n' + "bbb\n" * 9 + '"')
    with pytest.raises(UserError, match=":1: column 2: a quote is opened"):
        list(Table(path).rows())
