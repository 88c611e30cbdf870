"""Vocabularies of the text task: characters, words, subwords."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from unrolled.tasks.text.tokens.characters import Characters as Characters
from unrolled.tasks.text.tokens.subwords import Subwords as Subwords
from unrolled.tasks.text.tokens.vocabulary import Vocabulary as Vocabulary
from unrolled.tasks.text.tokens.words import Words as Words

Kind = Literal["characters", "words", "subwords"]

KINDS: dict[Kind, type[Characters | Words | Subwords]] = {
    "characters": Characters,
    "words": Words,
    "subwords": Subwords,
}


def open_vocabulary(kind: Kind, folder: Path) -> Vocabulary:
    """The vocabulary of a run.

    Args:
        kind: Kind of its tokens.
        folder: The run's folder.

    Raises:
        UserError: Its file is missing or corrupt, or it needs a package that is not installed.
    """
    one = KINDS[kind]
    return one.load(folder / one.file)
