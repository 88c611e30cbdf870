"""Options of the forecasting task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from unrolled.errors import UserError
from unrolled.ranges import COUNT, SHARE, SIZE, Range
from unrolled.tasks.recurrent import RecurrentOptions
from unrolled.training.options import RATE, CheckedOptions, TrainingOptions

DISTRIBUTIONS = ("normal", "student")
"""Losses of a distribution."""


@dataclass(frozen=True)
class DataOptions(CheckedOptions):
    """Series to read, and stretches of time to look back and ahead.

    A stretch of time is a number of steps (24) or a duration (90m, 12h, 14d, 2w, 6mo, 1y).

    Attributes:
        data: Files to train on: CSV, TSV, JSON lines, Parquet; a row is one moment.
        format: Format of the files; guessed from the name unless it is given.
        encoding: Encoding of text files.
        id: Column that tells the series of a row. [default: unique_id, if there is one]
        time: Column with the time of a row. [default: ds, date, time, …, or the first column]
        target: Column to forecast. [default: y, or the only column left]
        targets: Columns to forecast, separated by commas: each is a series of its own.
        multivariate: Forecast the columns of --targets together, each from all of them.
        known: Columns that are known in the future as well, separated by commas.
        past: Columns that are known in the past only, separated by commas.
        static: Columns that are the same at all times of a series, separated by commas.
        calendar: Read the hour of the day, the day of the week and the day of the year, too: those
            that change from step to step.
        frequency: Time between rows: 15m, 1h, 1d, business, month, …; or rows, to count rows and
            ignore the gaps between their times.
        fill: How to fill missing values and missing rows.
        history: Stretch of the past that a forecast is made from. [default: two seasons, or twice
            the horizon if that is longer]
        horizon: Stretch of the future to forecast. [default: one season]
        season: Stretch after which a pattern repeats, for the seasonal cheap method. [default: a
            day of hours, a week of days, a year of months, …]
        val: Last part of each series before the test part, to choose the weights by: a share, or a
            stretch of time.
        test: Last part of each series, measured once at the end: a share, or a stretch of time.
        scale: Scale of the values that the network reads: series by mean and deviation (standard)
            or by mean (mean), or in addition each window by its last value (window) or by its own
            mean and deviation (revin).
        log: Forecast the logarithm of the values, which must be above 0.
    """

    data: tuple[str, ...] = ()
    format: Literal["auto", "csv", "tsv", "jsonl", "parquet"] = "auto"
    encoding: str = "utf-8"
    id: str | None = None
    time: str | None = None
    target: str | None = None
    targets: str | None = None
    multivariate: bool = False
    known: str | None = None
    past: str | None = None
    static: str | None = None
    calendar: bool = False
    frequency: str = "auto"
    fill: Literal["refuse", "previous", "linear", "zero"] = "refuse"
    history: float | str | None = None
    horizon: float | str | None = None
    season: float | str | None = None
    val: float | str = 0.15
    test: float | str = 0.15
    scale: Literal["none", "standard", "mean", "window", "revin"] = "window"
    log: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value is outside its range, or two contradict each other.
        """
        super().__post_init__()
        if self.target is not None and self.targets is not None:
            raise UserError("--target and --targets both name what is forecast; give one of them")
        if self.multivariate and self.targets is None:
            raise UserError("--multivariate: needs the columns that are forecast, as --targets a,b")


