"""The cheap method's numbers are scikit-learn's, and its files are plain."""

from __future__ import annotations

import numpy as np
import pytest

from unrolled.tasks.classify.baseline import (
    SeriesFeatures,
    Terms,
    TextFeatures,
    fit_baseline,
    some_of,
)

pytest.importorskip("sklearn")


def test_tf_idf_is_that_of_scikit_learn() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = ["a bad film", "a good film", "Good  fun", "한국 영화"] * 2
    features = TextFeatures.fit(texts, 2)
    ours = features.matrix(texts).toarray()
    characters = [n for n, term in enumerate(features.vocabulary) if not term.startswith("\n")]
    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(2, 5), sublinear_tf=True, min_df=2)
    theirs = vectorizer.fit_transform(" ".join(text.split()) for text in texts).toarray()
    order = [vectorizer.vocabulary_[features.vocabulary[n]] for n in characters]
    assert len(order) == theirs.shape[1]
    assert ours[:, characters] == pytest.approx(theirs[:, order])
    weights = np.random.default_rng(0).normal(size=(ours.shape[1], 3))
    assert features.products(texts, weights) == pytest.approx(ours @ weights)


def test_pieces_depend_on_the_script() -> None:
    assert Terms.choose(["an English text"]) == ((2, 5), True)
    assert Terms.choose(["한국어 문장"]) == ((1, 4), False)
    assert Terms((1, 2), True).of("Ab, a b") == (
        ["a", "b", ",", " ", "a", " ", "b", "ab", "b,", ", ", " a", "a ", " b"],
        ["\nab", "\na", "\nb", "\nab a", "\na b"],
    )


def test_summaries_of_series() -> None:
    x = np.array([[0.0, 5.0], [2.0, 5.0], [4.0, 5.0]])
    (row,) = SeriesFeatures.summaries([x])
    assert len(row) == 11 * 2 + 1
    assert row[:8].tolist() == pytest.approx([2, 5, np.std([0, 2, 4]), 0, 0, 5, 4, 5])
    assert row[8:22:2].tolist() == pytest.approx(np.linspace(0, 4, 7).tolist())
    assert row[-1] == 3


@pytest.mark.parametrize("classes", [2, 3])
def test_logits_give_the_probabilities_of_scikit_learn(classes: int) -> None:
    from sklearn.linear_model import LogisticRegression

    draw = np.random.default_rng(1)
    series = [draw.normal(size=(5, 2)) + k % classes for k in range(60)]
    targets = np.arange(60) % classes
    found = fit_baseline(series, targets, classes)
    matrix = found.features.matrix(series)  # type: ignore[arg-type]
    model = LogisticRegression(C=1.0, max_iter=300).fit(matrix, targets)
    logits = found.logits(series)
    chance = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert chance == pytest.approx(model.predict_proba(matrix), abs=1e-3)


def test_a_label_that_is_missing_or_alone_is_no_obstacle() -> None:
    series = [np.full((3, 1), float(k)) for k in range(6)]
    found = fit_baseline(series, np.array([0, 0, 0, 2, 2, 2]), 3)
    assert found.logits(series).argmax(1).tolist() == [0, 0, 0, 2, 2, 2]
    found = fit_baseline(series, np.ones(6, np.int64), 2)
    assert found.logits(series).argmax(1).tolist() == [1] * 6


def test_of_much_data_a_part_is_taken() -> None:
    assert some_of(np.full(5, 10), 0) == [0, 1, 2, 3, 4]
    part = some_of(np.full(10, 5_000_000), 0)
    assert 1 <= len(part) <= 4
    assert part == sorted(part)
