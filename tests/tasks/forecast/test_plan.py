"""The plan of a run: written, read back, refused when corrupt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.errors import UserError
from unrolled.tasks.forecast.plan import NAME, Plan, Scale
from unrolled.tasks.forecast.predictor import ForecastPredictor


def test_a_plan_that_was_written_is_read_back(predictor: ForecastPredictor, tmp_path: Path) -> None:
    predictor.plan.save(tmp_path)
    assert Plan.load(tmp_path) == predictor.plan
    assert Plan.load(tmp_path).numbers == {"a": 0, "b": 1}


BROKEN: dict[str, Any] = {
    "format": 99,
    "history": 0,
    "parts": [],
    "frequency": {"unit": "fixed"},
    "known": {"center": [1.0], "spread": [0.0]},
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_corrupt_plan_is_refused(predictor: ForecastPredictor, tmp_path: Path, name: str) -> None:
    predictor.plan.save(tmp_path)
    record = json.loads((tmp_path / NAME).read_text())
    (tmp_path / NAME).write_text(json.dumps({**record, name: BROKEN[name]}))
    with pytest.raises(UserError, match=NAME):
        Plan.load(tmp_path)


def test_scales_go_back_and_constants_have_one() -> None:
    rows = np.array([[1.0, 5.0], [3.0, 5.0], [8.0, 5.0]])
    for how in ("none", "mean", "standard"):
        scale = Scale.fit(rows, how)
        assert np.allclose(scale.back(scale(rows)), rows)
    assert Scale.fit(rows).spread[1] == 1
    assert Scale.fit(rows, "mean").spread == (4.0, 5.0)
