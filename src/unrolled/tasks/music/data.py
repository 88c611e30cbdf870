"""The cache of piano rolls in a run folder, and batches of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from unrolled.errors import UserError
from unrolled.tasks.ragged import Ragged, RaggedWriter, pad

from .options import DataOptions
from .pieces import Frame, Keys, Piece, Roll
from .reading import of_part, read_pieces


class Batch(NamedTuple):
    """Pieces side by side.

    Attributes:
        frames: 0 and 1, float32 ``[T, N, K]``, time first, zeros after a piece's end.
        lengths: Frames of each piece, int64 ``[N]``.
    """

    frames: Tensor
    lengths: Tensor

    @property
    def mask(self) -> Tensor:
        """Whether a frame belongs to its piece, bool ``[T, N]``."""
        steps = torch.arange(len(self.frames), dtype=torch.int64, device=self.lengths.device)
        return steps[:, None] < self.lengths


class MusicData(NamedTuple):
    """Piano rolls to train and to validate on.

    Attributes:
        train: Rolls ``[T, K]``.
        val: Those to validate on.
    """

    train: Ragged
    val: Ragged


def keys_of(options: DataOptions) -> Keys:
    """The keys that some options name."""
    return Keys(options.lowest, options.highest)


def prepare_data(options: DataOptions, cache: Path, *, seed: int = 0) -> None:
    """Read the user's files and write piano rolls to a run's cache.

    Args:
        options: What to read.
        cache: The folder.
        seed: Seed of the pieces drawn for validation.

    Raises:
        UserError: The data cannot be used.
        OSError: A file cannot be written, or the disk is full.
    """
    if not options.data:
        raise UserError("--data: expected one file or more")
    keys = keys_of(options)
    train, val = divide(
        list(read_pieces(options.data, options, keys)),
        list(read_pieces(options.val_data, options, keys)),
        options,
        seed,
    )
    for pieces, use in ((train, "train"), (val, "validate")):
        if pieces and max(len(piece.frames) for piece in pieces) < 2:
            raise UserError(
                f"{pieces[0].place}: expected a piece of two frames or more to {use} on, found none"
            )
    cache.mkdir()
    for name, pieces in (("train", train), ("validation", val)):
        with RaggedWriter(cache / name, np.uint8, keys.count) as writer:
            for piece in pieces:
                writer.append(keys.roll(piece.frames))


def divide(
    given: Sequence[Piece], given_val: Sequence[Piece], options: DataOptions, seed: int
) -> tuple[list[Piece], list[Piece]]:
    """Pieces to train and to validate on.

    The second are those of other files, or the part that the files name, or a random share; pieces
    with the same frames are drawn together.

    Raises:
        UserError: There is no piece for one of the two.
    """
    train = of_part(given, "train")
    if not train:
        raise UserError(f"{options.data[0]}: expected pieces to train on, found none")
    if options.val_data:
        val = of_part(given_val, "valid")
        if not val:
            raise UserError(f"{options.val_data[0]}: expected pieces to validate on, found none")
        return train, val
    named = [piece for piece in given if piece.part == "valid"]
    if named or not options.val_fraction:
        return train, named
    kinds: dict[tuple[Frame, ...], list[int]] = {}
    for number, piece in enumerate(train):
        kinds.setdefault(piece.frames, []).append(number)
    if len(kinds) < 2:
        raise UserError(
            f"{options.data[0]}: too few pieces to keep some for validation; --val-fraction 0 "
            "trains without"
        )
    draw = random.Random(f"validation {seed}")
    # By random(): of all that Python draws only its numbers are promised to stay the same.
    order = [numbers for _, numbers in sorted((draw.random(), one) for one in kinds.values())]
    aside: set[int] = set()
    for numbers in order[:-1]:
        if len(aside) >= max(1, round(options.val_fraction * len(train))):
            break
        aside.update(numbers)
    return (
        [piece for number, piece in enumerate(train) if number not in aside],
        [piece for number, piece in enumerate(train) if number in aside],
    )


def open_data(cache: Path, keys: Keys) -> MusicData:
    """The rolls of a run's cache.

    Raises:
        UserError: A file is missing or corrupt.
    """
    parts = []
    for name in ("train", "validation"):
        found = Ragged.open(cache / name)
        if found.channels != keys.count or found.flat.dtype != np.uint8:
            raise UserError(f"{cache / name}.npy: corrupt: expected rows of {keys.count} keys")
        parts.append(found)
    return MusicData(*parts)


def batch_of(rolls: Sequence[Roll]) -> Batch:
    """Piano rolls side by side; one or more."""
    frames, lengths = pad([np.asarray(roll, np.float32) for roll in rolls])
    return Batch(frames, lengths)


def transposed(roll: Roll, most: int, draw: np.random.Generator) -> Roll:
    """A piano roll moved by a random number of semitones.

    Args:
        roll: ``[T, K]``.
        most: Semitones at most, up or down; fewer where a note would leave the keys.
        draw: Draws the number, each with the same probability.
    """
    used = np.flatnonzero(roll.any(0))
    if not most or not len(used):
        return roll
    low, high = max(-most, -int(used[0])), min(most, roll.shape[1] - 1 - int(used[-1]))
    # nothing leaves the keys, so what is rolled round is empty
    return np.roll(roll, int(draw.integers(low, high + 1)), axis=1)
