"""A trained forecaster, ready for use."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from unrolled.errors import UserError
from unrolled.training.run_folder.checkpoint import load_best
from unrolled.training.run_folder.folder import RunFolder
from unrolled.training.task import Evaluation

from .conformal import Calibration, bands
from .data import CACHE, read_cache
from .evaluation import Judge, evaluate
from .linear import LinearMap
from .network import Forecasts, forecasts_of, network_of
from .options import EvaluateOptions, ForecastOptions, InputOptions, PredictOptions, StreamOptions
from .origins import last_origins, spans_after_training
from .plan import Plan
from .reading import Found, read_files, read_frame, with_future
from .series import Series
from .streaming import State
from .windows import Scaled, Windows, scaled

Array = npt.NDArray[np.float64]
Rows = Iterator[dict[str, Any]]


class ForecastPredictor:
    """The best model of a run.

    Args:
        options: What it was trained with.
        folder: The run.
        device: Where to put the model.

    Attributes:
        options: What it was trained with.
        plan: Grid, stretches of time, scales.
        model: The network, in eval mode.
        calibration: Margins of the bands.
        linear: The linear map beside the network.
        trained_on: The series of the training data, once `remember` has read them.

    Raises:
        UserError: Something in the run is corrupt, or it has no weights yet.
    """

    def __init__(
        self, options: ForecastOptions, folder: RunFolder, device: torch.device | str = "cpu"
    ) -> None:
        self.options = options
        self.plan = Plan.load(folder.path)
        self.linear = LinearMap.load(folder.path, self.plan)
        self.model = network_of(options, self.plan, self.linear, folder)
        load_best(self.model, folder, device)
        self.calibration = Calibration.load(folder, self.plan)
        self.trained_on: list[Series] | None = None
        self._cache = folder.path / CACHE

    def remember(self) -> ForecastPredictor:
        """Read the series of the training data, so that `predict` can go on from them."""
        if self.trained_on is None:
            self.trained_on = read_cache(self._cache, self.plan)
        return self

    def predict(
        self,
        frame: Any = None,
        options: PredictOptions | None = None,
        *,
        future: Any = None,
        **choices: Any,
    ) -> Rows:
        """Forecasts of the steps after the last value of each series.

        Args:
            frame: Series as a data frame of pandas, Polars, Arrow or others, with the columns of
                the training data; None for the training data themselves. Rows without the
                column to forecast, after a series' last value, have its known future.
            options: Names of the columns.
            future: A data frame with series, times and known columns of the steps to forecast.
            **choices: As ``options``, by name: ``name="gru"``.

        Yields:
            For each series and step ``unique_id``, ``ds``, the forecast, and the lower and upper
            end of each band: ``NAME-lo-80``, ``NAME-hi-80``.

        Raises:
            UserError: The series cannot be used, or lack known columns of the future.
        """
        options = replace(options or PredictOptions(), **choices)
        if frame is None:
            self.remember()
        series = self.trained_on
        if frame is not None:
            found = read_frame(
                frame,
                self._reading(options),
                columns=self.plan.columns,
                frequency=self.plan.frequency,
            )
            series = self.regular(found, options)
        assert series is not None
        if future is not None:
            series = with_future(series, future, self.plan.columns, self.plan.frequency)
        yield from self.rows(series, options.name)

    def predict_files(
        self, files: Sequence[str | Path], options: PredictOptions | None = None
    ) -> Rows:
        """The same for series in files; ``-`` is standard input."""
        options = options or PredictOptions()
        yield from self.rows(self.regular(self._read(files, options), options), options.name)

    def stream_files(
        self, files: Sequence[str | Path], options: StreamOptions | None = None
    ) -> Rows:
        """Forecasts after new values of files, going on from a state, which is then replaced.

        Raises:
            UserError: As `State.take`; or the state is another run's, or cannot be written.
        """
        options = options or StreamOptions()
        path = Path(options.state)
        state = State.load(path, self) if path.exists() else State(self)
        fill = options.fill or self.options.data.fill
        series, margins = state.take(self._read(files, options), fill, adaptive=options.adaptive)
        yield from self.rows(series, options.name, margins)
        state.save(path)

    def evaluate(
        self, files: Sequence[str | Path], options: EvaluateOptions | None = None
    ) -> Evaluation:
        """Measures on series in files, beside cheap methods.

        The forecasts are made from every moment after the run's training and validation part, or
        from the last so many moments.

        Raises:
            UserError: A file cannot be read, or no series is long enough.
        """
        options = options or EvaluateOptions()
        series = self.regular(self._read(files, options), options)
        return evaluate(self.judge(series, options.windows, options.every))

    def judge(
        self, series: Sequence[Series], windows: int | None = None, every: int | None = None
    ) -> Judge:
        """Forecasts of moments in the past of some series, and what came.

        Args:
            series: The series.
            windows: Number of moments of each; None for all after training and validation part.
            every: Steps from one to the next.

        Raises:
            UserError: There is no such moment.
        """
        plan = self.plan
        origins = last_origins(spans_after_training(plan, series), plan, windows, every)
        if not len(origins):
            raise UserError(
                f"expected {plan.horizon} steps or more after the run's training and validation "
                "part, found none; --windows N measures on the last ones, seen before or not"
            )
        scales = [scaled(one, plan) for one in series]
        cut = Windows(scales, plan, origins)
        found = forecasts_of(self.model, cut)
        return Judge(self.options, plan, series, scales, cut, found, self.calibration, self.linear)

    def rows(
        self, series: Sequence[Series], name: str, margins: Sequence[Array] | None = None
    ) -> Rows:
        """Forecasts as rows, as `predict` gives them.

        Args:
            series: The series.
            name: Name of the column with the forecast.
            margins: Margins of each series' bands, ``[bands, H]``; by default the calibration's.
        """
        plan = self.plan
        scales = [scaled(one, plan, future=plan.horizon) for one in series]
        found = self.forecasts(scales)
        own = self.calibration.of([scale.number for scale in scales])
        if margins is not None:
            own = np.stack(list(margins))
        low, high = bands(plan, found.quantiles, found.point, own)
        for number, (one, scale) in enumerate(zip(series, scales, strict=True)):
            times = self._times(one)
            point = plan.restored(scale.scale.back(found.point[number]))
            ends = [
                plan.restored(scale.scale.back(part[number].swapaxes(1, 2))) for part in (low, high)
            ]
            for channel, title in enumerate(self.titles(one)):
                for step in range(plan.horizon):
                    row: dict[str, Any] = {"unique_id": title, "ds": times[step]}
                    row[name] = float(point[step, channel])
                    for at, level in enumerate(plan.levels):
                        row[f"{name}-lo-{level}"] = float(ends[0][step, at, channel])
                        row[f"{name}-hi-{level}"] = float(ends[1][step, at, channel])
                    yield row

    def backtest(
        self, series: Sequence[Series], windows: int | None, every: int | None, name: str
    ) -> Rows:
        """Forecasts from moments in the past as rows, with ``cutoff`` and ``y``.

        Args:
            series: The series.
            windows: As `judge`.
            every: As `judge`.
            name: Name of the column with the forecast.
        """
        judge, plan = self.judge(series, windows, every), self.plan
        for at, (number, origin) in enumerate(judge.windows.origins.tolist()):
            one = series[number]
            rows = one.offset + origin - 1 + np.arange(plan.horizon + 1)
            ticks = plan.frequency.ticks(one.start, rows).tolist()
            times = [plan.frequency.text(tick) for tick in ticks]
            if plan.frequency.unit == "rows":
                times = rows.tolist()
            for channel, title in enumerate(self.titles(one)):
                for step in range(plan.horizon):
                    row = {"unique_id": title, "ds": times[step + 1], "cutoff": times[0]}
                    row["y"] = float(judge.truth.values[at, step, channel])
                    row[name] = float(judge.point[at, step, channel])
                    for place, level in enumerate(plan.levels):
                        row[f"{name}-lo-{level}"] = float(judge.low[at, step, channel, place])
                        row[f"{name}-hi-{level}"] = float(judge.high[at, step, channel, place])
                    yield row

    def forecasts(self, scales: Sequence[Scaled]) -> Forecasts:
        """Forecasts after the last value of each series, in scaled units."""
        origins = np.array([(at, len(one.values)) for at, one in enumerate(scales)], np.int64)
        return forecasts_of(self.model, Windows(scales, self.plan, origins))

    def titles(self, series: Series) -> list[str]:
        """Names of a series' channels."""
        if not self.plan.columns.multivariate:
            return [series.name]
        prefix = f"{series.name}/" if self.plan.columns.id is not None else ""
        return [prefix + name for name in self.plan.channel_names]

    def regular(self, found: Found, options: InputOptions) -> list[Series]:
        """Series that were read, on the grid."""
        return found.series(options.fill or self.options.data.fill)

    def digest(self) -> str:
        """A digest of plan and weights, by which a state is told to be this run's."""
        found = hashlib.sha256(repr(self.plan).encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            found.update(name.encode())
            found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()

    # Parts ----------------------------------------------------------------------------------

    def _times(self, series: Series) -> list[Any]:
        """Times of the steps to forecast."""
        plan, count = self.plan, len(series.values)
        if plan.frequency.unit == "rows":
            rows = range(1, plan.horizon + 1)
            return [plan.frequency.text(series.last, after=row) for row in rows]
        steps = series.offset + count + np.arange(plan.horizon)
        return [plan.frequency.text(int(t)) for t in plan.frequency.ticks(series.start, steps)]

    def _read(self, files: Sequence[str | Path], options: InputOptions) -> Found:
        plan = self.plan
        return read_files(
            files, self._reading(options), columns=plan.columns, frequency=plan.frequency
        )

    def _reading(self, options: InputOptions) -> Any:
        columns = self.plan.columns
        return replace(
            self.options.data,
            format=options.input_format,
            id=columns.id,
            time=columns.time,
            target=None,
            targets=",".join(columns.targets),
        )
