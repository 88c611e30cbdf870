"""A trained tagger, ready for use."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from unrolled.errors import UserError
from unrolled.ranges import shown
from unrolled.training.run_folder.checkpoint import load_best
from unrolled.training.run_folder.folder import RunFolder
from unrolled.training.task import Evaluation

from .baseline import Baseline
from .data import model_tags
from .decoding import Tagging
from .network import make_decoder, read_forms
from .options import EvaluateOptions, PredictOptions, TagOptions
from .reading import read_sentences
from .report import Predictions, evaluation
from .sentences import Columns, Sentence
from .texts import tokenise
from .writing import write_sentence

BASELINE = "baseline.crfsuite"


class TagPredictor:
    """The best model of a run.

    Args:
        options: What it was trained with.
        folder: The run.
        device: Where to put the model.

    Attributes:
        options: What it was trained with.
        tags: The tags it knows.
        decoder: The model and its vocabularies.

    Raises:
        UserError: Something in the run is corrupt, or it has no weights yet.
    """

    def __init__(
        self, options: TagOptions, folder: RunFolder, device: torch.device | str = "cpu"
    ) -> None:
        self.options = options
        self.decoder = make_decoder(options, folder)
        self.tags = self.decoder.tags
        load_best(self.decoder.model, folder, device)
        self._forms = read_forms(folder)
        self._baseline = folder.path / BASELINE

    def predict(
        self, items: Iterable[Any], options: PredictOptions | None = None, **choices: Any
    ) -> Iterator[dict[str, Any]]:
        """Tags of sentences, in order and in constant memory.

        Some hundred sentences are read ahead, so that those of similar length are tagged side by
        side.

        Args:
            items: Texts, one sentence each; or lists of tokens.
            options: Threshold and more.
            **choices: The same by name: ``threshold=0.5``.

        Yields:
            For each item ``tokens``, ``tags`` in the scheme of the training files, ``confidence``
            of each tag and ``spans``: their ``label``, first and last token, ``confidence`` (the
            exact probability of the span, neither longer nor shorter), and in a text the
            characters from ``start`` to before ``end``. With ``nbest``, ``alternatives`` with
            ``tags``, ``spans`` and the ``probability`` of the whole sequence.

        Raises:
            UserError: An item is of another kind.
        """
        options = replace(options or PredictOptions(), **choices)
        sentences = (self._sentence(item, number) for number, item in enumerate(items, start=1))
        for sentence, tagging in self._tagged(sentences, options, confidence=True):
            yield self._record(sentence, tagging)

    def predict_files(
        self, files: Sequence[str | Path], options: PredictOptions | None = None
    ) -> Iterator[Mapping[str, Any] | str]:
        """Sentences of files with their predicted tags, in the form of the file.

        Columns get one column more; JSON lines and texts become objects as `predict` gives them.

        Args:
            files: Of any form that training reads, tags or none; or text, a sentence a line; ``-``
                for standard input.
            options: Threshold and more.

        Raises:
            UserError: A file cannot be read.
        """
        options = options or PredictOptions()
        data = replace(
            self.options.data,
            data=(),
            val_data=(),
            format=options.format,
            unit=self.tags.unit,
            strict=False,
        )
        if options.token_column is not None:
            data = replace(data, token_column=options.token_column, tag_column=None)
        names = [str(name) for name in files]
        sentences = read_sentences(names, data, tagged=False, unit=self.tags.unit)
        for sentence, tagging in self._tagged(sentences, options, confidence=True):
            if options.nbest > 1 or not isinstance(sentence.source, Columns):
                yield self._record(sentence, tagging)
            else:
                yield self._written(sentence, tagging)

    def evaluate(
        self, files: Sequence[str | Path], options: EvaluateOptions | None = None
    ) -> Evaluation:
        """How good it is on files with tags, beside the cheap method.

        Args:
            files: Of the form that training read.
            options: Threshold and more.

        Raises:
            UserError: A file cannot be read, or has no tags.
        """
        options = options or EvaluateOptions()
        data = replace(self.options.data, data=(), val_data=(), unit=self.tags.unit)
        names = [str(name) for name in files]
        sentences = list(read_sentences(names, data, unit=self.tags.unit))
        tokens = [sentence.tokens for sentence in sentences]
        true = [model_tags(sentence, self.tags.source) for sentence in sentences]
        taggings = list(self.decoder.decode(tokens, confidence=True, threshold=options.threshold))
        notes, cheap = [], None
        if options.baseline and self._baseline.exists():
            try:
                method = Baseline(
                    self._baseline,
                    self.tags.tags,
                    character_level=self.tags.unit == "character",
                )
                cheap = [method.predict(one) for one in tokens]
            except UserError as error:
                notes.append(f"Without the cheap method: {error}.")
        found = Predictions(tokens, true, taggings, [one.place for one in sentences])
        return evaluation(found, self.tags, self._forms, cheap, notes)

    # Parts ----------------------------------------------------------------------------------

    def _tagged(
        self, sentences: Iterable[Sentence], options: PredictOptions, *, confidence: bool
    ) -> Iterator[tuple[Sentence, Tagging]]:
        read, again = itertools.tee(sentences)
        taggings = self.decoder.decode(
            (sentence.tokens for sentence in read),
            confidence=confidence,
            nbest=options.nbest,
            threshold=options.threshold,
        )
        return zip(again, taggings, strict=True)

    def _written(self, sentence: Sentence, tagging: Tagging) -> str | Mapping[str, Any]:
        return write_sentence(
            sentence, tagging.tags, self.tags.source, confidence=tagging.confidence
        )

    def _record(self, sentence: Sentence, tagging: Tagging) -> dict[str, Any]:
        """A sentence with its tags as an object, whatever it was read from."""
        bare = sentence
        if isinstance(sentence.source, Columns):
            bare = replace(sentence, source=None)
        record = dict(
            _object(
                write_sentence(bare, tagging.tags, self.tags.source, confidence=tagging.confidence)
            )
        )
        if tagging.others:
            every = [(tagging.tags, tagging.probability), *tagging.others]
            record["alternatives"] = [
                self._alternative(bare, tags, probability) for tags, probability in every
            ]
        return record

    def _alternative(
        self, sentence: Sentence, tags: list[str], probability: float
    ) -> dict[str, Any]:
        record = _object(write_sentence(sentence, tags, self.tags.source))
        kept = {name: record[name] for name in ("tags", "spans") if name in record}
        return {"probability": round(probability, 6), **kept}

    def _sentence(self, item: Any, number: int) -> Sentence:
        """A text or a list of tokens as a sentence.

        Raises:
            UserError: It is neither.
        """
        place = f"item {number}"
        if isinstance(item, Sentence):
            return item
        if isinstance(item, str):
            offsets = tokenise(item, self.tags.unit)
            tokens = tuple(item[start:end] for start, end in offsets)
            return Sentence(tokens, None, tuple(offsets), place, number, text=item)
        if isinstance(item, Sequence) and all(isinstance(one, str) and one for one in item):
            return Sentence(tuple(item), None, None, place, number)
        raise UserError(f"{place}: expected a text or a list of tokens, got {shown(item)}")


def _object(written: str | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(written, str):
        raise TypeError("expected an object, got lines of columns")
    return written
