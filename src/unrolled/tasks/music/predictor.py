"""A trained model of music, ready for use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from unrolled.errors import UserError, reason
from unrolled.files import write_file
from unrolled.ranges import shown
from unrolled.training.run_folder.checkpoint import load_best
from unrolled.training.run_folder.folder import RunFolder
from unrolled.training.task import Evaluation

from .baseline import Baseline
from .chords import written_chord, written_chords
from .data import batch_of, keys_of
from .evaluation import evaluation
from .generate import generate
from .json_rolls import written_rolls
from .midi import write_midi
from .model import build_model
from .options import EvaluateOptions, MusicOptions, PredictOptions, WritingOptions, parse_step
from .pieces import Frame, Piece
from .reading import of_part, read_pieces
from .score import count_rolls


class MusicPredictor:
    """The best model of a run, and what can be done with it.

    Args:
        options: What it was trained with.
        folder: The run.
        device: Where to put the model.

    Attributes:
        folder: Paths of the run.
        options: What it was trained with.
        keys: The keys it knows.
        model: The model, in eval mode.

    Raises:
        UserError: Something in the run is corrupt, or it has no weights yet.
    """

    def __init__(
        self, options: MusicOptions, folder: RunFolder, device: torch.device | str = "cpu"
    ) -> None:
        self.options, self.folder, self.device = options, folder, device
        self.keys = keys_of(options.data)
        self.model = build_model(options.model, self.keys, folder.path)
        load_best(self.model, folder, device)

    def predict(
        self, items: Iterable[Any], options: PredictOptions | None = None, **choices: Any
    ) -> Iterator[dict[str, Any]]:
        """Probabilities of every next frame of pieces, in order.

        Args:
            items: Pieces: lists of frames, which are lists of MIDI pitches.
            options: Least probability, draws and more.
            **choices: The same by name: ``least=0.05``.

        Yields:
            For each piece ``nats`` of each of its frames, and ``probabilities``: for each of its
            frames, and for one more at its end, the keys and their probability given the frames
            before, as an object ``{"60": 0.93, …}``.

        Raises:
            UserError: An item is of another kind, or has a pitch that the model does not know.
        """
        options = replace(options or PredictOptions(), **choices)
        for number, item in enumerate(items, start=1):
            place = f"item {number}"
            frames = item.frames if isinstance(item, Piece) else self._frames(item, place)
            yield self._record(frames, options)

    def predict_files(
        self, files: Sequence[str | Path], options: PredictOptions | None = None
    ) -> Iterator[dict[str, Any]]:
        """The same of the pieces of files, each with its ``place``.

        Raises:
            UserError: A file cannot be read.
        """
        options = options or PredictOptions()
        for piece in self.read(files, options.part):
            yield {"place": piece.place, **self._record(piece.frames, options)}

    def evaluate(
        self,
        files: Path | str | Sequence[str | Path],
        options: EvaluateOptions | None = None,
        **choices: Any,
    ) -> Evaluation:
        """Scores on pieces of files, beside those of the cheap methods.

        Args:
            files: One or several, of any form that training reads.
            options: Which part of them.
            **choices: The same by name: ``part="valid"``.

        Raises:
            UserError: A file cannot be read, or there is no frame to predict.
        """
        options = replace(options or EvaluateOptions(), **choices)
        names = [files] if isinstance(files, str | Path) else list(files)
        rolls = [self.keys.roll(piece.frames) for piece in self.read(names, options.part)]
        if max(map(len, rolls)) < 2:
            raise UserError(f"{names[0]}: expected a piece of two frames or more")
        counts = count_rolls(self.model, rolls, self.device)
        baseline = Baseline.load(self.folder, self.keys) if options.baseline else None
        return evaluation(self.model, counts, rolls, baseline)

    def generate(
        self,
        frames: Sequence[Sequence[int]] = (),
        *,
        length: int = 64,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> list[Frame]:
        """Frames that continue given ones, without these; see ``generate.generate``.

        Raises:
            UserError: A number is out of range, or a pitch is unknown to the model.
        """
        WritingOptions(length=length, temperature=temperature, seed=seed)
        return list(
            generate(
                self.model,
                self.keys,
                self._frames(frames, "the given piece"),
                length=length,
                temperature=temperature,
                seed=seed,
                device=self.device,
            )
        )

    def save(
        self,
        frames: Sequence[Frame],
        path: str | Path,
        *,
        tempo: float = 80.0,
        repeat: Literal["hold", "strike"] = "hold",
    ) -> None:
        """Write a piece to a file: MIDI for .mid, JSON for .json, else a list of chords.

        Args:
            frames: The piece.
            path: The file.
            tempo: Quarter notes a minute.
            repeat: A note that stands in several frames in a row is held, or struck in each.

        Raises:
            UserError: MIDI needs mido, which is not installed.
            OSError: The file cannot be written.
        """
        path = Path(path)
        ending = path.suffix.lower()
        if ending in (".mid", ".midi"):
            step = parse_step(self.options.data.step)
            write_midi(path, frames, step=step, tempo=tempo, repeat=repeat)
        elif ending == ".json":
            write_file(path, written_rolls([frames]).encode())
        else:
            write_file(path, written_chords([frames]).encode())

    def read(
        self, files: Sequence[str | Path], part: Literal["train", "valid", "test"] = "test"
    ) -> list[Piece]:
        """Pieces of files, as the model reads them.

        Raises:
            UserError: A file cannot be read, or has no pieces of the part.
        """
        names = [str(name) for name in files]
        if "-" in names:
            raise UserError("expected files or folders of pieces, got standard input")
        found = of_part(list(read_pieces(names, self.options.data, self.keys)), part)
        if not found:
            raise UserError(f"{names[0]}: expected pieces of the part {part}, found none (--part)")
        return found

    # Parts ----------------------------------------------------------------------------------

    def _frames(self, item: Any, place: str) -> tuple[Frame, ...]:
        if not isinstance(item, Sequence) or isinstance(item, str):
            raise UserError(f"{place}: expected a list of frames, got {shown(item)}")
        for number, frame in enumerate(item, start=1):
            if not isinstance(frame, Sequence) or isinstance(frame, str):
                raise UserError(
                    f"{place}, frame {number}: expected a list of pitches, got {shown(frame)}"
                )
        return tuple(
            self.keys.frame(frame, f"{place}, frame {number}")
            for number, frame in enumerate(item, start=1)
        )

    def _record(self, frames: Sequence[Frame], options: PredictOptions) -> dict[str, Any]:
        random = torch.Generator().manual_seed(options.seed)
        # A silent frame at the end: the features before it are those of the frame to come.
        batch = batch_of([self.keys.roll([*frames, ()])])
        dtype = next(self.model.parameters()).dtype
        with torch.inference_mode():
            rolls = batch.frames.to(self.device, dtype)
            h = self.model.before(rolls, batch.lengths.to(self.device))[:, 0]
            losses = self.model.head.losses(h[:-1], rolls[:-1, 0]).sum(1)
            each = self.model.head.probabilities(h, options.draws, random)
        return {
            "nats": [round(value, 4) for value in losses.tolist()],
            "probabilities": [
                {
                    str(self.keys.lowest + key): round(value, 4)
                    for key, value in enumerate(row)
                    if value >= options.least and value > 0
                }
                for row in each.tolist()
            ],
        }


def write(
    predictor: MusicPredictor, files: Sequence[str], options: WritingOptions
) -> Iterator[str]:
    """The verb ``generate``: a piece, the beginning of a given one before it.

    Raises:
        UserError: There is more than one file, or no piece of that number in it, or the file to
            write cannot be written.
    """
    if len(files) > 1:
        raise UserError(f"{files[1]}: expected one file, whose piece is continued")
    begun: tuple[Frame, ...] = ()
    if files:
        pieces = predictor.read(files, options.part)
        if options.piece > len(pieces):
            raise UserError(
                f"--piece: {files[0]} has {len(pieces)} pieces of the part {options.part}, "
                f"got {options.piece}"
            )
        begun = pieces[options.piece - 1].frames
        begun = begun[: options.given or len(begun)]
    written = generate(
        predictor.model,
        predictor.keys,
        begun,
        length=options.length,
        temperature=options.temperature,
        seed=options.seed,
        device=predictor.device,
    )
    if options.out is None:
        return (written_chord(frame) for some in (begun, written) for frame in some)
    target = Path(options.out)
    if not target.parent.is_dir():
        raise UserError(f"--out {target}: expected a file in an existing folder")
    try:
        predictor.save([*begun, *written], target, tempo=options.tempo, repeat=options.repeat)
    except OSError as error:
        raise UserError(f"--out {target}: {reason(error)}") from error
    return iter(())
