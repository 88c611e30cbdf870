"""How well a model predicts a text: nats of every token, block by block, and their sum.

Every token but the first, which nothing precedes, is predicted once, from everything before it:
the state is carried from the first token to the last. With one stream that is meant to the
letter. With several, each stream but the first begins in the middle of the text; it first reads the
``warm_up`` tokens before its own, without counting them, so that its state has seen at least
so much context.

What is mixed with a model's predictions needs the target's probability only, and so is combined
with the nats of each block: ``score_of(map(mixed, predictions(model, tokens)), tokens)``.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from unrolled.engine.threads import one_thread
from unrolled.tasks.text.model import State
from unrolled.tasks.text.tokens.vocabulary import UNKNOWN
from unrolled.training.processes import ALONE, Processes

Tokens = np.ndarray[Any, np.dtype[Any]]

EXACT_LIMIT = 1_000_000
"""Longest text that is scored as one stream by default."""

WARM_UP = 1024
"""Tokens that each stream but the first reads before it counts."""


class Reader(Protocol):
    """A model that predicts the next token of some streams."""

    def nats(
        self, tokens: Tensor, targets: Tensor, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Nats of each target, [T, N], and the state after; its tensors are [·, N, ·]."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Its weights."""


class OpenReader(Reader, Protocol):
    """A reader that shows its outputs."""

    def read(
        self, tokens: Tensor, targets: Tensor, state: State | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """As `nats`, and between them the recurrent layers' output, [T, N, H]."""


class Block(NamedTuple):
    """Nats of some tokens that were predicted one after another, of several streams side by side.

    Attributes:
        starts: Place in the text of each stream's first predicted token here, N numbers.
        nats: ``[T, N]`` in 32 bits or more; ``nats[t, n]`` is of the token at ``starts[n] + t``.
    """

    starts: list[int]
    nats: npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Score:
    """The result of an evaluation.

    Attributes:
        total: Sum of the negative log-likelihoods of all predicted tokens, in nats.
        tokens: Tokens predicted.
        characters: Characters of these tokens.
        unknown: Tokens among the text's that the model does not know.
        streams: Streams the text was cut in.
    """

    total: float
    tokens: int
    characters: int
    unknown: int
    streams: int

    @property
    def nats(self) -> float:
        """Nats per character."""
        return self.total / self.characters

    @property
    def bits(self) -> float:
        """Bits per character."""
        return self.nats / math.log(2)

    @property
    def nats_per_token(self) -> float:
        """Nats per token."""
        return self.total / self.tokens

    @property
    def perplexity(self) -> float:
        """Perplexity per token."""
        return math.exp(self.nats_per_token) if self.nats_per_token < 700 else math.inf


def default_streams(length: int) -> int:
    """One stream up to ``EXACT_LIMIT`` tokens, beyond that one for each such part."""
    return max(1, -(-(length - 1) // EXACT_LIMIT))


def score(
    model: Reader,
    tokens: Tokens,
    *,
    streams: int = 1,
    warm_up: int = WARM_UP,
    device: torch.device | str = "cpu",
    processes: Processes = ALONE,
    chunk: int | None = None,
    characters: int | None = None,
    unknown: int | None = UNKNOWN,
) -> Score:
    """Score of a text: `score_of` its `predictions`, whose arguments these are."""
    blocks = predictions(
        model,
        tokens,
        streams=streams,
        warm_up=warm_up,
        device=device,
        processes=processes,
        chunk=chunk,
    )
    return score_of(
        blocks,
        tokens,
        streams=streams,
        processes=processes,
        characters=characters,
        unknown=unknown,
    )


def score_of(
    blocks: Iterable[Block],
    tokens: Tokens,
    *,
    streams: int = 1,
    processes: Processes = ALONE,
    characters: int | None = None,
    unknown: int | None = UNKNOWN,
) -> Score:
    """Score of a text from the nats of all its predicted tokens.

    Args:
        blocks: As `predictions` gives them, perhaps combined with others; all are used up.
        tokens: The text.
        streams: As given to `predictions`.
        processes: Those among which the streams are divided; all must call this.
        characters: Characters of the text but its first token's; None where tokens are characters.
        unknown: Token of what the model does not know; None where there is no such thing.
    """
    (total,) = processes.sum([sum(map(_sum, blocks), 0.0)])
    predicted = len(tokens) - 1
    return Score(
        total,
        predicted,
        predicted if characters is None else characters,
        0 if unknown is None else _count(tokens, unknown),
        _stream_count(tokens, streams),
    )


def predictions(
    model: Reader,
    tokens: Tokens,
    *,
    streams: int = 1,
    warm_up: int = WARM_UP,
    device: torch.device | str = "cpu",
    processes: Processes = ALONE,
    chunk: int | None = None,
) -> Iterator[Block]:
    """Nats of every token of a text but its first, block by block, in constant memory.

    The blocks of a stream come in the order of the text: with one stream, that of all tokens.

    Args:
        model: The model, in evaluation mode.
        tokens: The text, at least two tokens.
        streams: N; fewer if the text is short.
        warm_up: Uncounted tokens at the start of each stream but the first.
        device: Where the model is.
        processes: Those among which the streams are divided; each gets the blocks of its own.
        chunk: Most tokens of a stream that are read at a time; chosen for speed if None.
    """
    count = _stream_count(tokens, streams)
    length = (len(tokens) - 1) // count
    starts = [i * length for i in range(count)][processes.part(count)]
    if not starts:
        return
    small = count == 1 and sum(p.numel() for p in model.parameters()) < 1_000_000
    streams_at = partial(
        _Streams, model, tokens, device, one_thread if small else contextlib.nullcontext
    )
    chunk = chunk or max(16, min(1024, (1 << 16) // count))
    together = streams_at(starts, _warm(streams_at, starts, warm_up))
    yield from together.blocks(length, chunk)
    # The last stream takes what does not divide evenly; it is scored alone at the end.
    left = len(tokens) - 1 - count * length
    if left and processes.rank == processes.count - 1:
        last = tuple(part[:, -1:].contiguous() for part in together.state or ())
        yield from streams_at([count * length], last).blocks(left, chunk)


class _Streams:
    """Streams of a text that a model reads side by side.

    Args:
        model: The model.
        tokens: The text.
        device: Where the model is.
        threads: Context in which the model runs.
        starts: Place in the text at which each stream begins.
        state: State at these places.

    Attributes:
        state: State after what was read so far.
    """

    def __init__(
        self,
        model: Reader,
        tokens: Tokens,
        device: torch.device | str,
        threads: Callable[[], AbstractContextManager[None]],
        starts: list[int],
        state: State | None,
    ) -> None:
        self.state = state
        self._model, self._tokens, self._device = model, tokens, device
        self._threads, self._starts = threads, starts

    def blocks(self, length: int, chunk: int) -> Iterator[Block]:
        """The next ``length`` predictions of each stream, at most ``chunk`` in a block."""
        for done in range(0, length, chunk):
            steps, starts = min(chunk, length - done), self._starts
            window = np.stack([self._tokens[s : s + steps + 1] for s in starts], axis=1)
            both = torch.from_numpy(window.astype(np.int64)).to(self._device)
            # Entered for each block: a generator must not leave its modes on for its caller.
            with torch.no_grad(), self._threads():
                nats, self.state = self._model.nats(both[:-1], both[1:], self.state)
            self._starts = [start + steps for start in starts]
            yield Block([start + 1 for start in starts], nats.cpu().numpy())

    def after(self, length: int, chunk: int) -> State:
        """State after ``length`` tokens of each stream."""
        for _ in self.blocks(length, chunk):
            pass
        return self.state or ()


def _warm(
    streams_at: Callable[[list[int], State | None], _Streams], starts: list[int], warm_up: int
) -> State | None:
    """States at the starts of the streams: zero for the first, warmed up for the others."""
    if warm_up == 0 or starts == [0]:
        return None
    # Streams near the start have less text before them than warm_up; they read what there is.
    groups = [streams_at([0], None).after(s, 1024) for s in starts if 0 < s < warm_up]
    full = [start - warm_up for start in starts if start >= warm_up]
    if full:
        groups.append(streams_at(full, None).after(warm_up, 256))
    if starts[0] == 0:
        groups.insert(0, tuple(torch.zeros_like(s[:, :1]) for s in groups[0]))
    return tuple(torch.cat(parts, dim=1) for parts in zip(*groups, strict=True))


def _stream_count(tokens: Tokens, streams: int) -> int:
    return max(1, min(streams, len(tokens) - 1))


def _sum(block: Block) -> float:
    return torch.from_numpy(block.nats).sum(dtype=torch.float64).item()


def _count(tokens: Tokens, token: int, block: int = 1 << 24) -> int:
    return sum(int((tokens[i : i + block] == token).sum()) for i in range(0, len(tokens), block))
