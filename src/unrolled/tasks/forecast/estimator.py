"""A forecaster of data frames, with the columns of Nixtla's libraries and scikit-learn's tools."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unrolled.options import with_flags
from unrolled.tasks.estimators import TaskEstimator, check_is_fitted, trained

from .frames import frame_of, kind_of, write_rows
from .options import DataOptions, ForecastOptions, ForecastTraining, ModelOptions
from .predictor import ForecastPredictor
from .reading import read_files
from .task import TASK

_LISTS = ("targets", "known", "past", "static")


class Forecaster(TaskEstimator):
    """A recurrent forecaster of one series or many in a data frame.

    It trains as ``unrolled train forecast`` does, in a temporary folder, and can be cloned and
    pickled. Frames are those of pandas, Polars, Arrow and others; what comes back is of the kind
    that went in. A row is one moment of one series: ``unique_id``, ``ds``, ``y``.

    ::

        forecaster = unrolled.Forecaster(h=24, level=[80, 90]).fit(frame)
        forecaster.predict()  # unique_id, ds, unrolled, unrolled-lo-80, unrolled-hi-80, …

    Args:
        h: Steps to forecast, or a duration such as ``"2d"``. By default one season.
        level: Bands in percent.
        freq: Time between rows; found from the times by default.
        alias: Name of the column with the forecast.
        random_state: Seed of everything random.
        test: As the option, but 0 by default: nothing is kept back for a report.
        lens_every: As the option, but 0 by default: nobody reads the report.
        **options: Every other argument is the option of ``unrolled train forecast`` of that name,
            with its default; names of columns may be lists. See
            `unrolled.tasks.forecast.options`.

    Attributes:
        predictor_: The trained `ForecastPredictor`.
    """

    @with_flags
    def __init__(
        self,
        h: float | str | None = None,
        *,
        level: Sequence[int] = (80,),
        freq: str = "auto",
        alias: str = "unrolled",
        id: str | None = None,  # noqa: A002
        time: str | None = None,
        target: str | None = None,
        targets: Any = None,
        multivariate: bool = False,
        known: Any = None,
        past: Any = None,
        static: Any = None,
        calendar: bool = False,
        fill: str = "refuse",
        history: float | str | None = None,
        season: float | str | None = None,
        val: float | str = 0.15,
        test: float | str = 0.0,
        scale: str = "window",
        log: bool = False,
        cell: str = "gru",
        hidden_size: int = 64,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.1,
        proj_size: int = 0,
        heads: int = 1,
        nonlinearity: str = "tanh",
        reset_after: bool = True,
        segment: int | None = None,
        input_size: int = 64,
        position_size: int = 16,
        series_size: int = 0,
        decode: str = "direct",
        skip: bool = True,
        read_target: bool = True,
        loss: str = "quantiles",
        window_every: int = 1,
        batch_size: int = 64,
        optimizer: str = "adamw",
        lr: float = 0.002,
        beta2: float = 0.999,
        weight_decay: float = 0.01,
        clip: float = 1.0,
        schedule: str = "cosine",
        warmup: float = 0.03,
        final_lr: float = 0.01,
        ema: float = 0.99,
        max_epochs: int | None = None,
        max_steps: int | None = None,
        max_time: float | str | None = None,
        patience: int | None = None,
        val_every: int = 0,
        lens_every: int = 0,
        threads: int = 0,
        device: str = "auto",
        precision: str = "32",
        random_state: int = 0,
        **options: Any,
    ) -> None:
        self._keep(locals())

    def fit(self, df: Any) -> Forecaster:
        """Train on the series of a data frame.

        Args:
            df: The frame. The last ``val`` of each series decides which weights are kept.

        Raises:
            UserError: An option or a row cannot be used.
        """
        self.predictor_ = self._trained(df, self.test)
        self._kind = kind_of(df)
        return self

    def predict(self, df: Any = None, X_df: Any = None) -> Any:
        """Forecasts of the steps after the last value of each series, as a data frame.

        Args:
            df: Series to go on from; by default those of ``fit``.
            X_df: Series and times of the steps to forecast, with the columns that are known in the
                future.

        Returns:
            ``unique_id``, ``ds``, the forecast, and of each band ``…-lo-80`` and ``…-hi-80``.

        Raises:
            sklearn.exceptions.NotFittedError: It was not trained.
            UserError: The series lack known columns, or cannot be used.
        """
        check_is_fitted(self, "predictor_")
        found: ForecastPredictor = self.predictor_
        rows = list(found.predict(df, future=X_df, name=self.alias))
        return frame_of(rows, self._kind if df is None else kind_of(df), ("ds",))

    def cross_validation(self, df: Any, n_windows: int = 1, step_size: int | None = None) -> Any:
        """Forecasts from several moments of the past, beside what came.

        A forecaster of its own is trained once, on the rows before the first of these moments.

        Args:
            df: The frame.
            n_windows: Number of moments, the last ones.
            step_size: Steps from one to the next. By default the horizon.

        Returns:
            ``unique_id``, ``ds``, ``cutoff`` (the last known moment), ``y``, the forecast and its
            bands.

        Raises:
            UserError: A series is too short, or cannot be used.
        """
        found = self._trained(df, "0", windows=n_windows, every=step_size)
        assert found.trained_on is not None
        rows = list(found.backtest(found.trained_on, n_windows, step_size, self.alias))
        return frame_of(rows, kind_of(df), ("ds", "cutoff"))

    def _trained(
        self, df: Any, test: float | str, *, windows: int = 0, every: int | None = None
    ) -> ForecastPredictor:
        """A predictor of a frame's series, in whose training the last windows have no part."""
        with tempfile.TemporaryDirectory(prefix="unrolled-") as folder:
            data = Path(folder) / "rows.jsonl"
            write_rows(df, data)
            options = self._options(data, test)
            if windows:
                steps = _horizon(options)
                kept = steps + (windows - 1) * (every or steps)
                options = self._options(data, kept)
            found: ForecastPredictor = trained(TASK, options, Path(folder) / "run")
            return found.remember()

    def _options(self, data: Path, test: float | str) -> ForecastOptions:
        lists = {name: _listed(getattr(self, name)) for name in _LISTS}
        return ForecastOptions(
            data=self._section(
                DataOptions,
                data=(str(data),),
                format="jsonl",
                horizon=self.h,
                frequency=self.freq,
                test=test,
                **lists,
            ),
            model=self._section(ModelOptions),
            training=self._section(
                ForecastTraining, seed=self.random_state, level=",".join(map(str, self.level))
            ),
        )


def _horizon(options: ForecastOptions) -> int:
    """Steps that are forecast."""
    found = read_files(options.data.data, options.data)
    if options.data.horizon is None:
        return found.frequency.season
    return found.frequency.steps_of(options.data.horizon, "h")


def _listed(names: Any) -> str | None:
    """Names of columns as the option has them."""
    return names if names is None or isinstance(names, str) else ",".join(names)
