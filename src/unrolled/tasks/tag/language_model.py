"""States of a trained character model at the ends of tokens, as features (Akbik et al., 2018).

A character model that has read much plain text knows words and their contexts which a small tagged
data set never shows. It is copied into the run and not trained further.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from unrolled.errors import UserError
from unrolled.tasks.recurrent import as_hx, as_tuple, output_size
from unrolled.training.options import read_options, read_toml
from unrolled.training.run_folder.checkpoint import best_weights
from unrolled.training.run_folder.folder import RunFolder

FOLDER = "language_model"

_CHUNK = 256
"""Characters of each sentence that are read at a time."""

_FILES = ("options.toml", "vocabulary.json", "weights.safetensors", "cell.py")


class LanguageModel:
    """A trained run of the text task that gives features.

    Args:
        path: The run.
        spaces: Whether tokens are words, which spaces part, or characters.

    Attributes:
        size: Features of a token.

    Raises:
        UserError: It is no run of the text task, or something in it is corrupt.
    """

    def __init__(self, path: Path, *, spaces: bool) -> None:
        from unrolled.tasks.text.options import TextOptions
        from unrolled.tasks.text.predictor import TextPredictor

        folder = RunFolder.existing(path)
        name = read_toml(folder.options).get("task")
        if name != "text":
            raise UserError(f"--lm {path}: expected a run of the text task, got one of {name}")
        with torch.random.fork_rng(devices=[]):  # fresh weights are drawn for nothing
            options = read_options(TextOptions, folder.options)
            found = TextPredictor(options, folder, torch.device("cpu"))
        if found.vocabulary.unit != "character":
            raise UserError(
                f"--lm {path}: expected a model of characters, got one of {found.vocabulary.unit}s"
            )
        self._vocabulary = found.vocabulary
        self._embedding: nn.Module = found.model.embedding
        self._recurrent: nn.Module = found.model.recurrent
        self._between = " " if spaces else ""
        self.size = output_size(options.model)

    @torch.no_grad()
    def states(self, sentences: Sequence[Sequence[str]]) -> Tensor:
        """Output at the last character of each token, ``[T, N, size]`` on the CPU; else zero."""
        steps = max(map(len, sentences), default=0)
        found = torch.zeros(steps, len(sentences), self.size, dtype=torch.float32, device="cpu")
        texts = [self._between.join(sentence) for sentence in sentences]
        longest = max(map(len, texts), default=0)
        if not longest:
            return found
        characters = torch.zeros(longest, len(texts), dtype=torch.int64, device="cpu")
        ends: list[tuple[int, int, int]] = []
        for n, (sentence, text) in enumerate(zip(sentences, texts, strict=True)):
            encoded = self._vocabulary.encode(text).astype("int64")
            characters[: len(text), n] = torch.from_numpy(encoded)
            end = -len(self._between)
            for t, token in enumerate(sentence):
                end += len(self._between) + len(token)
                ends.append((end - 1, t, n))
        ends.sort()
        places = torch.tensor(ends, dtype=torch.int64, device="cpu")
        state = None
        for first in range(0, longest, _CHUNK):
            x = self._embedding(characters[first : first + _CHUNK])
            output, after = self._recurrent(x, as_hx(state))
            state = as_tuple(after)
            here = places[(places[:, 0] >= first) & (places[:, 0] < first + _CHUNK)]
            found[here[:, 1], here[:, 2]] = output[here[:, 0] - first, here[:, 2]].float()
        return found


def copy_language_model(path: Path, draft: RunFolder) -> Path:
    """Copy what is needed of a run of the text task into a new run.

    Returns:
        The copy.

    Raises:
        UserError: It is no run, or has no weights yet.
        OSError: The copy cannot be written.
    """
    source = RunFolder.existing(path)
    if not source.weights.exists():
        best_weights(source)  # says what is missing
        raise UserError(f"--lm {path}: has no best weights yet; let its training end")
    target = draft.path / FOLDER
    target.mkdir()
    for name in _FILES:
        if (source.path / name).is_file():
            shutil.copyfile(source.path / name, target / name)
    return target
