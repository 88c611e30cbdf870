"""Moments from which is forecast."""

from __future__ import annotations

from pathlib import Path

from unrolled.tasks.forecast.origins import last_origins, origins_between, spans_after_training
from unrolled.tasks.forecast.predictor import ForecastPredictor
from unrolled.tasks.forecast.reading import read_files


def test_origins_stay_within_their_span_and_end_with_the_last() -> None:
    found = origins_between([(10, 20), (0, 4), (0, 5)], 5, every=2)
    assert found.tolist() == [[0, 11], [0, 13], [0, 15]]
    assert origins_between([(0, 7)], 5).tolist() == [[0, 1], [0, 2]]


def test_new_rows_come_after_what_the_run_was_chosen_by(
    predictor: ForecastPredictor, waves: Path
) -> None:
    plan = predictor.plan
    series = read_files([waves], predictor.options.data).series("refuse")
    whole = spans_after_training(plan, series)
    assert whole == [(part.validation, part.length) for part in plan.parts]
    later = [
        one._replace(values=one.values[100:], start=int(plan.frequency.ticks(one.start, 100)))
        for one in series
    ]
    assert spans_after_training(plan, later) == [(first - 100, end - 100) for first, end in whole]
    strange = [series[0]._replace(name="new")]
    assert spans_after_training(plan, strange) == [(plan.history, 300)]


def test_the_last_moments_are_a_horizon_apart(predictor: ForecastPredictor) -> None:
    spans = [(250, 300)]
    assert last_origins(spans, predictor.plan, 3, None)[:, 1].tolist() == [282, 288, 294]
    assert last_origins(spans, predictor.plan, 2, 1)[:, 1].tolist() == [293, 294]
    assert len(last_origins(spans, predictor.plan, None, None)) == 45
