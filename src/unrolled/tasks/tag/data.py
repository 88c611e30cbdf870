"""The cache of tagged sentences in a run folder, and the tags that a model knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .options import DataOptions
from .reading import Sentence, Unit
from .schemes import Scheme


@dataclass(frozen=True)
class TagSet:
    """The tags that a model knows.

    Attributes:
        tags: Tags in the model's scheme, ``iob2`` or ``plain``; the number of a tag is its place.
        source: Scheme of the files, in which predictions are written.
        unit: Tokens that a text is cut into.
    """

    tags: tuple[str, ...]
    source: Scheme
    unit: Unit

    @property
    def scheme(self) -> Scheme:
        """The model's scheme: ``iob2`` for spans, ``plain`` for tags that stand for themselves."""
        return "plain" if self.source == "plain" else "iob2"

    def encode(self, sentence: Sentence) -> list[int]:
        """Numbers of a sentence's tags.

        Raises:
            UserError: A tag is unknown; the line names the place.
        """
        raise NotImplementedError

    def save(self, path: Path) -> None:
        """Write as JSON."""
        raise NotImplementedError

    @classmethod
    def load(cls, path: Path) -> TagSet:
        """Read back.

        Raises:
            UserError: The file is missing or not a tag set.
        """
        raise NotImplementedError


class Tagged(NamedTuple):
    """A sentence of the cache.

    Attributes:
        tokens: Its tokens.
        tags: Number of each token's tag.
        place: File and line that it came from.
    """

    tokens: tuple[str, ...]
    tags: tuple[int, ...]
    place: str


class SentenceStore(Sequence[Tagged]):
    """Sentences on disk, read one by one.

    Args:
        path: File of JSON lines; ``NAME.npz`` beside it says where each sentence begins.

    Attributes:
        lengths: Tokens of each sentence, int64 of shape [N].
    """

    lengths: npt.NDArray[np.int64]


class TagData(NamedTuple):
    """The data of a run.

    Attributes:
        tags: The tags.
        train: Sentences to train on.
        val: Sentences to validate on; empty if there are none.
    """

    tags: TagSet
    train: SentenceStore
    val: SentenceStore


def prepare_data(options: DataOptions, cache: Path, *, seed: int) -> TagData:
    """Read the files of a run and write its cache.

    Args:
        options: The files.
        cache: Folder to write to; it is made where it is missing.
        seed: Seed of the validation part.

    Raises:
        UserError: The files cannot be used.
    """
    raise NotImplementedError


def open_data(cache: Path) -> TagData:
    """The data that `prepare_data` wrote.

    Raises:
        UserError: A file is missing or is not what was written.
    """
    raise NotImplementedError
