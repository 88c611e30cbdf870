"""A trained model of text, ready for use."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from unrolled.errors import UserError
from unrolled.tasks.text import corpus
from unrolled.tasks.text.beside import Beside, recorded_score
from unrolled.tasks.text.cache import Cached
from unrolled.tasks.text.comparison import Comparison, Recorded
from unrolled.tasks.text.dynamic import Dynamic, typical_gradients
from unrolled.tasks.text.generate import generate
from unrolled.tasks.text.model import build_model
from unrolled.tasks.text.options import PromptOptions, ScoringOptions, TextOptions, WritingOptions
from unrolled.tasks.text.reading import read, read_lines, sources
from unrolled.tasks.text.score import OpenReader, Reader, Score, default_streams, score
from unrolled.tasks.text.tokens import Vocabulary, open_vocabulary
from unrolled.tasks.text.verdict import compared, estimates
from unrolled.training.run_folder.checkpoint import load_best
from unrolled.training.run_folder.folder import RunFolder
from unrolled.training.task import Evaluation

Tokens = np.ndarray[Any, np.dtype[Any]]


class TextPredictor:
    """The best model of a run, and what can be done with it.

    Args:
        options: What it was trained with.
        folder: The run.
        device: Where to put the model.

    Attributes:
        folder: Paths of the run.
        options: What it was trained with.
        vocabulary: Its tokens.
        model: The model, in eval mode.

    Raises:
        UserError: Something in the run is corrupt, or it has no weights yet.
    """

    def __init__(self, options: TextOptions, folder: RunFolder, device: torch.device) -> None:
        self.folder, self.options, self.device = folder, options, device
        self.vocabulary = open_vocabulary(options.data.tokens, folder.path)
        self.model = build_model(options.model, len(self.vocabulary), folder.path)
        load_best(self.model, folder, device)

    def predict(
        self, items: Iterable[str], options: PromptOptions | None = None
    ) -> Iterator[dict[str, str]]:
        """Prompts and what the model writes after each: ``{"prompt": …, "text": …}``."""
        options = options or PromptOptions()
        for prompt in items:
            text = self.generate(
                prompt,
                length=options.length,
                temperature=options.temperature,
                top_k=options.top_k,
                seed=options.seed,
            )
            yield {"prompt": prompt, "text": text}

    def stream(
        self,
        prompt: str = "",
        *,
        length: int = 500,
        temperature: float = 0.8,
        top_k: int = 0,
        seed: int = 0,
    ) -> Iterator[str]:
        """Text that continues the prompt, token by token; see ``generate.generate``."""
        return generate(
            self.model,
            self.vocabulary,
            prompt,
            length=length,
            temperature=temperature,
            top_k=top_k,
            seed=seed,
            device=self.device,
        )

    def generate(
        self,
        prompt: str = "",
        *,
        length: int = 500,
        temperature: float = 0.8,
        top_k: int = 0,
        seed: int = 0,
    ) -> str:
        """Text that continues the prompt, without the prompt; see ``generate.generate``."""
        return "".join(
            self.stream(prompt, length=length, temperature=temperature, top_k=top_k, seed=seed)
        )

    def evaluate(
        self,
        data: Path | str | Sequence[Path | str] | None = None,
        options: ScoringOptions | None = None,
        **choices: Any,
    ) -> Score:
        """Score text files, read one after another as one text.

        With ``combine`` it is the score of network and n-gram model together.

        Args:
            data: One or several files, folders or patterns; None for the run's own test part.
            options: Streams to cut the text in, dynamic evaluation, a cache.
            **choices: The same by name: ``streams=8``. One stream is exact; more are faster, each
                begins with 1024 uncounted tokens of context. Default: one up to a million tokens,
                beyond that one for each million.

        Raises:
            UserError: A file cannot be read or is not text, there are fewer than two tokens, a
                choice is out of range, or dynamic evaluation finds no training text in the run; or
                nothing is given and the run has no test part.
        """
        options = replace(options or ScoringOptions(), **choices)
        comparison = self.compare(data, replace(options, baseline=False))
        return comparison.scores[comparison.used]

    def compare(
        self,
        data: Path | str | Sequence[Path | str] | None = None,
        options: ScoringOptions | None = None,
        **choices: Any,
    ) -> Comparison:
        """Scores of text files by network, n-gram model and both together.

        Args:
            data: One or several files; None for the run's own test part.
            options: As for `evaluate`, and whether to measure the n-gram model, too.
            **choices: The same by name.

        Raises:
            UserError: As `evaluate`, or a file beside the network is corrupt.
        """
        options = replace(options or ScoringOptions(), **choices)
        beside = self._beside(baseline=options.baseline)
        with self._measured(data, options) as (score, recorded, tokens):
            return beside.compare(score, recorded, tokens)

    def nats(
        self,
        data: Path | str | Sequence[Path | str] | None = None,
        options: ScoringOptions | None = None,
        **choices: Any,
    ) -> dict[str, npt.NDArray[np.float64]]:
        """Nats of every token of text files but the first, by method; see `compare`.

        Raises:
            UserError: As `compare`.
        """
        options = replace(options or ScoringOptions(), **choices)
        beside = self._beside(baseline=options.baseline)
        with self._measured(data, options) as (_, recorded, tokens):
            methods = beside.methods(recorded, tokens)
            parts = zip(*(nats for _, _, nats in methods.blocks()), strict=True)
            return dict(zip(methods.names, map(np.concatenate, parts), strict=True))

    def _beside(self, *, baseline: bool) -> Beside:
        training = self.options.training
        return Beside.load(training, self.folder, self.vocabulary, baseline=baseline)

    @contextmanager
    def _measured(
        self, data: Path | str | Sequence[Path | str] | None, options: ScoringOptions
    ) -> Iterator[tuple[Score, Recorded, Tokens]]:
        """The network's score of text files, its nats of every token, and the tokens."""
        with self._part(data) as part:
            usual = 1 if options.dynamic else default_streams(len(part.tokens))
            with recorded_score(
                self._reader(options),
                part,
                self.vocabulary,
                streams=options.streams or usual,
                device=self.device,
                chunk=options.dynamic_steps if options.dynamic else None,
            ) as (score, recorded):
                yield score, recorded, part.tokens

    @contextmanager
    def _part(self, data: Path | str | Sequence[Path | str] | None) -> Iterator[corpus.Part]:
        """The tokens of text files, or of the run's own test part."""
        if data is None:
            part = corpus.open_part(self.folder.cache, corpus.TEST, self.vocabulary)
            if part is None:
                raise UserError(
                    "--data: expected at least one file to measure on, got none, and the run has "
                    "no test part"
                )
            yield part
            return
        files = sources([data] if isinstance(data, Path | str) else data)
        with tempfile.TemporaryDirectory(prefix="unrolled-") as folder:
            cache = Path(folder) / "tokens.npy"
            length = corpus.count(read(files)).length
            corpus.write_tokens(read(files), self.vocabulary, [(cache, length)])
            tokens = corpus.open_tokens(cache, self.vocabulary)
            if len(tokens) < 2:
                raise UserError(
                    f"{files[0].name}: expected at least 2 {self.vocabulary.unit}s, "
                    f"got {len(tokens)}"
                )
            yield corpus.part_of(tokens, length, self.vocabulary)

    def _reader(self, options: ScoringOptions) -> Reader:
        """The model, or what learns and remembers in its place.

        Raises:
            UserError: The run has no training text, which dynamic evaluation needs.
        """
        reader: OpenReader = self.model
        if options.dynamic:
            text = corpus.open_tokens(self.folder.cache / "train.npy", self.vocabulary)
            usual = typical_gradients(self.model, text, options.dynamic_steps, self.device)
            reader = Dynamic(self.model, options.dynamic, options.dynamic_decay, usual)
        if options.cache:
            return Cached(reader, options.cache, options.cache_weight, options.cache_flatness)
        return reader


