"""What the classification task can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from unrolled.ranges import COUNT, SEED, SHARE, Range
from unrolled.training.options import check


@dataclass(frozen=True)
class DataOptions:
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

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value is outside its range.
        """
        check(self)
