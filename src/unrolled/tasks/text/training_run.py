"""Training a character model: from text files to a run folder."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from unrolled.engine.threads import threads_kept
from unrolled.errors import RUNTIME, UserError, reason
from unrolled.tasks.text import corpus
from unrolled.tasks.text.job import CharacterJob
from unrolled.tasks.text.options import TextOptions
from unrolled.tasks.text.run import Run, build_model
from unrolled.tasks.text.score import default_streams, score
from unrolled.tasks.text.vocabulary import Vocabulary
from unrolled.training.batches import Streams
from unrolled.training.display import Display, choose_display
from unrolled.training.fabric import build_fabric
from unrolled.training.loop import Training
from unrolled.training.options import TrainingOptions, read_options, write_options
from unrolled.training.report.report import write_report
from unrolled.training.run_folder.best_effort import BestEffort
from unrolled.training.run_folder.checkpoint import read_tensors
from unrolled.training.run_folder.folder import RunFolder


@dataclass(frozen=True)
class Summary:
    """How a training ended.

    Attributes:
        run: The run's folder.
        steps: Updates made.
        epochs: Epochs finished.
        training_seconds: Training time, validation not counted.
        validation_seconds: Time spent validating.
        val_nats: Validation loss of the best weights, in nats per character.
        val_bits: The same in bits.
        val_streams: Streams it was computed with; 1 is exact.
        val_unknown: Characters of the validation text that the training text lacks.
        best_step: The update after which the best weights were reached.
        parameters: Number of parameters.
        stopped_by: Number of the signal that stopped it, or None.
    """

    run: str
    steps: int
    epochs: int
    training_seconds: float
    validation_seconds: float
    val_nats: float | None
    val_bits: float | None
    val_streams: int | None
    val_unknown: int | None
    best_step: int
    parameters: int
    stopped_by: int | None


@contextlib.contextmanager
def created(options: TextOptions, out: Path, *, overwrite: bool = False) -> Iterator[RunFolder]:
    """Read the text and set up a run's folder: options, vocabulary, tokens.

    The run is held by this process until the block ends.

    Raises:
        UserError: The text or the folder cannot be used; nothing is left behind.
    """
    if not options.data.data:
        raise UserError("no text given: name at least one file, as FILE or --data FILE")
    fill = functools.partial(_fill, options)
    with RunFolder.created(out, fill, overwrite=overwrite) as folder:
        yield folder


def create(options: TextOptions, out: Path, *, overwrite: bool = False) -> RunFolder:
    """Set up a run's folder, as ``created``, and let others have it."""
    with created(options, out, overwrite=overwrite) as folder:
        return folder


def _fill(options: TextOptions, draft: RunFolder) -> None:
    """Write options, vocabulary and tokens to a run's folder."""
    files = [Path(name) for name in options.data.data]
    found = corpus.count(files)
    val_files = [Path(name) for name in options.data.val_data]
    if val_files:
        train_length, val_length = found.length, corpus.count(val_files).length
    else:
        train_length = int(found.length * (1 - options.data.val_fraction))
        val_length = found.length - train_length
    _check_lengths(options, train_length, val_length)

    vocabulary = Vocabulary(found.characters)
    options.model.check_memory(len(vocabulary))
    draft.cache.mkdir()
    train, validation = draft.cache / "train.npy", draft.cache / "validation.npy"
    if val_files:
        corpus.write_tokens(files, vocabulary, [(train, train_length)])
        corpus.write_tokens(val_files, vocabulary, [(validation, val_length)])
    elif val_length:
        parts = [(train, train_length), (validation, val_length)]
        corpus.write_tokens(files, vocabulary, parts)
    else:
        corpus.write_tokens(files, vocabulary, [(train, train_length)])
    vocabulary.save(draft.path / "vocabulary.json")
    write_options(options, draft.options)


def _check_lengths(options: TextOptions, train: int, validation: int) -> None:
    training = options.training
    need = training.batch_size * training.seq_len + 1
    if train < need:
        name = next(iter(options.data.data), "data")
        raise UserError(
            f"{name}: text too short: --batch-size {training.batch_size} × "
            f"--seq-len {training.seq_len} needs {need} characters to train on, got {train}"
        )
    wanted = bool(options.data.val_data) or options.data.val_fraction > 0
    if wanted and validation < 2:
        raise UserError(
            f"text too short: validation needs 2 characters, got {validation}; "
            "--val-fraction 0 trains without"
        )


def resume(
    path: Path | str,
    *,
    max_epochs: int | None = None,
    max_steps: int | None = None,
    max_time: float | str | None = None,
    patience: int | None = None,
    quiet: bool = False,
) -> tuple[Run, Summary]:
    """Go on with a run from its last checkpoint.

    Args:
        path: The run's folder.
        max_epochs: New limit, over the whole run; None keeps the old.
        max_steps: The same for updates.
        max_time: The same for training time.
        patience: The same for early stopping.
        quiet: Show no progress.

    Returns:
        The run with its best weights, and how the training ended.

    Raises:
        UserError: The folder is not a run, is being trained already, or something in it is corrupt;
            or a number stopped being finite.
    """
    folder = RunFolder.existing(path)
    options = read_options(TextOptions, folder.options)
    limits = {
        "max_epochs": max_epochs,
        "max_steps": max_steps,
        "max_time": max_time,
        "patience": patience,
    }
    given = {name: value for name, value in limits.items() if value is not None}
    training = replace(options.training, **given)  # type: ignore[arg-type]
    with folder.writing():
        if training != options.training:
            options = replace(options, training=training)
            write_options(options, folder.options)
        return _train(folder, options, quiet=quiet)


