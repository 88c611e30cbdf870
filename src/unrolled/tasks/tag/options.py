"""Options of the tagging task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from unrolled.errors import UserError
from unrolled.ranges import SHARE, SIZE, Range
from unrolled.tasks.recurrent import RecurrentOptions
from unrolled.training.options import RATE, CheckedOptions, TrainingOptions

COLUMN = Range(1, 1000)
"""Numbers of columns, the first is 1."""


@dataclass(frozen=True)
class DataOptions(CheckedOptions):
    """Tagged sentences and the form of their files.

    Attributes:
        data: Files of tagged sentences: CoNLL columns (a token a line, a blank line after a
            sentence) or JSON lines (tokens and tags, or text and spans).
        val_data: Files to validate on, instead of a part of --data.
        val_fraction: Share of the sentences, drawn at random, kept for validation; a document
            stays whole.
        format: Form of the files; text, a sentence a line, only to predict. [default: seen from
            each file]
        separator: What stands between columns; whitespace is any number of spaces and tabs.
            [default: seen from each file]
        token_column: Column of the tokens, from 1. [default: the first that is no number of
            the line]
        tag_column: Column of the tags, from 1. [default: the last; of ten columns of CoNLL-U,
            the fourth]
        scheme: How tags mark spans; plain where each tag stands for itself, such as parts of
            speech. [default: seen from the tags]
        unit: Tokens that a text is cut into. [default: characters where no token to train on is
            longer than one, else words]
        strict: Refuse tags that do not follow their scheme, such as I-PER after O, instead of
            reading them as the CoNLL evaluation does.
    """

    data: tuple[str, ...] = ()
    val_data: tuple[str, ...] = ()
    val_fraction: Annotated[float, SHARE] = 0.1
    format: Literal["columns", "jsonl", "text"] | None = None
    separator: Literal["whitespace", "tab", "space"] | None = None
    token_column: Annotated[int | None, COLUMN] = None
    tag_column: Annotated[int | None, COLUMN] = None
    scheme: Literal["plain", "io", "iob1", "iob2", "bioes", "bilou", "bmes"] | None = None
    unit: Literal["word", "character"] | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value is outside its range, or two columns are the same.
        """
        super().__post_init__()
        if self.tag_column is not None and self.tag_column == self.token_column:
            raise UserError(
                f"--tag-column {self.tag_column}: expected another column than --token-column"
            )


SIZE_OR_NONE = Range(0, 65536)
"""Sizes of vectors, 0 for none."""


@dataclass(frozen=True)
class ModelOptions(RecurrentOptions):
    """The model: features of tokens, recurrent layers, a conditional random field.

    Attributes:
        cell: Recurrent cell, as lstm, gru, rnn, slstm or mingru; or FILE.py:CLASS for your own.
        hidden_size: Units of each recurrent layer and direction.
        bidirectional: Also read every sentence from its end.
        dropout: Share of values dropped between and after the recurrent layers.
        output: Score whole sequences of tags, or each token by itself.
        word_size: Size of a word's vector, or of a character's with --unit character.
        min_count: Leave out words seen more rarely; they become one unknown.
        lower: Look words up in lower case.
        word_dropout: Share of words taken for unknown while training.
        shape_size: Size of the vector of a token's shape, such as Xxxx or dd:dd; 0 for none.
        affixes: Longest prefix and suffix that have a vector; 0 for none. [default: 4 for words,
            0 for characters]
        affix_size: Size of an affix's vector.
        ngrams: Longest n-gram of tokens around each that has a vector; 1 for none. [default: 1 for
            words, 3 for characters]
        ngram_size: Size of an n-gram's vector.
        character_layer: Layer over the characters of a word. [default: cnn for words, none for
            characters]
        character_size: Size of the vector of a word's character.
        character_features: Filters or units of the layer over characters.
        character_dropout: Share of values dropped before it.
        input_dropout: Share of values dropped before the recurrent layers.
        locked_dropout: Share of features dropped before and after the recurrent layers, the same
            ones in a whole sentence.
        span_bias: Nats added to the score of each span before the best tags are sought: above 0
            more spans are found and fewer of them are right. Probabilities are those without it.
        sparse_features: Add scores of hand-made features (the word and its neighbours, their shapes
            and affixes, and pairs of them) to those of the recurrent layers.
        sparse_dropout: Share of these features dropped at each token.
        vectors: File of word vectors as text (word2vec, GloVe or fastText): read once, kept with
            the run, and not changed by training.
        lm: Finished run of the text task on plain text of the language, as --lm runs/book; its
            states at the ends of tokens become features. It is kept with the run, and not trained.
    """

    cell: str = "lstm"
    hidden_size: Annotated[int, SIZE] = 128
    bidirectional: bool = True
    dropout: Annotated[float, SHARE] = 0.3
    output: Literal["crf", "softmax"] = "crf"
    word_size: Annotated[int, SIZE] = 100
    min_count: Annotated[int, Range(1, 10**9)] = 1
    lower: bool = True
    word_dropout: Annotated[float, SHARE] = 0.3
    shape_size: Annotated[int, SIZE_OR_NONE] = 16
    affixes: Annotated[int | None, Range(0, 16)] = None
    affix_size: Annotated[int, SIZE] = 16
    ngrams: Annotated[int | None, Range(1, 8)] = None
    ngram_size: Annotated[int, SIZE] = 32
    character_layer: Literal["cnn", "lstm", "none"] | None = None
    character_size: Annotated[int, SIZE] = 32
    character_features: Annotated[int, SIZE] = 64
    character_dropout: Annotated[float, SHARE] = 0.2
    input_dropout: Annotated[float, SHARE] = 0.0
    locked_dropout: Annotated[float, SHARE] = 0.3
    span_bias: Annotated[float, Range(-100, 100)] = 0.0
    sparse_features: bool = False
    sparse_dropout: Annotated[float, SHARE] = 0.5
    vectors: str | None = None
    lm: str | None = None

    def character_layer_of(self, unit: str) -> Literal["cnn", "lstm", "none"]:
        """The layer over characters: none where tokens are characters themselves."""
        return self.character_layer or ("none" if unit == "character" else "cnn")

    def affixes_of(self, unit: str) -> int:
        """Longest prefix and suffix."""
        if self.affixes is not None:
            return self.affixes
        return 0 if unit == "character" else 4

    def ngrams_of(self, unit: str) -> int:
        """Longest n-gram of tokens."""
        return self.ngrams or (3 if unit == "character" else 1)


