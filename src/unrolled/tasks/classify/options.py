"""Options of the classification task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from unrolled.errors import UserError
from unrolled.ranges import COUNT, SEED, SHARE, SIZE, Range
from unrolled.tasks.recurrent import RecurrentOptions
from unrolled.training.options import RATE, CheckedOptions, TrainingOptions


@dataclass(frozen=True)
class DataOptions(CheckedOptions):
    """Which texts or series to read, and how they become numbers.

    Attributes:
        data: Files or folders to train on: CSV, TSV, JSON lines, Parquet, fastText lines, one
            folder for each class, .ts, .npz, or MNIST's IDX.
        val_data: Files or folders to validate on, instead of a part of --data.
        val_fraction: Share of the items, drawn for each label, kept for validation.
        format: Format of the files; guessed from name and first lines unless it is given.
        encoding: Encoding of text files.
        header: Whether the first line of a CSV or TSV file names the columns.
        quotes: Whether "…" quotes cells that hold separators or line breaks; usual in CSV and not
            in TSV.
        text: Name or number (from 1) of the column with the text, or with lists of numbers.
        label: Name or number of the column with the label.
        labels_separator: Separator of several labels in one cell, such as ; or |.
        series: Column that tells the series of a row, where each row of a table is one step.
        time: Column with the time of a row, where each row is one step; it is not learnt from.
        idx: Steps of an image in IDX format: its pixels one by one, or its rows.
        permute: Seed of a fixed random order of an image's pixels, the same for all images.
        skip_broken: Leave broken and empty rows out instead of stopping at the first.
        tokens: Units of a text.
        subword_model: Kind of subwords.
        subword_count: Number of different subwords.
        min_count: Leave out characters and subwords seen more rarely; they become one unknown.
        lower: Turn texts to lower case.
        normalize: Unicode normal form of texts.
        max_length: Longest sequence in steps; what is beyond is cut off.
        keep: Part of a longer sequence that is kept: its beginning, or beginning and end.
        scale: Scale series by mean and deviation of each channel, of all channels together, or not
            at all; auto takes images together and other series by channel.
    """

    data: tuple[str, ...] = ()
    val_data: tuple[str, ...] = ()
    val_fraction: Annotated[float, SHARE] = 0.1
    format: Literal[
        "auto", "csv", "tsv", "jsonl", "parquet", "fasttext", "lines", "folders", "ts", "npz", "idx"
    ] = "auto"
    encoding: str = "utf-8"
    header: Literal["auto", "yes", "no"] = "auto"
    quotes: Literal["auto", "yes", "no"] = "auto"
    text: str | None = None
    label: str | None = None
    labels_separator: str | None = None
    series: str | None = None
    time: str | None = None
    idx: Literal["pixels", "rows"] = "pixels"
    permute: Annotated[int | None, SEED] = None
    skip_broken: bool = False
    tokens: Literal["characters", "bytes", "subwords"] = "characters"
    subword_model: Literal["bpe", "unigram"] = "bpe"
    subword_count: Annotated[int, Range(16, 1_000_000)] = 8000
    min_count: Annotated[int, COUNT] = 2
    lower: bool = False
    normalize: Literal["NFC", "NFKC", "none"] = "NFC"
    max_length: Annotated[int | None, COUNT] = None
    keep: Literal["beginning", "ends"] = "beginning"
    scale: Literal["auto", "channels", "together", "none"] = "auto"


@dataclass(frozen=True)
class ModelOptions(RecurrentOptions):
    """The model: embedding or linear map, recurrent layers, pooling over time, linear read-out.

    Attributes:
        bidirectional: Also read every sequence from its end.
        hidden_size: Units of each recurrent layer and direction.
        dropout: Share of values dropped between the recurrent layers and before the read-out.
        embedding_size: Size of a token's vector.
        ngrams: Longest n-gram of tokens that has a vector, seen by the recurrent layers and, as a
            mean, by the read-out; 1 for none.
        ngram_vectors: Number of these vectors; n-grams are hashed to them.
        ngram_size: Size of such a vector.
        input_size: Size of a linear map of a series' channels, with relu; 0 for none.
        input_noise: Deviation of random noise added to a series' scaled values in training.
        embedding_dropout: Share of values dropped before the recurrent layers.
        token_dropout: Share of steps dropped whole before the recurrent layers.
        convolution: Steps that a convolution before the recurrent layers sees; 0 for none.
        pooling: How the outputs of all steps become one vector: the last one, their mean or
            maximum, these three side by side (concat), or a mean with learned weights (attention).
    """

    bidirectional: bool = True
    hidden_size: Annotated[int, SIZE] = 64
    dropout: Annotated[float, SHARE] = 0.5
    embedding_size: Annotated[int, SIZE] = 64
    ngrams: Annotated[int, Range(1, 16)] = 1
    ngram_vectors: Annotated[int, Range(1, 2**24)] = 2**16
    ngram_size: Annotated[int, SIZE] = 32
    input_size: Annotated[int, Range(0, 65536)] = 0
    input_noise: Annotated[float, Range(0, 100)] = 0.0
    embedding_dropout: Annotated[float, SHARE] = 0.2
    token_dropout: Annotated[float, SHARE] = 0.1
    convolution: Annotated[int, Range(0, 1001)] = 0
    pooling: Literal["last", "mean", "max", "concat", "attention"] = "concat"


@dataclass(frozen=True)
class ClassifyTraining(TrainingOptions):
    """How to train a classifier.

    Attributes:
        batch_size: Items of a batch.
        lr: Highest learning rate.
        weight_decay: Weight decay, on weight matrices only (never on biases or embeddings).
        ema: Decay of a moving average of the weights, used for validation; 0 for none.
        max_epochs: Stop after so many passes over the data. [default: what makes 1500 updates, from
            6 to 60, if no other limit is given]
        metric: Decides which weights are kept. By default accuracy; F1 of the rarer of two labels
            where at most a third of the items have it; micro F1 where items have several labels.
        positive: Label whose F1 is meant by --metric f1. [default: the rarest]
        class_weights: Weigh the items of all labels alike, or those of rarer labels more.
        label_smoothing: Share of a label's probability that is spread over all labels.
        combine: Use network and cheap method together: a mean of their log-probabilities.
        baseline: Fit a cheap method beside the network at the end, for the report.
    """

    batch_size: Annotated[int, SIZE] = 32
    lr: Annotated[float, RATE] = 3e-3
    weight_decay: Annotated[float, Range(0, 1e38)] = 0.1
    ema: Annotated[float, SHARE] = 0.99
    max_epochs: Annotated[int | None, COUNT] = None
    metric: Literal["auto", "accuracy", "f1", "macro_f1", "nats"] = "auto"
    positive: str | None = None
    class_weights: Literal["none", "balanced"] = "none"
    label_smoothing: Annotated[float, SHARE] = 0.0
    combine: bool = False
    baseline: bool = True

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value is outside its range, or two contradict each other.
        """
        super().__post_init__()
        if self.positive is not None and self.metric not in ("auto", "f1"):
            raise UserError(f"--positive: only for --metric f1, got --metric {self.metric}")
        if self.combine and not self.baseline:
            raise UserError("--combine: needs the cheap method, but --no-baseline leaves it out")


