"""A trained run, ready for use."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from unrolled.errors import UserError
from unrolled.tasks.text import corpus
from unrolled.tasks.text.generate import generate
from unrolled.tasks.text.model import CharacterModel
from unrolled.tasks.text.options import ScoringOptions, TextOptions
from unrolled.tasks.text.score import Score, default_streams, score
from unrolled.tasks.text.vocabulary import Vocabulary
from unrolled.training.device import choose_device
from unrolled.training.options import read_options
from unrolled.training.run_folder.checkpoint import load_weights, read_tensors, under
from unrolled.training.run_folder.folder import RunFolder


class Run:
    """The best model of a run, and what can be done with it.

    Args:
        path: The run's folder.
        device: Where to put the model: ``cpu``, ``cuda``, ``mps``, ``auto``.

    Attributes:
        folder: Paths of the run.
        options: What it was trained with.
        vocabulary: The characters it knows.
        model: The model, in eval mode.

    Raises:
        UserError: The folder is not a run, something in it is corrupt, or it has no weights yet.
    """

    def __init__(self, path: Path | str, device: str = "cpu") -> None:
        self.folder = RunFolder.existing(path)
        self.device = torch.device(choose_device(device))
        self.options = read_options(TextOptions, self.folder.options)
        self.vocabulary = Vocabulary.load(self.folder.path / "vocabulary.json")
        with torch.random.fork_rng(devices=[]):  # the fresh weights are drawn for nothing
            self.model = build_model(self.options, self.vocabulary)
        load_weights(self.model, *self._weights())
        self.model.to(self.device).eval()

    def _weights(self) -> tuple[dict[str, torch.Tensor], Path]:
        """The best weights; those of the checkpoint if nothing was validated yet."""
        if os.path.lexists(self.folder.weights):  # even if it leads nowhere
            return read_tensors(self.folder.weights)[0], self.folder.weights
        if self.folder.checkpoint.exists():
            tensors = read_tensors(self.folder.checkpoint)[0]
            return under(tensors, "model") | under(tensors, "average"), self.folder.checkpoint
        raise UserError(f"{self.folder.path}: has no weights yet; train it with --resume")

    def stream(
        self,
        prompt: str = "",
        *,
        length: int = 500,
        temperature: float = 0.8,
        top_k: int = 0,
        seed: int = 0,
    ) -> Iterator[str]:
        """Characters that continue the prompt, one by one; see ``generate.generate``."""
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
        self, data: Path | str | Sequence[Path | str], *, streams: int | None = None
    ) -> Score:
        """Score text files, read one after another as one text.

        Args:
            data: One or several files.
            streams: Streams to cut the text in. One is exact; more are faster, each begins with
                1024 uncounted characters of context. Default: one up to a million characters,
                beyond that one for each million.

        Raises:
            UserError: A file cannot be read or is not text, or there are fewer than two characters.
        """
        ScoringOptions(streams)
        files = [Path(data)] if isinstance(data, Path | str) else [Path(d) for d in data]
        with tempfile.TemporaryDirectory(prefix="unrolled-") as folder:
            cache = Path(folder) / "tokens.npy"
            length = corpus.count(files).length
            if length < 2:
                raise UserError(f"{files[0]}: expected at least 2 characters, got {length}")
            corpus.write_tokens(files, self.vocabulary, [(cache, length)])
            tokens = corpus.open_tokens(cache, self.vocabulary)
            return score(
                self.model,
                tokens,
                streams=streams or default_streams(length),
                device=self.device,
            )


def build_model(options: TextOptions, vocabulary: Vocabulary) -> CharacterModel:
    """The model of some options, with fresh weights.

    Raises:
        UserError: It does not fit into memory.
    """
    options.model.check_memory(len(vocabulary))
    try:
        return CharacterModel(options.model, len(vocabulary))
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and not re.search("alloc|overflow", str(error)):
            raise
        raise UserError(
            f"--hidden-size {options.model.hidden_size} --num-layers {options.model.num_layers}: "
            "the model does not fit into memory"
        ) from error
