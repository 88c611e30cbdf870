"""Writing text, one token at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from unrolled.engine.threads import one_thread
from unrolled.errors import UserError
from unrolled.layers.layer import Layer
from unrolled.tasks.mapped_input import MappedInput
from unrolled.tasks.text.model import TextModel
from unrolled.tasks.text.options import WritingOptions
from unrolled.tasks.text.tokens.vocabulary import UNKNOWN, Vocabulary


def generate(
    model: nn.Module,
    vocabulary: Vocabulary,
    prompt: str,
    *,
    length: int,
    temperature: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Iterator[str]:
    """Text that continues a prompt, each token of it as soon as it is drawn.

    The model reads the prompt once and then steps with its state carried: a token costs the same
    however long the text grows.

    Args:
        model: Called with tokens [T, 1] and a state; returns logits [T, 1, V] and the state.
        vocabulary: Its tokens.
        prompt: What to continue; if empty, a new line.
        length: Characters to write; the last word or subword is written whole.
        temperature: Divides the logits: below 1 more careful, above 1 more daring; 0 always takes
            the likeliest token.
        top_k: Draw among so many likeliest tokens only; 0 for all.
        seed: Seed of the draws.
        device: Where the model is.

    Raises:
        UserError: A number is out of range, or the prompt has characters or words that the model
            does not know.
    """
    WritingOptions(prompt, length, temperature, top_k, seed)
    prompt = prompt.replace("\r\n", "\n").replace("\r", "\n")  # as the corpus was read
    tokens = _tokens(prompt, vocabulary)
    # The checks above run at the call, the model when the first character is asked for.
    return _generate(model, vocabulary, tokens, length, temperature, top_k, seed, device)


def _tokens(prompt: str, vocabulary: Vocabulary) -> npt.NDArray[np.uint32]:
    """Tokens of a prompt.

    Raises:
        UserError: Some of it is unknown.
    """
    if not prompt:
        first = "\n" if not vocabulary.unknown_in("\n") else vocabulary.decode(1)
        return vocabulary.encode(first)
    unknown = vocabulary.unknown_in(prompt)
    if unknown and not vocabulary.unknown_in(f" {prompt}"):
        # A word that was seen within lines only, never at the beginning of one.
        prompt, unknown = f" {prompt}", ""
    if unknown:
        listed = " ".join(
            f"{one!r} (U+{ord(one):04X})" if len(one) == 1 else repr(one) for one in unknown[:10]
        )
        more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
        known = len(vocabulary) - (vocabulary.unknown is not None)
        raise UserError(
            f"--prompt: this model has never seen {listed}{more}; "
            f"it knows {known} {vocabulary.unit}s"
        )
    return vocabulary.encode(prompt)


def _generate(
    model: nn.Module,
    vocabulary: Vocabulary,
    prompt: npt.NDArray[np.uint32],
    length: int,
    temperature: float,
    top_k: int,
    seed: int,
    device: torch.device | str,
) -> Iterator[str]:
    random = torch.Generator().manual_seed(seed)
    tokens = torch.tensor(prompt, dtype=torch.int64, device=device).unsqueeze(1)
    read, write = _reader(model), vocabulary.decoder()
    written = 0
    # A token is a byte at least and a character four at most: it ends whatever is drawn.
    for _ in range(4 * length):
        if written >= length:
            return
        # Entered anew for each character: a generator must not leave its modes on for its caller.
        with torch.inference_mode(), one_thread():
            logits = read(tokens)[-1, 0].float().cpu()
            token = draw(logits, temperature, top_k, random, vocabulary.unknown)
            tokens = torch.full((1, 1), token, dtype=torch.int64, device=device)
        text = write(token)
        written += len(text)
        if text:
            yield text


def _reader(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """The model as a function from the next tokens to their logits, its state carried."""
    if (
        isinstance(model, TextModel)
        and isinstance(model.recurrent, Layer | MappedInput)
        and not model.training
    ):
        stream = model.recurrent.stream()
        return lambda tokens: model.readout.logits(stream.run(model.embedding(tokens)))
    state: tuple[Tensor, ...] | None = None

    def read(tokens: Tensor) -> Tensor:
        nonlocal state
        logits: Tensor
        logits, state = model(tokens, state)
        return logits

    return read


def draw(
    logits: Tensor,
    temperature: float,
    top_k: int,
    random: torch.Generator,
    unknown: int | None = UNKNOWN,
) -> int:
    """Draw a token from logits [V]; never the unknown, where there is one."""
    if unknown is not None:
        logits[unknown] = -math.inf
    if temperature == 0:
        return int(logits.argmax())
    if 0 < top_k < len(logits):
        least = logits.topk(top_k).values[-1]
        logits = logits.masked_fill(logits < least, -math.inf)
    # The largest is subtracted first, so that a small temperature cannot overflow.
    weights = ((logits - logits.max()) / temperature).softmax(0)
    return int(torch.multinomial(weights, 1, generator=random))
