"""What a run needs besides its weights: features and vectors, written once, read whenever."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unrolled.errors import UserError
from unrolled.files import open_regular, read_json, write_file
from unrolled.tasks.model_memory import check_memory, within_memory
from unrolled.tasks.recurrent import cell_class, keep_cell
from unrolled.training.run_folder.folder import RunFolder

from .data import TagData, TagSet
from .decoding import Decoder
from .evaluation import forms
from .features import Features, FeatureSizes
from .labels import Labels
from .language_model import FOLDER, LanguageModel, copy_language_model
from .model import Tagger, input_size
from .options import TagOptions
from .vectors import read_vectors

FEATURES = "features.json"
TAGS = "tags.json"
VECTORS = "vectors.npy"
FORMS = "forms.json"


def write_features(options: TagOptions, data: TagData, draft: RunFolder) -> TagOptions:
    """Write features and vectors to a run's folder; keep the user's own cell.

    Returns:
        The options to keep: they name the user's own cell as the run holds it.

    Raises:
        UserError: The vectors cannot be used, or the model fits no memory.
    """
    kept = keep_cell(options.model, draft.path)
    model, unit = options.model, data.tags.unit
    sizes = FeatureSizes(
        lower=model.lower,
        affixes=model.affixes_of(unit),
        ngrams=model.ngrams_of(unit),
        characters=model.character_layer_of(unit) != "none",
        sparse=unit if model.sparse_features else None,
    )
    features = Features.count(
        (sentence.tokens for sentence in data.train), sizes, least=model.min_count
    )
    width = 0
    if model.vectors is not None:
        needed = {token for part in (data.train, data.val) for one in part for token in one.tokens}
        needed |= {token.lower() for token in needed}
        found = read_vectors(Path(model.vectors), needed)
        width = found.values.shape[1]
        features.vectors = {word: number for number, word in enumerate(found.words, 1)}
        rows = np.concatenate([np.zeros((1, width), np.float32), found.values])
        with (draft.path / VECTORS).open("wb") as file:
            np.save(file, rows, allow_pickle=False)
    if model.lm is not None:
        copy = copy_language_model(Path(model.lm), draft)
        width += LanguageModel(copy, spaces=unit == "word").size
    others = sum(features.columns[:-1]) * max(model.word_size, model.affix_size)
    others += sum(map(len, features.ngrams)) * model.ngram_size
    others += len(features.sparse) * len(Labels(data.tags).rules.start)
    check_memory(kept, input_size(model, features, width), others, cell_class(kept, draft.path))
    features.save(draft.path / FEATURES)
    data.tags.save(draft.path / TAGS)
    known = sorted(forms(data.train, data.tags.tags, data.tags.scheme))
    write_file(draft.path / FORMS, json.dumps(known).encode())
    return replace(options, model=kept)


def read_forms(folder: RunFolder) -> set[str] | None:
    """Surface forms of the training data, for the score of unseen ones; None without them.

    Raises:
        UserError: The file is corrupt.
    """
    path = folder.path / FORMS
    if not path.exists():
        return None
    found = read_json(path)
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise UserError(f"{path}: corrupt: expected a list of texts")
    return set(found)


def open_language_model(
    options: TagOptions, folder: RunFolder, tags: TagSet
) -> LanguageModel | None:
    """The character model whose states are features, if there is one.

    Raises:
        UserError: Something in it is corrupt.
    """
    if options.model.lm is None:
        return None
    return LanguageModel(folder.path / FOLDER, spaces=tags.unit == "word")


def make_decoder(options: TagOptions, folder: RunFolder) -> Decoder:
    """The model of a run with fresh weights, and what its numbers stand for.

    Raises:
        UserError: A file of the run is missing or corrupt, the cell may not be executed, or the
            model does not fit into memory.
    """
    features = Features.load(folder.path / FEATURES)
    tags = TagSet.load(folder.path / TAGS)
    language_model = open_language_model(options, folder, tags)
    vectors = _read_rows(folder.path / VECTORS, features) if features.vectors else None
    cell = cell_class(options.model, folder.path)
    with within_memory(options.model):
        model = Tagger(
            options.model,
            features,
            Labels(tags).rules,
            vectors=vectors,
            state_size=language_model.size if language_model else 0,
            cell=cell,
        )
    return Decoder(model, features, tags, language_model, options.model.span_bias)


def _read_rows(path: Path, features: Features) -> Tensor:
    with open_regular(path, 1 << 36) as file:
        try:
            rows = np.load(file, allow_pickle=False)
        except Exception as error:  # numpy's parser of headers raises anything
            raise UserError(f"{path}: corrupt or truncated: {error}") from error
    if rows.dtype != np.float32 or rows.ndim != 2 or len(rows) != len(features.vectors) + 1:
        raise UserError(f"{path}: corrupt: expected a vector for each word")
    return torch.from_numpy(rows)
