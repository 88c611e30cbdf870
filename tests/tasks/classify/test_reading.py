"""Every format gives the same items; columns are guessed or asked for; errors name the place."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.errors import UserError
from unrolled.tasks.classify.items import Item
from unrolled.tasks.classify.options import DataOptions
from unrolled.tasks.classify.reading import read_items
from unrolled.tasks.classify.series_files import permutation


def saved(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(*paths: Path, labels: bool = True, **options: Any) -> list[Item]:
    return list(read_items(paths, DataOptions(**options), labels=labels))


def texts(*paths: Path, labels: bool = True, **options: Any) -> list[tuple[str | None, ...]]:
    return [(one.text, *one.labels) for one in read(*paths, labels=labels, **options)]


def series(*paths: Path, labels: bool = True, **options: Any) -> list[tuple[Any, ...]]:
    found = read(*paths, labels=labels, **options)
    for one in found:
        assert one.series is not None
        assert one.series.ndim == 2
    return [(one.series.tolist(), *one.labels) for one in found if one.series is not None]


EXPECTED = [("Win, now", "spam"), ("어디야", "ham"), ("ok", "ham")]


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("a.csv", 'text,label\n"Win, now",spam\n어디야,ham\nok,ham\n', {}),
        ("a.csv", 'id,Category,Message\n1,spam,"Win, now"\n2,ham,어디야\n3,ham,ok\n', {}),
        ("a.csv", 'a;b\nspam;"Win, now"\nham;어디야\nham;ok', {"label": "a", "text": "b"}),
        ("a.csv", 'a,b\nspam,"Win, now"\nham,어디야\nham,ok', {"label": "a", "header": "yes"}),
        ("a.csv", 'spam,"Win, now"\nham,어디야\nham,ok', {}),
        ("a.csv", 'x,spam,"Win, now"\ny,ham,어디야\nz,ham,ok', {"label": "2", "text": "3"}),
        ("a.tsv", "id\tdocument\tlabel\n1\tWin, now\tspam\n2\t어디야\tham\n3\tok\tham", {}),
        ("names.tsv", "Win, now\tspam\n어디야\tham\nok\tham\n", {}),
        ("collection", "spam\tWin, now\nham\t어디야\nham\tok\n", {}),
        ("a.txt", "__label__spam Win, now\n__label__ham 어디야\n__label__ham ok\n", {}),
        ("a.dat", "label,text\nspam,'Win, now'", {"format": "csv", "quotes": "no", "x": 1}),
    ],
)
def test_texts(tmp_path: Path, name: str, content: str, options: dict[str, Any]) -> None:
    path = saved(tmp_path, name, content)
    if options.pop("x", None):
        with pytest.raises(UserError, match=":2: expected 2 columns, got 3"):
            read(path, **options)
        return
    assert texts(path, **options) == EXPECTED
    assert texts(path, labels=False, **options) == EXPECTED


def test_texts_of_json_lines_and_parquet(tmp_path: Path) -> None:
    records = [{"sentence": text, "class": label} for text, label in EXPECTED]
    path = saved(tmp_path, "a.jsonl", "\n".join(map(json.dumps, records)))
    assert texts(path) == EXPECTED
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(records), tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet")
    assert [(one.text, *one.labels) for one in found] == EXPECTED
    assert found[2].place == f"{tmp_path / 'a.parquet'}:3"


def test_a_folder_for_each_label(tmp_path: Path) -> None:
    saved(tmp_path, "t/pos/1.txt", "good\r\nfilm\n")
    saved(tmp_path, "t/neg/1.txt", "\ufeffbad")
    saved(tmp_path, "t/.hidden", "x")
    assert texts(tmp_path / "t") == [("bad", "neg"), ("good\nfilm", "pos")]
    assert texts(tmp_path / "t" / "pos", labels=False) == [("good\nfilm",)]
    saved(tmp_path, "s/a/1.csv", "x,y\n1,2\n3,4\n")
    saved(tmp_path, "s/a/2.tsv", "5\t6\n")
    (tmp_path / "s/b").mkdir()
    np.save(tmp_path / "s/b/1.npy", np.array([[7, 8]]))
    assert series(tmp_path / "s") == [([[1, 2], [3, 4]], "a"), ([[5, 6]], "a"), ([[7, 8]], "b")]


def test_several_labels(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.csv", "text,tags\nx,b; a;b\ny,\nz,a\n")
    expected = [("x", "b", "a"), ("y",), ("z", "a")]
    assert texts(path, labels_separator=";") == expected
    lines = ['{"text": "x", "tags": ["b", "a", "b"]}', '{"text": "y", "tags": []}']
    path = saved(tmp_path, "a.jsonl", "\n".join([*lines, '{"text": "z", "tags": "a"}']))
    assert texts(path) == expected
    path = saved(tmp_path, "a", "__label__b __label__a x\n")
    assert texts(path) == [("x", "b", "a")]


def test_items_without_labels(tmp_path: Path) -> None:
    assert texts(saved(tmp_path, "a.txt", "x\ny\n"), labels=False) == [("x",), ("y",)]
    path = saved(tmp_path, "b.tsv", "x\ny\n")
    assert texts(path, labels=False, label="1", text="2") == [("x",), ("y",)]
    path = saved(tmp_path, "c.csv", "id,text\n1,x\n")
    assert texts(path, labels=False) == [("x",)]
    assert texts(path, labels=False, label="kind") == [("x",)]
    assert texts(saved(tmp_path, "d.jsonl", '{"text": "x"}'), labels=False) == [("x",)]
    path = saved(tmp_path, "e.csv", "text,label\nx,\ny,b\n")
    assert texts(path, labels=False) == [("x",), ("y", "b")]


def test_known_labels_tell_the_columns_of_one_row(tmp_path: Path) -> None:
    def look(content: str, labels: bool = False, **options: Any) -> list[Item]:
        path = saved(tmp_path, "a.tsv", content)
        known = ("ham", "spam")
        return list(read_items([path], DataOptions(**options), labels=labels, known=known))

    assert [one[:3] for one in look("ham\tok\n")] == [("ok", None, ("ham",))]
    assert [one[:3] for one in look("ok\tham\n", labels=True)] == [("ok", None, ("ham",))]
    with pytest.raises(UserError, match="--text names"):
        look("1\tok\n2\ta ham\n".replace("1", "x").replace("2", "y"))
    # A column given by number is the label's only where it holds labels.
    assert look("1\t2\n", label="1", format="tsv")[0].labels == ()
    assert look("spam\t2\t3\n", label="1")[0].labels == ("spam",)


WIDE = [([[1], [2.5]], "up"), ([[3]], "down")]


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("id,a,b,label\n1,1,2.5,up\n2,3,,down\n", {}),
        ("1,2.5,up\n3,,down\n", {}),
        ("up,1,2.5\ndown,3\n", {}),
        ("a,b,c\nup,1,2.5\ndown,3\n", {"label": "1"}),
    ],
)
def test_one_series_in_each_row(tmp_path: Path, content: str, options: dict[str, Any]) -> None:
    assert series(saved(tmp_path, "a.csv", content), **options) == WIDE


def test_a_numeric_label_of_unnamed_columns_must_be_named(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.csv", "1,0.5,2\n2,0.25,3\n")
    with pytest.raises(UserError, match=r"--label names the column with the label"):
        read(path)
    assert series(path, label="1") == [([[0.5], [2]], "1"), ([[0.25], [3]], "2")]


def test_one_step_in_each_row(tmp_path: Path) -> None:
    rows = ["who,t,x,y,label", "a,0,1,2,up", "a,1,3,4,up", "b,0,5,6,down"]
    path = saved(tmp_path, "a.csv", "\n".join(rows))
    assert series(path, series="who") == [([[1, 2], [3, 4]], "up"), ([[5, 6]], "down")]
    found = read(path, series="who")
    assert [one.place for one in found] == [f"{path}:2", f"{path}:4"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["a,0,1,up", "b,0,1,up", "a,1,1,up"], ":4: series a begins a second time"),
        (["a,0,1,up", "a,1,1,down"], ":3: column label: expected up as in the rest of series a"),
        (["a,1,1,up", "a,1,1,up"], ":3: column t: expected a time later than 1, got 1"),
        (["a,1,,up"], ":2: column x: expected a finite number, got nothing"),
    ],
)
def test_broken_steps(tmp_path: Path, rows: list[str], words: str) -> None:
    path = saved(tmp_path, "a.csv", "\n".join(["who,t,x,label", *rows]))
    with pytest.raises(UserError, match=words):
        read(path, series="who")


def test_lists_of_numbers(tmp_path: Path) -> None:
    lines = ['{"series": [1, 2.5], "y": 0}', '{"series": [3], "y": 1}']
    assert series(saved(tmp_path, "a.jsonl", "\n".join(lines))) == [
        ([[1], [2.5]], "0"),
        ([[3]], "1"),
    ]
    path = saved(tmp_path, "b.jsonl", '{"x": [[1, 2], [3, 4]], "label": true}')
    assert series(path) == [([[1, 2], [3, 4]], "true")]


TS = "#about\n@problemName X\n@univariate false\n@dimensions 2\n@classLabel true a b\n@data\n"


def test_ts(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.ts", TS + "1,2:3,4:a\n\n5:6:b\n")
    assert series(path) == [([[1, 3], [2, 4]], "a"), ([[5, 6]], "b")]
    assert read(path)[1].place == f"{path}:9"
    header = "@timestamps true\n@univariate true\n@classLabel false\n@data\n"
    path = saved(tmp_path, "b.ts", header + "(0,1.5),(2, 2.5)\n")
    assert series(path, labels=False) == [([[1.5], [2.5]],)]
    with pytest.raises(UserError, match="expected a label for each series"):
        read(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (TS + "1,2:3:a\n", ":7: channel 2: expected 2 values as channel 1 has, got 1"),
        (TS + "1,2:a\n", ":7: expected 2 channels, got 1"),
        (TS + "1,?:3,4:a\n", ":7: channel 1: column 2: expected a finite number, got nan"),
        (TS + "1,x:3,4:a\n", ":7: channel 1: column 2: expected a finite number, got x"),
        (TS + "1,2:3,4:\n", ":7: expected a label, got an empty one"),
        (TS + ":3,4:a\n", ":7: channel 1: empty"),
        (TS.replace("2\n", "x\n", 1), "@dimensions: expected a number from 1, got x"),
        ("1,2:a\n", ":1: expected @data before the first case"),
        ("@relation x\n", "it has no line @data"),
        ("@targetlabel true\n@data\n1:2\n", "its targets are numbers"),
    ],
)
def test_broken_ts(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        read(saved(tmp_path, "a.ts", content))


def test_npz(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, X=np.array([[1, 2.5], [3, 0]]), y=np.array(["up", "down"]), lengths=[2, 1])
    assert series(path) == WIDE
    np.savez_compressed(path, X=np.array([1, 2.5, 3], np.float32), y=[4, 5], lengths=[2, 1])
    assert series(path) == [([[1], [2.5]], "4"), ([[3]], "5")]
    np.savez(path, X=np.arange(8).reshape(2, 2, 2))
    assert series(path, labels=False) == [([[0, 1], [2, 3]],), ([[4, 5], [6, 7]],)]


def broken_npz(**arrays: Any) -> Callable[[Path], None]:
    return lambda path: np.savez(path, allow_pickle=True, **arrays)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (broken_npz(Z=[1]), "expected an array X, found z"),
        (
            broken_npz(X=[[1.0]], y=np.array([{}], object)),
            "y: expected numbers or text, got Python",
        ),
        (broken_npz(X=np.array([{}], object)), "X: expected numbers or text, got Python objects"),
        (broken_npz(X=np.array([["a"]])), "X: expected numbers"),
        (broken_npz(X=[[1.0, np.nan]], y=[1]), "series 1: step 2, channel 1: .* got nan"),
        (broken_npz(X=[[1.0, 1e300]], y=[1]), "series 1: step 2, channel 1: .* got 1e"),
        (broken_npz(X=[[1.0]], y=[1, 2]), "y: expected 1 labels, got 2"),
        (broken_npz(X=[1.0, 2.0], y=[1]), r"X: expected shape \[N, T\]"),
        (broken_npz(X=[[1.0]], y=[1], lengths=[0]), "series 1: empty"),
        (broken_npz(X=[[1.0]], y=[1], lengths=[2]), "lengths: expected numbers from 0 to 1"),
        (broken_npz(X=np.ones(2), y=[1], lengths=[3]), "lengths: expected one for each of the 2"),
        (broken_npz(X=[[1.0]]), "expected a label for each series"),
        (lambda path: path.write_bytes(b"PK"), "not a valid .npz file"),
    ],
)
def test_broken_npz(tmp_path: Path, write: Callable[[Path], None], words: str) -> None:
    path = tmp_path / "a.npz"
    write(path)
    with pytest.raises(UserError, match=words) as error:
        read(path)
    assert str(path) in str(error.value)


def idx(values: Any) -> bytes:
    array = np.asarray(values, np.uint8)
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


IMAGES = np.arange(12).reshape(2, 2, 3)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx(tmp_path: Path, suffix: str) -> None:
    pack = gzip.compress if suffix else bytes
    path = saved(tmp_path, f"t-images-idx3-ubyte{suffix}", pack(idx(IMAGES)))
    with pytest.raises(UserError, match="expected its labels beside it"):
        read(path)
    assert read(path, labels=False)[0].labels == ()
    labels = saved(tmp_path, f"t-labels-idx1-ubyte{suffix}", pack(idx([7, 3])))
    flat = IMAGES.reshape(2, 6, 1).tolist()
    assert series(path) == [(flat[0], "7"), (flat[1], "3")]
    assert series(path, idx="rows") == [(IMAGES[0].tolist(), "7"), (IMAGES[1].tolist(), "3")]
    order = permutation(6, 1)
    assert sorted(order) == list(range(6))
    assert series(path, permute=1)[1][0] == [flat[1][at] for at in order]
    with pytest.raises(UserError, match="these are labels"):
        read(labels)


def test_the_order_of_permuted_pixels_never_changes() -> None:
    assert permutation(8, 0).tolist() == [1, 7, 3, 2, 4, 6, 0, 5]


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (idx(IMAGES)[:-1], idx([1, 2]), "truncated: it ends in image 2"),
        (idx(IMAGES) + b"x", idx([1, 2]), "expected 2 images, got more"),
        (idx(IMAGES), idx([1]), "expected 2 labels, got 1"),
        (idx(IMAGES), idx([1, 2])[:-1], "truncated: 2 labels expected, 1 found"),
        (b"\0\0\x08\x03", idx([1, 2]), "not an IDX file of bytes in 3 dimensions"),
        (gzip.compress(idx(IMAGES), mtime=0)[:-9], idx([1, 2]), "truncated or corrupt"),
        (idx(np.zeros((1, 0, 3))), idx([1]), "expected images, got 0 × 3 pixels"),
    ],
)
def test_broken_idx(tmp_path: Path, images: bytes, labels: bytes, words: str) -> None:
    saved(tmp_path, "t-labels-idx1-ubyte", labels)
    with pytest.raises(UserError, match=words):
        read(saved(tmp_path, "t-images-idx3-ubyte", images))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "text,label\nx,\n", ":2: column label: expected a label, got an empty one"),
        ("a.csv", "text,label\n ,a\n", ":2: the text is empty"),
        ("a.csv", "a,b,label\n1,2,x\n1,nan,y\n", ":3: column b: expected a finite number, got nan"),
        ("a.csv", "a,b,label\n1,2,x\n1e39,2,y\n", ":3: column a: expected a finite .* got 1e39"),
        ("a.csv", "a,b,label\n1,2,x\n,2,y\n", ":3: column a: expected a finite .* got nothing"),
        ("a.csv", "a,b,label\n1,2,x\n,,y\n", ":3: the series is empty"),
        ("a.csv", "a,b\nx,y\nz,w\n", None),
        ("a.csv", "q,a,b\nx,y,z\nx,y,z\n", "expected a column named label or class"),
        ("a.csv", "label,a,b\nx,y,z\nx,y,z\n", "expected a column named text, found a, b"),
        ("a.csv", "label\nx\n", "expected a column beside the label's"),
        ("a.jsonl", '{"text": 5, "label": "a"}', ":1: column text: expected a text, got 5"),
        ("a.jsonl", '{"text": "x", "label": null}', ":1: column label: expected a label, got none"),
        ("a.jsonl", '{"text": "x", "label": {}}', ":1: column label: expected a label, got {}"),
        ("a.jsonl", '{"text": "\\ud800", "label": 1}', ":1: column text: not valid Unicode"),
        ("a.jsonl", '{"x": [1, "a"], "y": 1}', ":1: column x: column 2: expected a finite number"),
        ("a.jsonl", '{"x": [[1, 2], [1]], "y": 1}', ":1: column x: step 2: expected 2 numbers"),
        ("a.txt", "__label__a x\ny\n", ":2: expected __label__ and a label at its beginning"),
        ("a.txt", "just text\n", "name and first line do not tell the format; --format says it"),
        ("a.txt", "__label__a \n", ":1: the text is empty"),
    ],
)
def test_broken_items(tmp_path: Path, name: str, content: str, words: str | None) -> None:
    path = saved(tmp_path, name, content)
    if words is None:
        assert len(read(path)) == 3
        return
    with pytest.raises(UserError, match=words) as error:
        read(path)
    assert str(path) in str(error.value)


def test_broken_items_may_be_left_out(tmp_path: Path) -> None:
    broken: list[str] = []
    rows = ["text,label", "x,a", ",a", "y", "z,", '"u"v,a', "w,b"]
    path = saved(tmp_path, "a.csv", "\n".join(rows))
    found = read_items([path], DataOptions(), broken=broken.append)
    assert [one.text for one in found] == ["x", "w"]
    assert [line.split(":")[1] for line in broken] == ["3", "4", "5", "6"]


def test_kinds_are_not_mixed(tmp_path: Path) -> None:
    one = saved(tmp_path, "a.csv", "text,label\nx,a\n")
    two = saved(tmp_path, "b.csv", "label,v,w\na,1,2\n")
    with pytest.raises(UserError, match=r"b\.csv:2: expected a text as before, got a series"):
        read(one, two)
    three = saved(tmp_path, "c.ts", TS + "1:2:a\n")
    with pytest.raises(UserError, match=r"c\.ts:7: expected 1 channels as before, got 2"):
        read(two, three)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read(tmp_path / "none.csv")
    with pytest.raises(UserError, match="expected one folder for each label, found none"):
        read(tmp_path)
    with pytest.raises(UserError, match="expected a file for --format csv, got a folder"):
        read(tmp_path, format="csv")
    saved(tmp_path, "s/a/x.png", "x")
    with pytest.raises(UserError, match=r"x\.png: expected a text \(\.txt\) or a series"):
        read(tmp_path / "s")
    with pytest.raises(UserError, match="--encoding"):
        read(tmp_path / "s", encoding="x")
