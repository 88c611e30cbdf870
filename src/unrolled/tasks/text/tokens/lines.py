"""Texts cut into lines, the same wherever the blocks that they are read in end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

LONGEST = 1 << 16
"""Characters of a line; a longer one is cut after so many, so that a block holds whole lines."""

BATCH = 1 << 18
"""Characters whose tokens are computed at a time, the lines on several threads."""


def line_pattern(longest: int) -> re.Pattern[str]:
    """A line with its end, or so many characters of it."""
    return re.compile(rf"[^\n]{{0,{longest - 1}}}\n|[^\n]{{1,{longest}}}")


_LINE = line_pattern(LONGEST)


def whole_lines(blocks: Iterable[str]) -> Iterator[str]:
    """A text in blocks that end where a line does."""
    rest = ""
    for block in blocks:
        text = rest + block
        end = text.rfind("\n") + 1
        end += (len(text) - end) // LONGEST * LONGEST
        if end:
            yield text[:end]
        rest = text[end:]
    if rest:
        yield rest


def lines_of(text: str) -> list[str]:
    """Lines of a text with their ends."""
    return _LINE.findall(text)


def encode_lines(tokenizer: Any, text: str) -> npt.NDArray[np.uint32]:
    """Tokens of a text by a ``tokenizers.Tokenizer``, line by line, on all its threads."""
    found = [np.empty(0, np.uint32)]
    batch: list[str] = []
    size = 0
    for line in [*lines_of(text), None]:
        if batch and (line is None or size > BATCH):
            encoded = tokenizer.encode_batch_fast(batch, add_special_tokens=False)
            found += [np.asarray(one.ids, np.uint32) for one in encoded]
            batch, size = [], 0
        if line is not None:
            batch.append(line)
            size += len(line)
    return np.concatenate(found)
