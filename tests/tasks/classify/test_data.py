"""Data of a run: encoded, divided, cached and read back; and what stops it."""

import json
import resource
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unrolled.errors import UserError
from unrolled.tasks.classify.data import open_part
from unrolled.tasks.classify.labels import Labels
from unrolled.tasks.classify.options import DataOptions
from unrolled.tasks.classify.preparation import Facts, prepare_data
from unrolled.tasks.classify.text_encoder import TextEncoder


def saved(folder: Path, name: str, content: str) -> str:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return str(path)


def messages(folder: Path, count: int = 40, name: str = "a.tsv") -> str:
    rows = [f"{'spam' if i % 4 == 0 else 'ham'}\tmessage {i} 가\n" for i in range(count)]
    return saved(folder, name, "".join(rows))


def prepared(folder: Path, seed: int = 0, **options: Any) -> Facts:
    options["data"] = tuple(options["data"]) if "data" in options else (messages(folder),)
    return prepare_data(DataOptions(**options), folder, seed=seed)


def test_texts_come_back_as_tokens_and_as_they_were(tmp_path: Path) -> None:
    facts = prepared(tmp_path, min_count=1)
    train, validation = (open_part(tmp_path, name) for name in ("train", "validation"))
    assert (facts.kind, facts.items, facts.validation) == ("text", 36, 4)
    assert (len(train), len(validation)) == (36, 4)
    assert facts.steps == int(train.lengths.sum())
    batch = train.batch([5, 0])
    assert batch.inputs.dtype == batch.lengths.dtype == batch.targets.dtype == torch.int64
    assert batch.inputs.shape == (int(batch.lengths.max()), 2)
    encoder = train.encoding.inputs
    assert isinstance(encoder, TextEncoder)
    for column, index in enumerate((5, 0)):
        item = train.item(index)
        assert item.text is not None
        tokens = batch.inputs[: batch.lengths[column], column].tolist()
        assert "".join(encoder.known[token - 1] for token in tokens) == item.text
        assert (item.labels == ("ham",)) == (int(batch.targets[column]) == 0)
        line = int(item.place.rsplit(":", 1)[1])
        assert item.text == f"message {line - 1} 가"
    assert train.targets().tolist() == [int(train.labels(i) == ("spam",)) for i in range(36)]
    assert train.encoding.labels == Labels(("ham", "spam"), (27, 9))


def test_the_same_seed_draws_the_same_items(tmp_path: Path) -> None:
    drawn = []
    for number, seed in enumerate((0, 0, 1)):
        folder = tmp_path / str(number)
        folder.mkdir()
        prepared(folder, seed)
        part = open_part(folder, "validation")
        drawn.append([part.text(index) for index in range(len(part))])
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5, 0.9])
def test_validation_has_its_share_of_each_label_and_no_duplicates(
    tmp_path: Path, fraction: float
) -> None:
    sizes = {"a": 100, "b": 40, "c": 10, "d": 1}
    rows = [
        f"{name}\t{name} {i // 2}{' ' * (i % 2)}\n" for name, n in sizes.items() for i in range(n)
    ]
    facts = prepared(
        tmp_path, data=[saved(tmp_path, "a.tsv", "".join(rows))], val_fraction=fraction
    )
    assert facts.duplicates == 75
    train, validation = (open_part(tmp_path, name) for name in ("train", "validation"))
    texts = [
        {(part.text(i) or "").strip() for i in range(len(part))} for part in (train, validation)
    ]
    assert not texts[0] & texts[1]
    counts = Counter(name for i in range(len(validation)) for name in validation.labels(i))
    for name, size in sizes.items():
        assert abs(counts[name] - fraction * size) <= 2
    assert "d" not in counts


