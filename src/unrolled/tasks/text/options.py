"""Options of the text task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from unrolled.errors import UserError
from unrolled.ranges import SEED, SHARE, SIZE, Range
from unrolled.tasks.recurrent import RecurrentOptions
from unrolled.tasks.text.kneser_ney import MOST_ORDER
from unrolled.training.options import RATE, CheckedOptions, TrainingOptions

BYTES = 256
"""Different bytes: the least that subwords are made of."""

LENGTH = Range(0, 10**9)
"""Characters to write."""

TEMPERATURE = Range(1e-6, 1e6, or_zero=True)
"""Logits are divided by it in 32 bits: smaller ones would make numbers that are not finite."""

PENALTY = Range(0, 10**6)
"""Factors of penalties beside the loss."""

VOCABULARY = Range(2, 10**6)
"""Different tokens of a vocabulary."""

_SIZES = {"words": 10_000, "subwords": 2000}
"""Different tokens where no number is given."""


@dataclass(frozen=True)
class DataOptions(CheckedOptions):
    """The text to read, its parts and its tokens.

    Attributes:
        data: Text in UTF-8, read as one text: files, folders (all .txt files in them and below, in
            order of their names), patterns of file names, or - for standard input.
        val_data: Text to validate on, instead of a part of --data.
        val_fraction: Share of the text kept for validation: its end, before the test part.
        test_data: Text to test on, read once when the training has ended.
        test_fraction: Share of the text kept to test on: its very end.
        tokens: Units that the model reads and predicts. Words and subwords need the package
            tokenizers.
        vocabulary_size: Most different tokens. Words beyond the most frequent ones become one
            unknown; subwords are learnt so that nothing is unknown. [default: 10000 words, 2000
            subwords]
        split: Ends of words: blanks and punctuation marks, or blanks alone, as for texts whose
            marks stand between blanks already.
        tokenizer: A tokenizer.json to use for subwords: another run's, or a byte-level one of
            Hugging Face.
    """

    data: tuple[str, ...] = ()
    val_data: tuple[str, ...] = ()
    val_fraction: Annotated[float, SHARE] = 0.1
    test_data: tuple[str, ...] = ()
    test_fraction: Annotated[float, SHARE] = 0.0
    tokens: Literal["characters", "words", "subwords"] = "characters"
    vocabulary_size: Annotated[int | None, VOCABULARY] = None
    split: Literal["marks", "blanks"] = "marks"
    tokenizer: str | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value is outside its range, or two do not go together.
        """
        super().__post_init__()
        held = 0.0 if self.val_data else self.val_fraction
        if held + self.test_fraction >= 1:
            raise UserError(
                f"--test-fraction: nothing is left to train on: --val-fraction {held:g} and "
                f"--test-fraction {self.test_fraction:g} are the whole text"
            )
        if self.test_data and self.test_fraction:
            raise UserError("--test-data and --test-fraction both name a test part; give one")
        if self.vocabulary_size is not None and self.tokens == "characters":
            raise UserError(
                "--vocabulary-size: for --tokens words or subwords; every character is a token"
            )
        if self.split != "marks" and self.tokens != "words":
            raise UserError(f"--split: for --tokens words, got --tokens {self.tokens}")
        if self.tokenizer is not None and self.tokens != "subwords":
            raise UserError(f"--tokenizer: for --tokens subwords, got --tokens {self.tokens}")
        if self.tokenizer is not None and self.vocabulary_size is not None:
            raise UserError("--vocabulary-size: the file of --tokenizer has a size of its own")
        if self.tokens == "subwords" and (self.vocabulary_size or BYTES) < BYTES:
            raise UserError(
                f"--vocabulary-size: expected at least {BYTES} subwords, one for each byte, got "
                f"{self.vocabulary_size}"
            )

    @property
    def size(self) -> int:
        """``vocabulary_size``, or what is usual for the tokens."""
        return self.vocabulary_size or _SIZES[self.tokens]