def train(options: TextOptions, out: Path, *, overwrite: bool, quiet: bool) -> tuple[Run, Summary]:
    """Set up a run and train it; see ``unrolled.tasks.text.train``."""
    with created(options, out, overwrite=overwrite) as folder:
        return _train(folder, options, quiet=quiet)


def _train(folder: RunFolder, options: TextOptions, *, quiet: bool) -> tuple[Run, Summary]:
    """Train a run that this process holds."""
    display = choose_display(quiet=quiet)
    best_effort = BestEffort(display.note, folder.check)
    try:
        run, summary = _go_on(folder, options, display, best_effort)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise UserError(f"{where}{reason(error)}", code=RUNTIME) from error
    finally:
        display.close()
    # TensorBoard's file is a copy of the log; the others are part of the run.
    missing = {k: v for k, v in best_effort.failed.items() if k != folder.tensorboard}
    if missing and summary.stopped_by is None:
        listed = "; ".join(f"{path}: {words}" for path, words in missing.items())
        raise UserError(f"trained and saved to {folder.path}, but {listed}", code=RUNTIME)
    return run, summary


def _go_on(
    folder: RunFolder, options: TextOptions, display: Display, best_effort: BestEffort
) -> tuple[Run, Summary]:
    """Train from the last checkpoint or the start; write summary and report."""
    training = options.training
    vocabulary = Vocabulary.load(folder.path / "vocabulary.json")
    tokens = corpus.open_tokens(folder.cache / "train.npy", vocabulary)
    validation = None
    if (folder.cache / "validation.npy").exists():
        validation = corpus.open_tokens(folder.cache / "validation.npy", vocabulary)
    _check_lengths(options, len(tokens), 0 if validation is None else len(validation))
    start = read_tensors(folder.checkpoint) if folder.checkpoint.exists() else None

    with _seeded(training), build_fabric(training, folder, start, best_effort) as fabric:
        model = build_model(options, vocabulary)
        prompt = "\n" if "\n" in vocabulary.characters else vocabulary.characters[0]
        job = CharacterJob(model, vocabulary, validation, training.batch_size, prompt)
        streams = Streams(
            tokens,
            batch_size=training.batch_size,
            seq_len=training.seq_len,
            random_boundaries=training.random_boundaries,
            seed=training.seed,
        )
        if start is None and folder.samples.exists():
            shutil.rmtree(folder.samples)

        parameters = sum(p.numel() for p in model.parameters())

        def report(exact: float | None = None) -> None:
            write = functools.partial(
                write_report,
                folder,
                asdict(options),
                unit="character",
                exact=exact,
                parameters=parameters,
            )
            best_effort(folder.report, write)

        loop = Training(job, streams, training, folder, fabric, display, best_effort, start, report)
        display.note(
            f"{folder.path}: {len(tokens):,} characters to train on, "
            f"{0 if validation is None else len(validation):,} to validate, "
            f"{len(vocabulary) - 1} different; {parameters:,} parameters"
            + (f"; going on from step {loop.position.step}" if start else "")
        )
        position = loop.run()

    run = Run(folder.path, fabric.device.type)
    final = None
    if validation is not None and loop.stopped_by is None:
        display.note(f"computing the final score on {len(validation):,} characters")
        with _seeded(training):
            final = score(
                run.model,
                validation,
                streams=default_streams(len(validation)),
                device=run.device,
            )
    summary = Summary(
        run=str(folder.path),
        steps=position.step,
        epochs=position.epoch,
        training_seconds=position.seconds,
        validation_seconds=position.validation_seconds,
        val_nats=final.nats if final else position.best,
        val_bits=final.bits if final else position.best and position.best / math.log(2),
        val_streams=final.streams if final else None,
        val_unknown=final.unknown if final else None,
        best_step=position.best_step,
        parameters=parameters,
        stopped_by=loop.stopped_by,
    )
    folder.write(folder.summary, (json.dumps(asdict(summary), indent=1) + "\n").encode())
    report(final.nats if final else None)
    return run, summary


@contextlib.contextmanager
def _seeded(training: TrainingOptions) -> Iterator[None]:
    """Seed torch and set its threads for the block, then put back what the caller had."""
    with threads_kept(), torch.random.fork_rng(devices=[]):
        if training.threads:
            torch.set_num_threads(training.threads)
        torch.manual_seed(training.seed)
        yield


def parse_files(data: str | Path | Sequence[str | Path]) -> tuple[str, ...]:
    """One or several files as text, for the options."""
    if isinstance(data, str | Path):
        return (str(data),)
    return tuple(str(name) for name in data)
