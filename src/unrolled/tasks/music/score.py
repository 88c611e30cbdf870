"""Scores of predicted frames: nats per frame, and frame accuracy.

A frame is predicted from all frames of its piece before it. As in the literature (Boulanger-
Lewandowski, Bengio & Vincent, 2012; Bai, Kolter & Koltun, 2018) nats are the sum over the keys, and
the mean over all frames of all pieces but the first one of each, which nothing precedes.

Frame accuracy is that of Bay, Ehmann & Downie (2009), TP / (TP + FP + FN) over all frames together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unrolled.tasks.statistics import Array
from unrolled.training.task import Metric

from .data import batch_of
from .model import MusicModel
from .pieces import Roll

NATS = Metric("nats", "nats per frame", "lower")
ACCURACY = Metric("accuracy", "", "higher")

ROWS = 64
"""Pieces that are scored side by side."""


class Counts(NamedTuple):
    """Sums over the predicted frames of each piece.

    Attributes:
        sums: Of nats, frames, true positives, and keys that are on or said to be on, ``[n, 4]``.
        parts: Of nats by part of the output, ``[n, parts]``.
        first: Nats of the first frame, ``[n]``.
    """

    sums: Array
    parts: Array
    first: Array


def nats(sums: Array) -> Array:
    """Nats per frame, of `Counts.sums` summed over pieces, ``[..., 4]``."""
    return _ratio(sums[..., 0], sums[..., 1])


def accuracy(sums: Array) -> Array:
    """Frame accuracy, of the same; 1 where there is only silence, and it was predicted."""
    silent = sums[..., 3] == 0
    found: Array = np.where(silent, 1.0, _ratio(sums[..., 2], sums[..., 3]))
    return found


def count_rolls(
    model: MusicModel, rolls: Sequence[Roll], device: torch.device | str = "cpu"
) -> Counts:
    """Counts of a model on pieces.

    Args:
        model: The model.
        rolls: Piano rolls ``[T, K]``.
        device: Where the model is.
    """
    parts = len(model.head.parts)
    found = Counts(np.zeros((len(rolls), 4)), np.zeros((len(rolls), parts)), np.zeros(len(rolls)))
    was = model.training
    model.eval()
    order = sorted(range(len(rolls)), key=lambda number: -len(rolls[number]))
    with torch.inference_mode():
        for start in range(0, len(order), ROWS):
            rows = order[start : start + ROWS]
            batch = batch_of([rolls[row] for row in rows])
            counted = _count(model, batch.frames.to(device), batch.lengths.to(device), batch.mask)
            for whole, part in zip(found, counted, strict=True):
                whole[rows] = part
    model.train(was)
    return found


def _count(model: MusicModel, frames: Tensor, lengths: Tensor, mask: Tensor) -> Counts:
    """Counts of pieces side by side."""
    mask = mask.to(frames.device)
    frames = frames.to(next(model.parameters()).dtype)
    h, truth = model.before(frames, lengths)[mask], frames[mask]
    losses = model.head.losses(h, truth).double().cpu().numpy()
    said = model.head.draw(h, 0.0, torch.Generator()).numpy()
    steps, pieces = (index.cpu().numpy() for index in mask.nonzero(as_tuple=True))
    return count_frames(steps, pieces, losses, said, truth.cpu().numpy(), len(lengths))


def count_frames(
    steps: npt.NDArray[np.int64],
    pieces: npt.NDArray[np.int64],
    losses: Array,
    said: npt.NDArray[np.float32],
    truth: npt.NDArray[np.float32],
    count: int,
) -> Counts:
    """Counts of frames of some pieces.

    Args:
        steps: Place of each frame in its piece, ``[F]``.
        pieces: Number of its piece, ``[F]``.
        losses: Nats of its parts, ``[F, parts]``.
        said: The predicted frames, ``[F, K]``.
        truth: The frames, ``[F, K]``.
        count: Number of pieces n.
    """
    total = losses.sum(1)
    hits, either = (said * truth).sum(1), np.maximum(said, truth).sum(1)
    each = np.stack([total, np.ones(len(total)), hits, either], axis=1)
    later = steps > 0
    sums, parts = np.zeros((count, 4)), np.zeros((count, losses.shape[1]))
    np.add.at(sums, pieces[later], each[later])
    np.add.at(parts, pieces[later], losses[later])
    first = np.zeros(count)
    first[pieces[~later]] = total[~later]
    return Counts(sums, parts, first)


def _ratio(above: Array, below: Array) -> Array:
    found: Array = np.divide(above, below, out=np.zeros(np.shape(above)), where=below > 0)
    return found