def score_part(model: Reader, part: corpus.Part, vocabulary: Vocabulary, **how: Any) -> Score:
    """Score of a part of a text; ``how`` as for `score.score`."""
    return score(model, part.tokens, characters=part.characters, unknown=vocabulary.unknown, **how)


# What the command line calls ----------------------------------------------------------------


def predict(
    predictor: TextPredictor, files: Sequence[str], options: PromptOptions
) -> Iterator[dict[str, str]]:
    """Continue every line of some files."""
    return predictor.predict(_lines(files), options)


def _lines(files: Sequence[str]) -> Iterator[str]:
    """Lines of some files and, for ``-``, of standard input as they come."""
    for name in files:
        if name != "-":
            for source in sources([name]):
                for block in read_lines(*source):
                    yield from block
            continue
        for number, line in enumerate(sys.stdin.buffer, start=1):
            try:
                yield line.decode().removesuffix("\n").removesuffix("\r")
            except UnicodeDecodeError as error:
                raise UserError(f"standard input:{number}: not text in UTF-8") from error


def write(predictor: TextPredictor, files: Sequence[str], options: WritingOptions) -> Iterator[str]:
    """The prompt, and what the model writes after it, token by token."""
    if files:
        raise UserError(f"{files[0]}: expected no file; what to continue is given as --prompt")
    characters = predictor.stream(
        options.prompt,
        length=options.length,
        temperature=options.temperature,
        top_k=options.top_k,
        seed=options.seed,
    )

    def pieces() -> Iterator[str]:
        yield options.prompt
        yield from characters
        yield "\n"

    return pieces()


