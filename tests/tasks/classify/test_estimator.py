"""scikit-learn's tools take the classifier as one of theirs."""

from __future__ import annotations

import inspect
import pickle
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("unrolled.training.session")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from unrolled.errors import UserError
from unrolled.tasks.classify.estimator import Classifier
from unrolled.tasks.classify.options import ClassifyTraining, DataOptions, ModelOptions

NOT_TAKEN = {"processes", "seed", "baseline", "checkpoint_every", "checkpoint_steps", "log_every"}


def small(**options: Any) -> Classifier:
    given: dict[str, Any] = {
        "hidden_size": 6,
        "max_epochs": 6,
        "lr": 0.03,
        "threads": 1,
        "device": "cpu",
    }
    return Classifier(**(given | options))


def series(n: int = 48) -> tuple[list[np.ndarray], list[str]]:
    draw = np.random.default_rng(0)
    x = [draw.normal(size=(draw.integers(2, 6), 2)) + 2 * (k % 2) for k in range(n)]
    return x, ["low" if k % 2 == 0 else "high" for k in range(n)]


def test_cross_validation_on_ragged_series() -> None:
    x, y = series()
    assert cross_val_score(small(), x, y, cv=2).mean() > 0.8


def test_texts_in_a_pipeline_clones_and_pickles() -> None:
    texts = ["so good", "so bad", "", "good yes", "no bad", "bad"] * 6
    labels = [1, 0, 0, 1, 0, 0] * 6
    lower = FunctionTransformer(lambda x: [text.lower() for text in x])
    pipeline = make_pipeline(lower, small(max_epochs=15))
    pipeline.fit([text.upper() for text in texts], labels)
    assert pipeline.predict(["GOOD", "BAD"]).tolist() == [1, 0]
    found = pipeline[-1]
    assert found.classes_.tolist() == [0, 1]
    chance = found.predict_proba(["good", ""])
    assert chance.sum(1) == pytest.approx([1, 1])
    again = pickle.loads(pickle.dumps(found))
    assert np.array_equal(again.predict_proba(["good", ""]), chance)
    fresh = clone(found)
    assert fresh.get_params() == found.get_params()
    with pytest.raises(NotFittedError):
        fresh.predict(["good"])


def test_arrays_and_repeatability() -> None:
    draw = np.random.default_rng(1)
    x = draw.normal(size=(40, 4, 3)) + (np.arange(40) % 2)[:, None, None]
    y = np.arange(40) % 2
    one, other = (small().fit(x, y).predict_proba(x) for _ in range(2))
    assert np.array_equal(one, other)


def test_wrong_input_is_told() -> None:
    with pytest.raises(ValueError, match="one label for each of 2"):
        small().fit(["a", "b"], [1])
    with pytest.raises(ValueError, match="two labels or more"):
        small().fit(["a", "b"], [1, 1])
    with pytest.raises(ValueError, match="got both"):
        small().fit(["a", [1.0]], [0, 1])
    with pytest.raises(UserError, match="--hidden-size"):
        small(hidden_size=0).fit(["a", "b"] * 5, [0, 1] * 5)


def test_every_option_is_an_argument_with_its_default() -> None:
    parameters = inspect.signature(Classifier).parameters
    expected = {
        field.name: field.default
        for section in (ModelOptions, ClassifyTraining)
        for field in fields(section)
        if field.name not in NOT_TAKEN
    }
    expected["lens_every"] = 0
    for name, default in expected.items():
        assert parameters[name].default == default, name
    known = expected.keys() | {field.name for field in fields(DataOptions)} | {"random_state"}
    assert parameters.keys() <= known