def test_a_few_items_still_give_one_to_validate_on(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.tsv", "a\tx\na\ty\nb\tz\n")
    assert prepared(tmp_path, data=[path]).validation == 1
    assert prepared(tmp_path, data=[path], val_fraction=0.0).validation == 0
    assert len(open_part(tmp_path, "validation")) == 0


def test_files_to_validate_on(tmp_path: Path) -> None:
    val = saved(tmp_path, "v.tsv", "ham\tMessage  1 가\nspam\t새 글\nspam\t새 글\n")
    facts = prepared(tmp_path, val_data=(val,))
    assert (facts.items, facts.validation) == (40, 3)
    assert (facts.shared, facts.duplicates) == (1, 1)
    part = open_part(tmp_path, "validation")
    assert part.place(1) == f"{val}:2"
    # 새 and 글 are not among the characters of training, and neither is the capital M
    assert facts.unknown == pytest.approx(5 / (12 + 3 + 3))
    for content, words in [
        ("ham\ta\negg\tx\n", r"v\.tsv:2: no item of the training data has the label egg"),
        (" \n", r"v\.tsv"),
    ]:
        with pytest.raises(UserError, match=words):
            prepared(tmp_path, val_data=(saved(tmp_path, "v.tsv", content),))


@pytest.mark.parametrize("keep", ["beginning", "ends"])
@pytest.mark.parametrize("tokens", ["characters", "bytes", "subwords"])
def test_long_texts_are_cut(tmp_path: Path, keep: str, tokens: str) -> None:
    if tokens == "subwords":
        pytest.importorskip("tokenizers")
    options: dict[str, Any] = {"tokens": tokens, "subword_count": 30, "min_count": 1}
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    prepared(one, **options)
    facts = prepared(other, **options, max_length=3, keep=keep)
    whole, cut = open_part(one, "train"), open_part(other, "train")
    aside = open_part(one, "validation").lengths
    assert facts.cut == (whole.lengths > 3).sum() + (aside > 3).sum() > 20
    assert cut.lengths.max() == 3
    for index in range(3):
        long = whole.batch([index]).inputs[:, 0].tolist()
        expected = long[:3] if keep == "beginning" else long[:2] + long[-1:]
        assert cut.batch([index]).inputs[:, 0].tolist() == expected
        assert cut.text(index) == whole.text(index)


@pytest.mark.parametrize("keep", ["beginning", "ends"])
def test_series_are_scaled_by_training_and_cut(tmp_path: Path, keep: str) -> None:
    draw = np.random.default_rng(0)
    values = draw.normal([5, -3, 0], [2, 1e-3, 0], (30, 4, 3)).astype(np.float32)
    np.savez(tmp_path / "a.npz", X=values, y=np.arange(30) % 2)
    facts = prepared(tmp_path, data=[str(tmp_path / "a.npz")], max_length=3, keep=keep)
    train = open_part(tmp_path, "train")
    assert (facts.kind, facts.cut, len(train)) == ("series", 30, 27)
    batch = train.batch(range(27))
    assert batch.inputs.shape == (3, 27, 3)
    assert batch.inputs.dtype == torch.float32
    rows = [int(train.place(i).split()[-1]) - 1 for i in range(27)]
    deviation = values[rows].std((0, 1))
    deviation[2] = 1  # the third never changes
    scaled = (values[rows] - values[rows].mean((0, 1))) / deviation
    steps = [0, 1, 2] if keep == "beginning" else [0, 1, 3]
    np.testing.assert_allclose(
        batch.inputs.transpose(0, 1).numpy(), scaled[:, steps], rtol=1e-3, atol=1e-3
    )
    np.testing.assert_array_equal(train.series(0), values[rows[0]])
    assert train.text(0) is None


def test_scaling_of_all_channels_together_and_none(tmp_path: Path) -> None:
    values = np.array([[[0, 2], [2, 8]]] * 4, np.float32)
    np.savez(tmp_path / "a.npz", X=values, y=[0, 1, 0, 1])
    options: dict[str, Any] = {"data": [str(tmp_path / "a.npz")], "val_fraction": 0.0}
    scaled: dict[str, Any] = {"together": (values - 3) / 3, "none": values}
    for scale, expected in scaled.items():
        prepared(tmp_path, **options, scale=scale)
        got = open_part(tmp_path, "train").batch([0]).inputs
        np.testing.assert_allclose(got[:, 0].numpy(), expected[0], rtol=1e-6)


def test_several_labels(tmp_path: Path) -> None:
    rows = ["text,tags", "x,b;a", "y,", "z,a", *(f"{i},b" for i in range(17))]
    path = saved(tmp_path, "a.csv", "\n".join(rows))
    facts = prepared(tmp_path, data=[path], labels_separator=";")
    train = open_part(tmp_path, "train")
    assert facts.items == 18
    assert train.encoding.labels.several
    batch = train.batch([0, 1, 2])
    assert batch.targets.dtype == torch.float32
    assert batch.targets.tolist() == [[1, 1], [0, 0], [1, 0]]
    np.testing.assert_array_equal(train.targets()[:3], batch.targets.numpy())
    assert train.labels(0) == ("a", "b") or train.labels(0) == ("b", "a")


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ("a\tx\na\ty\n", {}, "expected two labels or more, found only a"),
        ("a\tx\nb\ty\nb\t\n", {}, ":3: the text is empty"),
        ("a\tx\nb\ty\n", {}, "too few items to keep some for validation; --val-fraction 0"),
        (" \t \n", {"skip_broken": True}, "found none; 1 were left out, the first: .*:1: "),
    ],
)
def test_data_that_cannot_be_used(
    tmp_path: Path, content: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words) as error:
        prepared(tmp_path, data=[saved(tmp_path, "a.tsv", content)], **options)
    assert "a.tsv" in str(error.value)