@dataclass(frozen=True)
class ClassifyOptions:
    """Everything about one run of the classification task.

    Attributes:
        task: Name of the task.
        data: Which texts or series to read.
        model: The model.
        training: How to train.
    """

    task: Literal["classify"] = "classify"
    data: DataOptions = field(default_factory=DataOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    training: ClassifyTraining = field(default_factory=ClassifyTraining)


@dataclass(frozen=True)
class InputOptions(CheckedOptions):
    """How new files are read, and how the model runs. A base of the verbs' options.

    Attributes:
        input_format: Format of the files; guessed unless it is given. Text files without columns
            are read line by line.
        header: Whether the first line of a CSV or TSV file names the columns.
        text: Name or number of the column with the text. [default: as in training]
        label: Name or number of the column with the label. [default: as in training]
        batch_size: Items of a batch.
    """

    input_format: Literal[
        "auto", "csv", "tsv", "jsonl", "parquet", "fasttext", "lines", "folders", "ts", "npz", "idx"
    ] = "auto"
    header: Literal["auto", "yes", "no"] = "auto"
    text: str | None = None
    label: str | None = None
    batch_size: Annotated[int, SIZE] = 64


@dataclass(frozen=True)
class PredictOptions(InputOptions):
    """How items are classified.

    Attributes:
        threshold: Answer only where the probability is at least so large.
        risk: Answer only as far as at most this share of the answers was wrong in validation.
        probabilities: Write the probability of every label.
    """

    threshold: Annotated[float | None, Range(0, 1)] = None
    risk: Annotated[float | None, Range(0, 1)] = None
    probabilities: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value is outside its range, or two contradict each other.
        """
        super().__post_init__()
        if self.threshold is not None and self.risk is not None:
            raise UserError("--threshold and --risk both decide what is answered; give one of them")


@dataclass(frozen=True)
class EvaluateOptions(InputOptions):
    """How a classifier is evaluated.

    Attributes:
        baseline: Evaluate the cheap method beside the network, where the run has one.
    """

    baseline: bool = True
