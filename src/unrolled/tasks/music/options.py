"""Options of the music task."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Annotated, Literal

from unrolled.errors import UserError
from unrolled.ranges import SEED, SHARE, SIZE, Range, shown
from unrolled.tasks.recurrent import RecurrentOptions
from unrolled.tasks.text.options import TEMPERATURE
from unrolled.training.options import RATE, CheckedOptions, TrainingOptions

PITCH = Range(0, 127)
"""MIDI pitches; 60 is the middle C."""

FRAMES = Range(0, 10**6)
"""Frames of a piece."""

DRAWS = Range(1, 10**5)
"""Frames that are drawn to estimate one probability."""


def parse_step(text: str) -> Fraction:
    """The length of a frame as a fraction of a whole note.

    Raises:
        UserError: It is no fraction from 1/1024 to 4.
    """
    if re.fullmatch(r"\d{1,4}(/\d{1,4})?", text) and not text.endswith("/0"):
        above, _, below = text.partition("/")
        if (
            int(below or 1)
            and Fraction(1, 1024) <= (found := Fraction(int(above), int(below or 1))) <= 4
        ):
            return found
    raise UserError(
        "--step: expected a fraction of a whole note from 1/1024 to 4, such as 1/4, got "
        f"{shown(text)}"
    )


@dataclass(frozen=True)
class DataOptions(CheckedOptions):
    """The pieces to read.

    Attributes:
        data: MIDI files, JSON piano rolls, lists of chords, and folders of them. Parts named
            train, valid and test in a file or a folder are kept apart.
        val_data: Files to validate on, instead of a part of --data.
        val_fraction: Share of the pieces kept for validation where nothing else is given.
        step: Length of a frame as a fraction of a whole note; it decides how MIDI is read and
            written.
        lowest: Lowest key, as a MIDI pitch.
        highest: Highest key, as a MIDI pitch; 21 to 108 are the 88 keys of a piano.
    """

    data: tuple[str, ...] = ()
    val_data: tuple[str, ...] = ()
    val_fraction: Annotated[float, SHARE] = 0.1
    step: str = "1/4"
    lowest: Annotated[int, PITCH] = 21
    highest: Annotated[int, PITCH] = 108

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value is outside its range, or the keys are in the wrong order.
        """
        super().__post_init__()
        parse_step(self.step)
        if self.lowest > self.highest:
            raise UserError(
                f"--lowest: expected at most --highest {self.highest}, got {self.lowest}"
            )


@dataclass(frozen=True)
class ModelOptions(RecurrentOptions):
    """The model: recurrent layers over frames, and an output over the keys of the next frame.

    Attributes:
        output: Distribution over the next frame. keys: each key is on or off by itself. voices:
            note by note from low to high, each given the frames before and the notes below it.
        voice_size: Units of the layer that goes through the notes of a frame, for voices.
        input_dropout: Share of the keys dropped from the frames that are read.
    """

    output: Literal["keys", "voices"] = "voices"
    voice_size: Annotated[int, SIZE] = 128
    dropout: Annotated[float, SHARE] = 0.5
    input_dropout: Annotated[float, SHARE] = 0.1

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value is outside its range, or two do not go together.
        """
        super().__post_init__()
        if self.bidirectional:
            raise UserError(
                "--bidirectional: a piece is continued, so its end cannot be read first"
            )


@dataclass(frozen=True)
class MusicTraining(TrainingOptions):
    """Training of a model of music.

    Attributes:
        batch_size: Pieces of an update.
        lr: Highest learning rate.
        weight_decay: Weight decay, on weight matrices only (never on biases or embeddings).
        ema: Decay of a moving average of the weights, used for validation; 0 for none.
        max_epochs: Stop after so many passes over the data. [default: 60]
        transpose: Move each training piece by up to so many semitones, drawn in every epoch, as
            far as the keys allow.
        sample_length: Frames written at each validation; 0 for none.
        baseline: Fit marginals and a logistic regression at the end, too, and put them beside the
            model in the report.
    """

    batch_size: Annotated[int, SIZE] = 16
    lr: Annotated[float, RATE] = 4e-3
    weight_decay: Annotated[float, Range(0, 1e38)] = 0.1
    ema: Annotated[float, SHARE] = 0.99
    transpose: Annotated[int, Range(0, 127)] = 0
    sample_length: Annotated[int, FRAMES] = 32
    baseline: bool = True

    @property
    def epochs(self) -> int | None:
        """``max_epochs``, or 60 where no limit at all was given."""
        unlimited = self.max_epochs is None and self.max_steps is None and self.max_time is None
        return 60 if unlimited else self.max_epochs


@dataclass(frozen=True)
class MusicOptions:
    """Everything about one run of the music task; the sections of its ``options.toml``.

    Attributes:
        task: Name of the task.
        data: The pieces to read.
        model: The model.
        training: Training.
    """

    task: Literal["music"] = "music"
    data: DataOptions = field(default_factory=DataOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    training: MusicTraining = field(default_factory=MusicTraining)


Part = Literal["train", "valid", "test"]
"""Parts of a data set."""


@dataclass(frozen=True)
class PredictOptions(CheckedOptions):
    """Prediction of frames.

    Attributes:
        part: Part to read of files that have parts.
        least: Leave out keys whose probability is below this.
        draws: Frames drawn for each probability, where the output is voices.
        seed: Seed of these draws.
    """

    part: Part = "test"
    least: Annotated[float, Range(0, 1)] = 0.01
    draws: Annotated[int, DRAWS] = 200
    seed: Annotated[int, SEED] = 0


@dataclass(frozen=True)
class EvaluateOptions(CheckedOptions):
    """Evaluation of a model.

    Attributes:
        part: Part to read of files that have parts.
        baseline: Measure the cheap methods, too, if the run has them.
    """

    part: Part = "test"
    baseline: bool = True


@dataclass(frozen=True)
class WritingOptions(CheckedOptions):
    """Writing of a piece.

    Attributes:
        out: File to write: MIDI for .mid, JSON for .json, else a list of chords. [default: a list
            of chords on standard output]
        length: Frames to write.
        given: Frames of the given piece to continue from; 0 for all of them.
        part: Part to read of a file that has parts.
        piece: Number of the piece to continue, from 1.
        temperature: Below 1 more careful, above 1 more daring; 0 always takes the likeliest.
        seed: Seed of the choices.
        repeat: A note that stands in several frames in a row is held, or struck in each of them.
        tempo: Quarter notes a minute.
    """

    out: str | None = None
    length: Annotated[int, FRAMES] = 64
    given: Annotated[int, FRAMES] = 0
    part: Part = "test"
    piece: Annotated[int, Range(1, 10**9)] = 1
    temperature: Annotated[float, TEMPERATURE] = 1.0
    seed: Annotated[int, SEED] = 0
    repeat: Literal["hold", "strike"] = "hold"
    tempo: Annotated[float, Range(4, 1000)] = 80.0
