"""The forecasting task: numeric series in, their next steps out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from unrolled.tasks.package_task import PackageTask, evaluate, predict
from unrolled.training.task import Inspection, Verb

from .options import EvaluateOptions, ForecastOptions, PredictOptions, StreamOptions


def stream(
    predictor: Any, files: Sequence[str], options: StreamOptions
) -> Iterator[Mapping[str, Any]]:
    """The verb ``stream``: take new values, go on from a state."""
    rows: Iterator[Mapping[str, Any]] = predictor.stream_files(files or ["-"], options)
    return rows


class ForecastTask(PackageTask):
    """The next steps of numeric series; see `unrolled.training.task.Task`."""

    name: ClassVar[str] = "forecast"
    help: ClassVar[str] = "Train a forecaster of numeric series: their next steps, with bands."
    options: ClassVar[type] = ForecastOptions
    opened: ClassVar[str] = "OpenedForecaster"
    predictor: ClassVar[str] = "ForecastPredictor"
    verbs: ClassVar[Mapping[str, Verb]] = {
        "predict": Verb(
            "Forecast the steps after the last value of each series.", PredictOptions, predict
        ),
        "evaluate": Verb(
            "Measure the forecaster on files, beside cheap methods.", EvaluateOptions, evaluate
        ),
        "stream": Verb(
            "Take new values and forecast, without reading the past again.", StreamOptions, stream
        ),
    }

    def inspect(self, options: ForecastOptions) -> Inspection:
        """Series, lengths, frequency, gaps and what is suspicious in the data."""
        from .inspection import inspect_data

        return inspect_data(options)


TASK = ForecastTask()
"""Forecasts of numeric series."""
