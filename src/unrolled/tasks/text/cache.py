"""A neural cache: the last outputs of a model, and the tokens after them (Grave et al., 2017).

A token that came after an output like the present one is likely to come again. With the outputs
``h_i`` of the last S steps before step t, and the tokens ``w_{i+1}`` that followed them,

    p_cache(w) ∝ Σ_{i < t} [w_{i+1} = w] exp(θ h_t · h_i),    p = (1 − λ) p_model + λ p_cache

where λ is the cache's weight, and θ how flat or peaked it is. Only the probability of the target is
ever computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from unrolled.tasks.text.model import State
from unrolled.tasks.text.score import OpenReader

STEPS = 64
"""Steps that are compared with the cache at a time."""


class Cached:
    """A model whose predictions are mixed with those of a cache.

    Its state is the model's and, behind it, the cache: outputs ``[S, N, H]`` and the tokens after
    them, ``[S, N]``, counted from 1: 0 is an empty place.

    Args:
        model: The model.
        size: Outputs that are kept, S.
        weight: Weight of the cache in the mixture, λ: 0 ≤ λ < 1.
        flatness: Factor of the products of outputs, θ: at 0 all that is kept weighs the same.
    """

    def __init__(self, model: OpenReader, size: int, weight: float, flatness: float) -> None:
        self._model, self._size, self._flatness = model, size, flatness
        self._own = math.log1p(-weight)
        self._other = math.log(weight) if weight else -math.inf

    def parameters(self) -> Iterator[nn.Parameter]:
        """The model's."""
        return self._model.parameters()

    def nats(
        self, tokens: Tensor, targets: Tensor, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Nats of each target, ``[T, N]``, in the mixture, and the state after the last token."""
        nats, y, after = self._model.read(tokens, targets, state and state[:-2])
        if state is None:
            kept = y.new_zeros(self._size, *y.shape[1:])
            words = targets.new_zeros(self._size, targets.shape[1])
        else:
            kept, words = state[-2:]
        kept, words = torch.cat([kept, y]), torch.cat([words, targets + 1])
        mixed = [
            self._mixed(nats, y, targets, kept, words, slice(start, start + STEPS))
            for start in range(0, len(y), STEPS)
        ]
        # Copies, so that the chunk is not kept with its last part.
        ends = (kept[-self._size :].clone(), words[-self._size :].clone())
        return torch.cat(mixed), (*after, *ends)

    def _mixed(
        self, nats: Tensor, y: Tensor, targets: Tensor, kept: Tensor, words: Tensor, part: slice
    ) -> Tensor:
        """Nats of some steps. What step t may look at are the S places of the cache from t on."""
        nats, y, targets = nats[part], y[part], targets[part]
        places = slice(part.start, part.start + len(y) + self._size - 1)
        kept, words = kept[places], words[places].T[:, None]
        likeness = self._flatness * torch.einsum("tnh,snh->nts", y, kept)
        columns, steps = (
            torch.arange(count, dtype=torch.int64, device=y.device) for count in (len(kept), len(y))
        )
        place = columns - steps.unsqueeze(1)  # in the cache as each step finds it
        there = (place >= 0) & (place < self._size) & (words > 0)
        likeness = likeness.masked_fill(~there, -math.inf)
        hits = likeness.masked_fill(words != targets.T[..., None] + 1, -math.inf)
        cached = (hits.logsumexp(-1) - likeness.logsumexp(-1)).T
        mixed = -torch.logaddexp(self._own - nats, self._other + cached)
        return torch.where(there.any(-1).T, mixed, nats)  # at first the cache is empty