@dataclass(frozen=True)
class TagTraining(TrainingOptions):
    """How to train a tagger.

    Attributes:
        batch_size: Sentences of an update.
        lr: Highest learning rate.
        weight_decay: Weight decay, on weight matrices only (never on biases or embeddings).
        ema: Decay of a moving average of the weights, used for validation; 0 for none.
        max_epochs: Stop after so many passes over the data. [default: 20]
        swap_spans: Share of the spans in whose place another one of the same type is put, other
            ones in each epoch: for small data.
        baseline: Train a conditional random field on hand-made features at the end, too, and put
            it beside the model in the report; it needs python-crfsuite.
    """

    batch_size: Annotated[int, SIZE] = 32
    lr: Annotated[float, RATE] = 4e-3
    weight_decay: Annotated[float, Range(0, 1e38)] = 0.01
    warmup: Annotated[float, SHARE] = 0.05
    ema: Annotated[float, SHARE] = 0.99
    swap_spans: Annotated[float, Range(0, 1)] = 0.0
    baseline: bool = True

    @property
    def epochs(self) -> int | None:
        """``max_epochs``, or 20 where no limit at all was given."""
        unlimited = self.max_epochs is None and self.max_steps is None and self.max_time is None
        return 20 if unlimited else self.max_epochs


@dataclass(frozen=True)
class TagOptions:
    """Everything about one run of the tagging task; the sections of its ``options.toml``.

    Attributes:
        task: Name of the task.
        data: Which sentences to read.
        model: The model.
        training: How to train.
    """

    task: Literal["tag"] = "tag"
    data: DataOptions = field(default_factory=DataOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    training: TagTraining = field(default_factory=TagTraining)


@dataclass(frozen=True)
class PredictOptions(CheckedOptions):
    """How sentences are tagged.

    Attributes:
        threshold: Leave out spans whose probability is below this.
        nbest: Sequences of tags for each sentence, the likeliest first; from 2 on the output is
            JSON.
        format: Form of the files; text is a sentence a line. [default: seen from each file]
        token_column: Column of the tokens, from 1. [default: as in training, or the only one]
    """

    threshold: Annotated[float, Range(0, 1)] = 0.0
    nbest: Annotated[int, Range(1, 100)] = 1
    format: Literal["columns", "jsonl", "text"] | None = None
    token_column: Annotated[int | None, COLUMN] = None


@dataclass(frozen=True)
class EvaluateOptions(CheckedOptions):
    """How a tagger is measured.

    Attributes:
        threshold: Leave out spans whose probability is below this.
        baseline: Measure the cheap method, too, if the run has it.
    """

    threshold: Annotated[float, Range(0, 1)] = 0.0
    baseline: bool = True