@dataclass(frozen=True)
class ModelOptions(RecurrentOptions):
    """The model: embedding, recurrent layers, read-out.

    Attributes:
        embedding_size: Size of a token's vector.
        tied: Read out with the embedding's matrix, after a linear map of the output to vectors
            where their sizes differ.
        adaptive_softmax: Read out with an adaptive softmax, which is faster where there are many
            thousands of tokens.
        adaptive_cutoffs: Numbers of tokens at which its clusters end. [default: a fifteenth and a
            fifth of the vocabulary]
        embedding_dropout: Share of values dropped before the recurrent layers.
        locked_dropout: Drop the same values at every step of a chunk: before, between and after
            the recurrent layers.
        word_dropout: Share of the tokens whose vector is dropped wherever they stand in a chunk.
        activation_penalty: Factor of the mean square of the dropped output; its gradient is added
            to the loss's.
        change_penalty: Factor of the mean square of the output's change from step to step; its
            gradient is added to the loss's.
    """

    hidden_size: Annotated[int, SIZE] = 512
    embedding_size: Annotated[int, SIZE] = 64
    tied: bool = False
    adaptive_softmax: bool = False
    adaptive_cutoffs: tuple[int, ...] = ()
    embedding_dropout: Annotated[float, SHARE] = 0.0
    locked_dropout: bool = False
    word_dropout: Annotated[float, SHARE] = 0.0
    activation_penalty: Annotated[float, PENALTY] = 0.0
    change_penalty: Annotated[float, PENALTY] = 0.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value is outside its range, or two do not go together.
        """
        super().__post_init__()
        if self.bidirectional:
            raise UserError("--bidirectional: a text is continued, so its end cannot be read first")
        if self.tied and self.adaptive_softmax:
            raise UserError("--tied and --adaptive-softmax are two read-outs; give one of them")
        if self.adaptive_cutoffs and not self.adaptive_softmax:
            raise UserError("--adaptive-cutoffs: only with --adaptive-softmax")


@dataclass(frozen=True)
class TextTraining(TrainingOptions):
    """How to train a model of text.

    Attributes:
        seq_len: Steps of one chunk: the gradient is cut after so many.
        random_boundaries: Let each epoch cut its chunks at other places.
        sample_length: Length of the sample written at each validation; 0 for none.
        combine: Use network and cheap method together: a weighted mean of their probabilities, for
            scores; text is written by the network alone.
        baseline: Count n-grams of the training text, too, as a cheap method beside the network.
        order: Longest n-grams of the cheap method; fewer for texts of millions of tokens.
            [default: from 3 to 12, as the validation text has it]
    """

    lr: Annotated[float, RATE] = 4e-3
    beta2: Annotated[float, SHARE] = 0.99
    weight_decay: Annotated[float, Range(0, 1e38)] = 0.3
    seq_len: Annotated[int, SIZE] = 64
    random_boundaries: bool = True
    sample_length: Annotated[int, LENGTH] = 300
    combine: bool = False
    baseline: bool = True
    order: Annotated[int | None, Range(1, MOST_ORDER)] = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value is outside its range, or two contradict each other.
        """
        super().__post_init__()
        if self.combine and not self.baseline:
            raise UserError("--combine: needs the cheap method, but --no-baseline leaves it out")
        if self.order is not None and not self.baseline:
            raise UserError("--order: of the cheap method, but --no-baseline leaves it out")


@dataclass(frozen=True)
class TextOptions:
    """Everything about one run of the text task; the sections of its ``options.toml``.

    Attributes:
        task: Name of the task.
        data: The text, its parts and its tokens.
        model: The model.
        training: How to train.
    """

    task: Literal["text"] = "text"
    data: DataOptions = field(default_factory=DataOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    training: TextTraining = field(default_factory=TextTraining)


@dataclass(frozen=True)
class WritingOptions(CheckedOptions):
    """How a model writes.

    Attributes:
        prompt: What to continue; if empty, a new line.
        length: Characters to write; the last word or subword is written whole.
        temperature: Below 1 more careful, above 1 more daring; 0 always takes the likeliest.
        top_k: Choose among so many likeliest tokens only; 0 for all.
        seed: Seed of the choices.
    """

    prompt: str = ""
    length: Annotated[int, LENGTH] = 500
    temperature: Annotated[float, TEMPERATURE] = 0.8
    top_k: Annotated[int, Range(0, 2**31 - 1)] = 0
    seed: Annotated[int, SEED] = 0


@dataclass(frozen=True)
class ScoringOptions(CheckedOptions):
    """How a text is scored.

    Attributes:
        data: Text to measure on, the same as FILE: files, folders, patterns or -. [default: the
            test part that the run has kept]
        streams: Cut the text in so many streams, which is faster; each begins with 1024 tokens of
            context that are not counted. [default: 1, or one per million tokens]
        dynamic: Learning rate of dynamic evaluation, in which the model learns from the text while
            it reads it; 0 for none.
        dynamic_steps: Tokens that are read before each update of dynamic evaluation.
        dynamic_decay: Share of the way back to the trained weights at each update.
        cache: Tokens that a neural cache remembers, with the output before each; 0 for none.
        cache_weight: Weight of the cache's predictions beside the model's.
        cache_flatness: Factor of the likeness of outputs; the lower, the more alike are the weights
            of what the cache remembers.
        baseline: Measure the cheap method, too, if the run has one.
    """

    data: tuple[str, ...] = ()
    streams: Annotated[int | None, SIZE] = None
    dynamic: Annotated[float, Range(0, 10**6)] = 0.0
    dynamic_steps: Annotated[int, SIZE] = 20
    dynamic_decay: Annotated[float, Range(0, 1)] = 0.005
    cache: Annotated[int, Range(0, 65536)] = 0
    cache_weight: Annotated[float, SHARE] = 0.1
    cache_flatness: Annotated[float, Range(0, 10**6)] = 0.3
    baseline: bool = True

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: A value is outside its range, or two do not go together.
        """
        super().__post_init__()
        if self.dynamic and self.streams not in (None, 1):
            raise UserError(
                f"--streams: --dynamic learns from the text in its order; expected 1, got "
                f"{self.streams}"
            )


@dataclass(frozen=True)
class PromptOptions(CheckedOptions):
    """How a model continues many prompts, one a line.

    Attributes:
        length: Characters to write after each; the last word or subword is written whole.
        temperature: Below 1 more careful, above 1 more daring; 0 always takes the likeliest.
        top_k: Choose among so many likeliest tokens only; 0 for all.
        seed: Seed of the choices, the same for every prompt.
    """

    length: Annotated[int, LENGTH] = 100
    temperature: Annotated[float, TEMPERATURE] = 0.8
    top_k: Annotated[int, Range(0, 2**31 - 1)] = 0
    seed: Annotated[int, SEED] = 0
