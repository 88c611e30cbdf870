"""A model of music in training: its data, its loss, its validation and the final evaluation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unrolled.tasks.recurrent import cell_class, keep_cell
from unrolled.training.batches import Buckets, Indices
from unrolled.training.processes import Processes
from unrolled.training.run_folder.folder import RunFolder
from unrolled.training.task import Evaluation, Loss

from .baseline import fit_baseline
from .chords import written_chord
from .data import Batch, MusicData, batch_of, keys_of, open_data, prepare_data, transposed
from .evaluation import evaluation, pictures
from .generate import generate
from .model import build_model, check_model
from .options import MusicOptions
from .pieces import Frame
from .score import ACCURACY, NATS, accuracy, count_rolls, nats

ROWS = 8
"""Pieces of a batch that the lens looks at."""

GIVEN = 16
"""Frames of a piece that the report's picture lets the model continue."""


def prepare(options: MusicOptions, draft: RunFolder) -> MusicOptions:
    """Write piano rolls to a run's folder.

    Returns:
        The options to keep: they name the user's own cell as the run holds it.

    Raises:
        UserError: The data cannot be used, or the model fits no memory.
    """
    prepare_data(options.data, draft.cache, seed=options.training.seed)
    model = keep_cell(options.model, draft.path)
    check_model(model, keys_of(options.data), cell_class(model, draft.path))
    return replace(options, model=model)


class OpenedMusic:
    """A run of the music task, open for training; see `unrolled.training.task.Opened`."""

    objective = NATS
    metrics = (NATS, ACCURACY)
    item = "frame"

    def __init__(self, options: MusicOptions, folder: RunFolder, processes: Processes) -> None:
        training = options.training
        self.options, self._processes = options, processes
        self.keys = keys_of(options.data)
        self.data: MusicData = open_data(folder.cache, self.keys)
        self.model = build_model(options.model, self.keys, folder.path)
        shares = np.mean(self.data.train.flat, axis=0, dtype=np.float64)
        self.model.head.begin(torch.from_numpy(shares).float())
        self.batches = Buckets(
            self.data.train.lengths,
            self._fetch,
            batch_size=training.batch_size,
            seed=training.seed,
            processes=processes,
        )
        pieces = len(self.data.train)
        mean = float(self.data.train.lengths.mean())
        self.usual_count = mean * min(training.batch_size, pieces)
        self.description = (
            f"{pieces:,} pieces to train on, {len(self.data.val):,} to validate, "
            f"{self.keys.count} keys"
        )

    def loss(self, model: nn.Module, batch: Batch, carry: Any) -> Loss:
        """Mean nats of the frames, the first of each piece among them."""
        nats_of_parts = model(batch.frames, batch.lengths, batch.mask)
        count = len(nats_of_parts)
        return Loss(nats_of_parts.sum() / max(1, count), count)

    def step_losses(self, model: nn.Module, batch: Batch, carry: Any) -> Tensor:
        """Nats of each frame of a few rows, ``[T, rows]``, all cut to the shortest of them."""
        lengths = batch.lengths[:ROWS]
        shortest, rows = int(lengths.min()), len(lengths)
        some = Batch(batch.frames[:shortest, :rows], lengths.clamp(max=shortest))
        found: Tensor = model(some.frames, some.lengths, some.mask)
        return found.sum(1).view(shortest, rows)

    def validate(self) -> dict[str, float]:
        """Nats per frame and frame accuracy on the validation pieces."""
        if not len(self.data.val):
            return {}
        mine = range(self._processes.rank, len(self.data.val), self._processes.count)
        counts = count_rolls(self.model, [self.data.val[number] for number in mine], self._device)
        sums = torch.tensor(
            self._processes.sum(counts.sums.sum(0).tolist()), dtype=torch.float64, device="cpu"
        ).numpy()
        return {"nats": float(nats(sums)), "accuracy": float(accuracy(sums))}

    def sample(self) -> str | None:
        """A piece that the model writes, as a list of chords."""
        length = self.options.training.sample_length
        return "".join(map(written_chord, self._written([], length))) if length else None

    def conclude(self, folder: RunFolder) -> Evaluation:
        """Intervals, cheap methods, and the parts of the report."""
        val = list(self.data.val)
        baseline = None
        if self.options.training.baseline:
            baseline = fit_baseline(list(self.data.train), val)
            baseline.save(folder)
        if not val:
            return Evaluation({}, notes=["There are no validation pieces."])
        real = self.keys.frames(val[0])
        begun = real[:GIVEN]
        written = [*begun, *self._written(begun, max(0, len(real) - len(begun)))]
        return evaluation(
            self.model,
            count_rolls(self.model, val, self._device),
            val,
            baseline,
            notes=[
                "The best weights and the regression's penalty were chosen on these pieces, so the "
                "numbers are a little too good; evaluate on pieces of their own tells."
            ],
            more=[pictures(real, written, len(begun))],
        )

    # Parts ----------------------------------------------------------------------------------

    def _fetch(self, numbers: Indices, draw: Any) -> Batch:
        most = self.options.training.transpose
        return batch_of(
            [transposed(self.data.train[int(number)], most, draw) for number in numbers]
        )

    def _written(self, begun: list[Frame], length: int) -> list[Frame]:
        return list(generate(self.model, self.keys, begun, length=length, device=self._device))

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device
