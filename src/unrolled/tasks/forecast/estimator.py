"""A forecaster of data frames, with the columns of Nixtla's libraries and scikit-learn's tools."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

try:
    from sklearn.base import BaseEstimator
    from sklearn.utils.validation import check_is_fitted
except ImportError as error:
    raise ImportError(
        "unrolled.Forecaster needs scikit-learn: pip install 'unrolled[baseline]'"
    ) from error

from .frames import frame_of, kind_of, write_rows
from .options import DataOptions, ForecastOptions, ForecastTraining, ModelOptions
from .predictor import ForecastPredictor
from .reading import read_files
from .task import TASK

_LISTS = ("targets", "known", "past", "static")


class Forecaster(BaseEstimator):  # type: ignore[misc]
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
        recurrent_dropout: float = 0.0,
        candidate_dropout: float = 0.0,
        zoneout: float = 0.0,
        weight_drop: float = 0.0,
        layer_norm: bool = False,
        proj_size: int = 0,
        heads: int = 1,
        recurrent_init: str = "random",
        forget_bias: float | None = None,
        chrono: float | None = None,
        learn_initial: bool = False,
        cell_clip: float | None = None,
        activation: str | None = None,
        recurrent_activation: str | None = None,
        nonlinearity: str = "tanh",
        reset_after: bool = True,
        segment: int | None = None,
        input_size: int = 64,
        position_size: int = 16,
        series_size: int = 0,
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
    ) -> None:
        self.h = h
        self.level = level
        self.freq = freq
        self.alias = alias
        self.id = id
        self.time = time
        self.target = target
        self.targets = targets
        self.multivariate = multivariate
        self.known = known
        self.past = past
        self.static = static
        self.calendar = calendar
        self.fill = fill
        self.history = history
        self.season = season
        self.val = val
        self.test = test
        self.scale = scale
        self.log = log
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.candidate_dropout = candidate_dropout
        self.zoneout = zoneout
        self.weight_drop = weight_drop
        self.layer_norm = layer_norm
        self.proj_size = proj_size
        self.heads = heads
        self.recurrent_init = recurrent_init
        self.forget_bias = forget_bias
        self.chrono = chrono
        self.learn_initial = learn_initial
        self.cell_clip = cell_clip
        self.activation = activation
        self.recurrent_activation = recurrent_activation
        self.nonlinearity = nonlinearity
        self.reset_after = reset_after
        self.segment = segment
        self.input_size = input_size
        self.position_size = position_size
        self.series_size = series_size
        self.skip = skip
        self.read_target = read_target
        self.loss = loss
        self.window_every = window_every
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.lr = lr
        self.beta2 = beta2
        self.weight_decay = weight_decay
        self.clip = clip
        self.schedule = schedule
        self.warmup = warmup
        self.final_lr = final_lr
        self.ema = ema
        self.max_epochs = max_epochs
        self.max_steps = max_steps
        self.max_time = max_time
        self.patience = patience
        self.val_every = val_every
        self.lens_every = lens_every
        self.threads = threads
        self.device = device
        self.precision = precision
        self.random_state = random_state

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
        from unrolled.training import session

        with tempfile.TemporaryDirectory(prefix="unrolled-") as folder:
            data = Path(folder) / "rows.jsonl"
            write_rows(df, data)
            options = self._options(data, test)
            if windows:
                steps = _horizon(options)
                kept = steps + (windows - 1) * (every or steps)
                options = self._options(data, kept)
            run = Path(folder) / "run"
            summary = session.train(TASK, options, run, quiet=True)
            if summary is not None and summary.stopped_by is not None:
                raise KeyboardInterrupt
            found: ForecastPredictor = session.load(TASK, run)
            return found.remember()

    def _options(self, data: Path, test: float | str) -> ForecastOptions:
        def given(section: type, **more: Any) -> Any:
            names = {field.name for field in fields(section)} & self.get_params().keys()
            return section(**{name: getattr(self, name) for name in names} | more)

        lists = {name: _listed(getattr(self, name)) for name in _LISTS}
        return ForecastOptions(
            data=given(
                DataOptions,
                data=(str(data),),
                format="jsonl",
                horizon=self.h,
                frequency=self.freq,
                test=test,
                **lists,
            ),
            model=given(ModelOptions),
            training=given(
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