def test_broken_rows_are_counted(tmp_path: Path) -> None:
    rows = [f"a\tx{i}\nb\t\nc\nb\ty{i}\n" for i in range(3)]
    path = saved(tmp_path, "a.tsv", "".join(rows))
    facts = prepared(tmp_path, data=[path], skip_broken=True)
    assert (facts.items + facts.validation, facts.skipped) == (6, 6)
    assert facts.first_skipped[0] == f"{path}:2: the text is empty"
    assert len(facts.first_skipped) == 5


def test_a_full_disk_is_an_error(tmp_path: Path) -> None:
    path = messages(tmp_path, 3000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            prepared(tmp_path, data=[path])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def damage_json(key: str, value: Any) -> Any:
    def damage(folder: Path) -> None:
        record = json.loads((folder / "encoding.json").read_text())
        place = record
        *parents, last = key.split(".")
        for parent in parents:
            place = place[parent]
        place[last] = value
        (folder / "encoding.json").write_text(json.dumps(record))

    return damage


def damage_array(name: str, *values: int, dtype: str = "int64") -> Any:
    return lambda folder: np.save(folder / "cache" / name, np.array(values, dtype))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (damage_json("format", 2), "not an encoding of this version"),
        (damage_json("kind", "series"), "corrupt"),
        (damage_json("inputs.known", "ba"), "corrupt: expected characters in order"),
        (damage_json("inputs.known", "a\ud800"), "corrupt"),
        (damage_json("inputs.known", "a"), "does not fit encoding.json: it holds token"),
        (damage_json("inputs.tokens", "subwords"), "corrupt: not a tokenizer"),
        (damage_json("inputs.tokens", 3), "corrupt"),
        (damage_json("inputs.max_length", 0), "corrupt: expected a longest sequence"),
        (damage_json("inputs.keep", "middle"), "corrupt"),
        (damage_json("inputs.lower", None), "corrupt"),
        (damage_json("inputs", []), "corrupt"),
        (damage_json("labels.names", ["a", "a"]), "corrupt: expected labels"),
        (damage_json("labels.names", [1, 2]), "corrupt: expected labels in words"),
        (damage_json("labels.counts", [1.5, 2]), "corrupt: expected labels in words"),
        (damage_json("labels.several", 1), "corrupt"),
        (lambda folder: damage_json("labels.names", ["x"])(folder), "corrupt"),
        (lambda folder: (folder / "encoding.json").unlink(), "no such file"),
        (damage_array("train.npy", 0, 40), "it names items that are not there"),
        (damage_array("train.npy", -1), "it names items that are not there"),
        (damage_array("train.npy", 0, dtype="int32"), "do not fit each other"),
        (damage_array("labels.offsets.npy", 0, 40), "do not fit each other"),
        (damage_array("labels.npy", *[2] * 40, dtype="int32"), "does not fit encoding.json"),
        (damage_array("labels.npy", *[1] * 40), "expected int32"),
    ],
)
def test_damage_is_one_line(tmp_path: Path, damage: Any, words: str) -> None:
    if "tokenizer" in words:
        pytest.importorskip("tokenizers")
    prepared(tmp_path)
    damage(tmp_path)
    with pytest.raises(UserError, match=words) as error:
        open_part(tmp_path, "train")
    assert str(tmp_path) in str(error.value)
