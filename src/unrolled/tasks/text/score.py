"""How well a model predicts a text: nats per character.

Every character but the first, which nothing precedes, is predicted once, from everything before it:
the state is carried from the first character to the last. With one stream that is meant to the
letter. With several, each stream but the first begins in the middle of the text; it first reads the
``warm_up`` characters before its own, without counting them, so that its state has seen at least
so much context.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from unrolled.engine.threads import one_thread
from unrolled.tasks.text.vocabulary import UNKNOWN
from unrolled.training.processes import ALONE, Processes

Tokens = np.ndarray[Any, np.dtype[Any]]

EXACT_LIMIT = 1_000_000
"""Longest text that is scored as one stream by default."""

WARM_UP = 1024
"""Characters that each stream but the first reads before it counts."""


@dataclass(frozen=True)
class Score:
    """The result of an evaluation.

    Attributes:
        nats: Mean negative log-likelihood per character, in nats.
        characters: Characters predicted.
        unknown: Characters among the text's that the model does not know.
        streams: Streams the text was cut in.
    """

    nats: float
    characters: int
    unknown: int
    streams: int

    @property
    def bits(self) -> float:
        """Bits per character."""
        return self.nats / math.log(2)

    @property
    def perplexity(self) -> float:
        """Perplexity per character."""
        return math.exp(self.nats) if self.nats < 700 else math.inf


def default_streams(length: int) -> int:
    """One stream up to ``EXACT_LIMIT`` characters, beyond that one for each such part."""
    return max(1, -(-(length - 1) // EXACT_LIMIT))


@torch.inference_mode()
def score(
    model: nn.Module,
    tokens: Tokens,
    *,
    streams: int = 1,
    warm_up: int = WARM_UP,
    device: torch.device | str = "cpu",
    processes: Processes = ALONE,
) -> Score:
    """Score a text.

    Args:
        model: Called with tokens [T, N] and a state; returns logits [T, N, V] and the state.
        tokens: The text, at least two tokens.
        streams: N; fewer if the text is short.
        warm_up: Uncounted characters at the start of each stream but the first.
        device: Where the model is.
        processes: Those among which the streams are divided; all must call this.
    """
    predictions = len(tokens) - 1
    streams = max(1, min(streams, predictions))
    small = streams == 1 and sum(p.numel() for p in model.parameters()) < 1_000_000
    with one_thread() if small else contextlib.nullcontext():
        (total,) = processes.sum([_sum(model, tokens, streams, warm_up, device, processes)])
    return Score(total / predictions, predictions, _unknown(tokens), streams)


def _sum(
    model: nn.Module,
    tokens: Tokens,
    streams: int,
    warm_up: int,
    device: torch.device | str,
    processes: Processes,
) -> float:
    """Sum of nats over all predictions of this process's streams."""
    predictions = len(tokens) - 1
    length = predictions // streams
    # The last stream takes what does not divide evenly; it is scored alone at the end.
    starts = [i * length for i in range(streams)][processes.part(streams)]
    if not starts:
        return 0.0
    state = _warm(model, tokens, starts, warm_up, device)
    chunk = max(16, min(1024, (1 << 16) // streams))
    total, state = _run(model, tokens, starts, length, state, chunk, device)
    left = predictions - streams * length
    if left and processes.rank == processes.count - 1:
        last = tuple(s[:, -1:].contiguous() for s in state)
        total += _run(model, tokens, [streams * length], left, last, chunk, device)[0]
    return total


def _run(
    model: nn.Module,
    tokens: Tokens,
    starts: list[int],
    length: int,
    state: tuple[Tensor, ...] | None,
    chunk: int,
    device: torch.device | str,
    *,
    count: bool = True,
) -> tuple[float, tuple[Tensor, ...]]:
    """Sum of nats over ``length`` predictions of each stream, and the state at their ends."""
    total = 0.0
    done = 0
    while done < length:
        steps = min(chunk, length - done)
        window = np.stack([tokens[s + done : s + done + steps + 1] for s in starts], axis=1)
        both = torch.from_numpy(window.astype(np.int64)).to(device)
        logits, state = model(both[:-1], state)
        if count:
            nats = functional.cross_entropy(
                logits.flatten(0, 1).float(), both[1:].flatten(), reduction="none"
            )
            total += nats.sum(dtype=torch.float64).item()
        done += steps
    assert state is not None
    return total, state


def _warm(
    model: nn.Module,
    tokens: Tokens,
    starts: list[int],
    warm_up: int,
    device: torch.device | str,
) -> tuple[Tensor, ...] | None:
    """States at the starts of the streams: zero for the first, warmed up for the others."""
    # Streams near the start have less text before them than warm_up; they read what there is.
    groups: list[tuple[Tensor, ...]] = []
    full = [s for s in starts if s >= warm_up]
    if warm_up == 0 or starts == [0]:
        return None
    for start in (s for s in starts if 0 < s < warm_up):
        groups.append(_run(model, tokens, [0], start, None, 1024, device, count=False)[1])
    if full:
        early = [s - warm_up for s in full]
        groups.append(_run(model, tokens, early, warm_up, None, 256, device, count=False)[1])
    if starts[0] == 0:
        groups.insert(0, tuple(torch.zeros_like(s[:, :1]) for s in groups[0]))
    columns = zip(*groups, strict=True)
    return tuple(torch.cat(parts, dim=1) for parts in columns)


def _unknown(tokens: Tokens, block: int = 1 << 24) -> int:
    return sum(int((tokens[i : i + block] == UNKNOWN).sum()) for i in range(0, len(tokens), block))