def evaluate(predictor: TextPredictor, files: Sequence[str], options: ScoringOptions) -> Evaluation:
    """Nats and bits per character of some files, read as one text, or of the run's test part."""
    found = predictor.compare((*files, *options.data) or None, options)
    told = evaluation(found.scores[found.used], predictor.vocabulary, options)
    return compared(told, found, predictor.vocabulary.unit)


def evaluation(
    found: Score,
    vocabulary: Vocabulary,
    options: ScoringOptions | None = None,
    *,
    prefix: str = "",
) -> Evaluation:
    """A score as every task's evaluation is told.

    Args:
        found: The score.
        vocabulary: Its tokens.
        options: How it was made.
        prefix: Put before the metrics' names.
    """
    unit = vocabulary.unit
    whole = f"over {found.characters:,} characters"
    details = {"characters": found.characters}
    if unit != "character":
        whole += (
            f", {found.tokens:,} {unit}s: nats and bits are per character, perplexity per {unit}"
        )
        details[f"{unit}s"] = found.tokens
    notes = [whole]
    if options is not None and options.dynamic:
        notes.append(
            f"dynamic evaluation at rate {options.dynamic:g}: the model learned from every "
            f"{options.dynamic_steps} tokens as soon as it had predicted them"
        )
    if options is not None and options.cache:
        notes.append(
            f"mixed with a cache of the last {options.cache:,} tokens, which weighs "
            f"{options.cache_weight:g}"
        )
    if found.streams > 1:
        notes.append(f"cut into {found.streams} streams, so the score is nearly exact")
    if found.unknown:
        share = "" if unit == "character" else f" ({found.unknown / (found.tokens + 1):.1%})"
        notes.append(
            f"{found.unknown:,} {unit}s{share} are not in the vocabulary and count as unknown"
        )
        if unit != "character":
            notes.append(
                "one unknown stands for many words and is easier to guess than a word: these "
                "numbers cannot be compared with those of other tokens"
            )
    return Evaluation(
        {prefix + name: value for name, value in estimates(found).items()},
        notes=notes,
        details=details | {"unknown": found.unknown, "streams": found.streams},
    )
