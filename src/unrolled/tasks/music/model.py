"""A model of music: recurrent layers over frames, and a distribution over the next frame."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from unrolled.cells import Cell
from unrolled.tasks.dropout import Dropout
from unrolled.tasks.model_memory import check_memory, within_memory
from unrolled.tasks.recurrent import build_recurrent, cell_class, output_size

from .heads import Head, KeyHead, VoiceHead
from .options import ModelOptions
from .pieces import Keys


class MusicModel(nn.Module):
    """Nats of every frame of some pieces, each predicted from the frames before it.

    The first frame is predicted from a silent one, so that the model knows how pieces begin.

    Args:
        options: Sizes, cell and output.
        keys: The keys.
        cell: The class of the user's own cell, if the options name one.

    Shape:
        frames: 0 and 1, ``[T, N, K]``, time first.
        lengths: Frames of each piece, int64 ``[N]``.
        mask: Whether a frame belongs to its piece, bool ``[T, N]``.
    """

    def __init__(self, options: ModelOptions, keys: Keys, cell: type[Cell] | None = None) -> None:
        super().__init__()
        size = output_size(options)
        self.recurrent = build_recurrent(options, keys.count, cell)
        self.input_dropout = Dropout(options.input_dropout)
        self.dropout = Dropout(options.dropout)
        self.head: Head
        if options.output == "keys":
            self.head = KeyHead(size, keys)
        else:
            self.head = VoiceHead(size, keys, options.voice_size, options.dropout)

    def forward(self, frames: Tensor, lengths: Tensor, mask: Tensor) -> Tensor:
        """Nats of each frame's parts, ``[F, parts]``, for the F frames within the mask."""
        frames = frames.to(next(self.parameters()).dtype)
        return self.head.losses(self.before(frames, lengths)[mask], frames[mask])

    def before(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Features from which each frame is predicted, ``[T, N, H]``."""
        silent = torch.zeros_like(frames[:1])
        y, _ = self.recurrent(self.input_dropout(torch.cat([silent, frames[:-1]])), None, lengths)
        return self.dropout(y)  # type: ignore[no-any-return]


def build_model(options: ModelOptions, keys: Keys, run: Path) -> MusicModel:
    """The model of some options, with fresh weights.

    Args:
        options: Sizes, cell and output.
        keys: The keys.
        run: The run's folder, which holds the user's own cell, if there is one.

    Raises:
        UserError: It does not fit into memory, or the run's own cell is not trusted.
    """
    cell = cell_class(options, run)
    check_model(options, keys, cell)
    with within_memory(options):
        return MusicModel(options, keys, cell)


def check_model(options: ModelOptions, keys: Keys, cell: type[Cell] | None) -> None:
    """Refuse a model that the machine's memory cannot hold.

    Raises:
        UserError: It does not fit.
    """
    others = output_size(options) * keys.count
    if options.output == "voices":
        voice = options.voice_size
        others += voice * (output_size(options) + 6 * voice + 2 * keys.count)
    check_memory(options, keys.count, others, cell)
