"""Texts, series and labels as numbers: encoded, saved and read back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.errors import UserError
from unrolled.tasks.classify.cut import Cut
from unrolled.tasks.classify.encoding import Encoding
from unrolled.tasks.classify.items import Item
from unrolled.tasks.classify.labels import Labels
from unrolled.tasks.classify.options import DataOptions
from unrolled.tasks.classify.series_encoder import SeriesEncoder
from unrolled.tasks.classify.text_encoder import TextEncoder


def encoder(*texts: str, **options: Any) -> TextEncoder:
    return TextEncoder.fit(texts, DataOptions(**options))


def test_characters_are_counted_in_the_form_that_is_encoded() -> None:
    found = encoder("Aab", "e\u0301\u00e9", lower=True)
    assert found.known == "aé"
    assert found.size == 3
    assert found.encode("Ae\u0301z").tolist() == [1, 2, 0]
    assert encoder("e\u0301", min_count=1, normalize="none").size == 3
    assert encoder("ﬁ", min_count=1, normalize="NFKC").known == "fi"
    assert encoder("abc").encode("").tolist() == [0]
    assert encoder("abc").encode("a").tolist() == [0]  # each is seen once only


def test_bytes_know_everything() -> None:
    found = encoder(tokens="bytes")
    assert found.size == 256
    assert found.encode("가\0").tolist() == [*"가".encode(), 0]


@pytest.mark.parametrize("model", ["bpe", "unigram"])
def test_subwords_are_kept_with_the_encoding(tmp_path: Path, model: str) -> None:
    pytest.importorskip("tokenizers")
    texts = ["the cell remembers", "the cell forgets", "the gate opens"] * 5
    found = encoder(*texts, tokens="subwords", subword_model=model, subword_count=40)
    tokens = found.encode("the cell opens").tolist()
    assert 1 <= len(tokens) <= len("▁the▁cell▁opens")
    assert max(tokens) < found.size <= 40
    assert 0 in found.encode("가").tolist()
    assert found.encode("").tolist() == [0]
    Encoding(found, Labels(("a",), (1,))).save(tmp_path / "e.json")
    loaded = Encoding.load(tmp_path / "e.json").inputs
    assert isinstance(loaded, TextEncoder)
    assert loaded.encode("the cell opens").tolist() == tokens
    assert "".join(loaded.words("the cell")).replace("▁", " ").strip() == "the cell"


def test_an_encoding_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    labels = Labels.of({"10": 1, "9": 2, "-1": 3}, several=True)
    assert labels.names == ("-1", "9", "10")
    assert Labels.of({"b": 1, "10": 2, "9": 3}, several=False).names == ("10", "9", "b")
    series = SeriesEncoder(np.array([0.1, 1e30]), np.array([1 / 3, 1.0]), Cut(7, "ends"))
    for inputs in (series, encoder("가나가", lower=True, max_length=3)):
        Encoding(inputs, labels).save(tmp_path / "e.json")
        loaded = Encoding.load(tmp_path / "e.json")
        assert loaded.labels == labels
        assert loaded.inputs.record() == inputs.record()
        assert loaded.kind == ("series" if inputs is series else "text")


def test_items_of_another_kind_are_refused() -> None:
    text = Encoding(encoder("ab"), Labels(("a",), (1,)))
    series = Encoding(SeriesEncoder(np.zeros(2), np.ones(2), Cut()), Labels(("a",), (1,)))
    one = Item(None, np.zeros((3, 2), np.float32), ("b",), "a.csv:2")
    other = Item("x", None, (), "b.csv:3")
    with pytest.raises(UserError, match=r"a\.csv:2: expected a text, got a series"):
        text.encode(one)
    with pytest.raises(UserError, match=r"b\.csv:3: expected a series, got a text"):
        series.encode(other)
    with pytest.raises(UserError, match=r"a\.csv:2: expected a series of 2 channels, got 3 steps"):
        series.encode(one._replace(series=np.zeros((3, 1), np.float32)))
    with pytest.raises(UserError, match=r"a\.csv:2: the training items have no label b"):
        text.targets(one)
    inputs, lengths = series.batch([one, one._replace(series=np.ones((1, 2), np.float32))])
    assert inputs.shape == (3, 2, 2)
    assert lengths.tolist() == [3, 1]