@dataclass(frozen=True)
class ModelOptions(RecurrentOptions):
    """The model: recurrent layers over the past, a linear map beside them, a head for the future.

    Attributes:
        hidden_size: Units of each recurrent layer.
        dropout: Share of values dropped between the recurrent layers and before the head.
        segment: Steps that the recurrent layers read, and the head writes, at a time. [default: 1
            up to a history of 96 steps, and so many that a longer one makes about 32 segments]
        input_size: Size of a linear map of a segment, with relu; 0 for none.
        position_size: Size of the vector of a future segment's place.
        series_size: Size of the vector that is learnt for each series; 0 for none.
        decode: Forecast all steps of the horizon at once (direct), or one step after another
            (paths): values are drawn from a step's distribution and read in turn, 200 times.
        skip: Add the best linear map of the past to the network's output, which then learns what
            the map cannot; not with paths.
        read_target: Read the past values themselves; without them a forecast is made from the
            other columns alone.
    """

    hidden_size: Annotated[int, SIZE] = 64
    dropout: Annotated[float, SHARE] = 0.1
    segment: Annotated[int | None, SIZE] = None
    input_size: Annotated[int, Range(0, 65536)] = 64
    position_size: Annotated[int, SIZE] = 16
    series_size: Annotated[int, Range(0, 65536)] = 0
    decode: Literal["direct", "paths"] = "direct"
    skip: bool = True
    read_target: bool = True

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value is outside its range, or two contradict each other.
        """
        super().__post_init__()
        if self.skip and (not self.read_target or self.decode == "paths"):
            object.__setattr__(self, "skip", False)  # there is nothing that it could map
        if self.decode == "paths":
            if not self.read_target:
                raise UserError("--no-read-target: --decode paths reads the values that it draws")
            if self.bidirectional:
                raise UserError("--bidirectional: --decode paths goes on from the last value")
            if self.segment not in (None, 1):
                raise UserError("--segment: --decode paths goes step by step")


@dataclass(frozen=True)
class ForecastTraining(TrainingOptions):
    """Settings of a forecaster's training.

    Attributes:
        batch_size: Windows of a batch.
        lr: Highest learning rate.
        ema: Decay of a moving average of the weights, used for validation; 0 for none.
        max_epochs: Stop after so many passes over the data. [default: what makes 1500 updates, from
            3 to 60, if no other limit is given]
        loss: What is learnt: quantiles, a normal or Student's distribution, the mean (squared) or
            the median (absolute).
        level: Bands in percent, separated by commas.
        window_every: Steps from one training window of a series to the next.
    """

    batch_size: Annotated[int, SIZE] = 64
    lr: Annotated[float, RATE] = 2e-3
    ema: Annotated[float, SHARE] = 0.99
    max_epochs: Annotated[int | None, COUNT] = None
    loss: Literal["quantiles", "normal", "student", "squared", "absolute"] = "quantiles"
    level: str = "80"
    window_every: Annotated[int, COUNT] = 1

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value is outside its range.
        """
        super().__post_init__()
        self.levels  # noqa: B018  (a wrong one is found here)

    @property
    def levels(self) -> tuple[int, ...]:
        """The bands in percent, the narrowest first.

        Raises:
            UserError: One is no whole number from 1 to 99.
        """
        words = [word.strip() for word in self.level.split(",")]
        if not all(word.isdecimal() and 1 <= int(word) <= 99 for word in words):
            raise UserError(
                f"--level: expected whole numbers from 1 to 99 such as 80,95, got {self.level}"
            )
        return tuple(sorted({int(word) for word in words}))


@dataclass(frozen=True)
class ForecastOptions:
    """Everything about one run of the forecasting task.

    Attributes:
        task: Name of the task.
        data: Which series to read.
        model: The model.
        training: How to train.
    """

    task: Literal["forecast"] = "forecast"
    data: DataOptions = field(default_factory=DataOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    training: ForecastTraining = field(default_factory=ForecastTraining)

    def __post_init__(self) -> None:
        """Check what belongs together.

        Raises:
            UserError: Two values contradict each other.
        """
        if self.model.decode == "paths" and self.training.loss not in DISTRIBUTIONS:
            raise UserError(
                f"--decode paths: draws from a distribution, expected --loss "
                f"{' or '.join(DISTRIBUTIONS)}, got {self.training.loss}"
            )


@dataclass(frozen=True)
class InputOptions(CheckedOptions):
    """Form of new files. A base of the verbs' options.

    Attributes:
        input_format: Format of the files; guessed unless it is given.
        fill: How to fill missing values and missing rows. [default: as in training]
    """

    input_format: Literal["auto", "csv", "tsv", "jsonl", "parquet"] = "auto"
    fill: Literal["refuse", "previous", "linear", "zero"] | None = None


@dataclass(frozen=True)
class PredictOptions(InputOptions):
    """Form of the forecasts.

    Attributes:
        name: Name of the column with the forecast; those of the bands begin with it.
    """

    name: str = "unrolled"


@dataclass(frozen=True)
class EvaluateOptions(InputOptions):
    """Evaluation by forecasts from several moments of each series.

    Attributes:
        windows: Number of moments, the last ones, a horizon apart. [default: every moment after the
            run's own training and validation part]
        every: Steps from one of these moments to the next. [default: the horizon]
    """

    windows: Annotated[int | None, COUNT] = None
    every: Annotated[int | None, COUNT] = None


@dataclass(frozen=True)
class StreamOptions(PredictOptions):
    """State and bands of a stream.

    Attributes:
        state: File with the state of all series. It is made if it is not there, and replaced in one
            step when all values are read.
        adaptive: Let the margins of the bands follow the errors, value by value.
    """

    state: str = "state.safetensors"
    adaptive: bool = False
