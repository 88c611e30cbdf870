"""Options of the tagging task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from unrolled.errors import UserError
from unrolled.ranges import SHARE, Range
from unrolled.training.options import check

COLUMN = Range(1, 1000)
"""Numbers of columns, the first is 1."""


@dataclass(frozen=True)
class DataOptions:
    """Tagged sentences and the form of their files.

    Attributes:
        data: Files of tagged sentences: CoNLL columns (a token a line, a blank line after a
            sentence) or JSON lines (tokens and tags, or text and spans).
        val_data: Files to validate on, instead of a part of --data.
        val_fraction: Share of the sentences, drawn at random, kept for validation; a document
            stays whole.
        format: Form of the files; text, a sentence a line, only to predict. [default: seen from
            each file]
        separator: What stands between columns; whitespace is any number of spaces and tabs.
            [default: seen from each file]
        token_column: Column of the tokens, from 1. [default: the first that is no number of
            the line]
        tag_column: Column of the tags, from 1. [default: the last; of ten columns of CoNLL-U,
            the fourth]
        scheme: How tags mark spans; plain where each tag stands for itself, such as parts of
            speech. [default: seen from the tags]
        unit: Tokens that a text is cut into. [default: characters where no token to train on is
            longer than one, else words]
        strict: Refuse tags that do not follow their scheme, such as I-PER after O, instead of
            reading them as the CoNLL evaluation does.
    """

    data: tuple[str, ...] = ()
    val_data: tuple[str, ...] = ()
    val_fraction: Annotated[float, SHARE] = 0.1
    format: Literal["columns", "jsonl", "text"] | None = None
    separator: Literal["whitespace", "tab", "space"] | None = None
    token_column: Annotated[int | None, COLUMN] = None
    tag_column: Annotated[int | None, COLUMN] = None
    scheme: Literal["plain", "io", "iob1", "iob2", "bioes", "bilou", "bmes"] | None = None
    unit: Literal["word", "character"] | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value is outside its range, or two columns are the same.
        """
        check(self)
        if self.tag_column is not None and self.tag_column == self.token_column:
            raise UserError(
                f"--tag-column {self.tag_column}: expected another column than --token-column"
            )
