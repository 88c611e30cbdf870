"""One thing to classify, as files give it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from unrolled.errors import UserError

Values = npt.NDArray[np.float32] | npt.NDArray[np.uint8]


class Item(NamedTuple):
    """A text or a series, with its labels.

    Attributes:
        text: The text as the file has it; None for a series.
        series: Values ``[T, C]``, float32, or uint8 of images; None for a text.
        labels: Its labels; none where it has none, or where the file has no labels.
        place: File and line, ``reviews.csv:17``.
    """

    text: str | None
    series: Values | None
    labels: tuple[str, ...]
    place: str


def label_of(value: object, place: str) -> str:
    """A label as text: of JSON and Parquet also whole numbers, true and false.

    Raises:
        UserError: It is empty or no label.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float) and not (isinstance(value, float) and math.isnan(value)):
        return str(value)
    if not isinstance(value, str):
        what = "none" if value is None else str(value)[:20]
        raise UserError(f"{place}: expected a label, got {what}")
    if not (label := value.strip()):
        raise UserError(f"{place}: expected a label, got an empty one")
    return label


def numbers(cells: Sequence[Any], place: str, names: Sequence[str] = ()) -> Values:
    """Cells as float32, ``[len(cells)]``.

    Args:
        cells: Numbers, or text that holds numbers.
        place: File and line, for errors.
        names: Columns of the cells, for errors; by default their numbers from 1.

    Raises:
        UserError: A cell holds no number, or one that is not finite in 32 bits.
    """
    try:
        values = np.array(cells, np.float64)
        if values.ndim == 1 and bool((np.abs(values) <= _LARGEST).all()):
            return values.astype(np.float32)
    except (TypeError, ValueError, OverflowError):
        pass
    for at, cell in enumerate(cells):
        name = names[at] if names else str(at + 1)
        try:
            fine = not isinstance(cell, list) and abs(float(cell)) <= _LARGEST
        except (TypeError, ValueError, OverflowError):
            fine = False
        if not fine:
            got = "nothing" if cell is None or not str(cell).strip() else str(cell)[:20]
            raise UserError(f"{place}: column {name}: expected a finite number, got {got}")
    raise UserError(f"{place}: expected numbers")


_LARGEST = float(np.finfo(np.float32).max)
