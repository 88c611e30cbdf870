"""The sequences of the highest score: Viterbi's algorithm and its n best."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

FORBIDDEN = -1e30
"""Score of what may not be: finite, so that no difference of two of them is NaN."""

_NONE = FORBIDDEN / 2
"""Scores below this belong to sequences that are not allowed."""


class Best(NamedTuple):
    """The best sequences of each row.

    Attributes:
        tags: int64 ``[count, T, N]``, zero in the padding.
        scores: Their scores s(y), ``[count, N]``, the highest first; -inf where a row has fewer
            allowed sequences.
    """

    tags: Tensor
    scores: Tensor


def best_sequences(
    emissions: Tensor,
    start: Tensor,
    transitions: Tensor,
    end: Tensor,
    inside: Tensor,
    count: int,
) -> Best:
    """Viterbi's algorithm with ``count`` best beginnings kept for each tag."""
    T, N, K = emissions.shape
    scores = emissions.new_full((count, N), float("-inf"))
    tags = torch.zeros(count, T, N, dtype=torch.int64, device=emissions.device)
    if not T:
        scores[:1] = 0.0
        return Best(tags, scores)
    # kept[n, k, r]: score of the r-th best beginning that ends in tag k
    kept = emissions.new_full((N, K, count), FORBIDDEN)
    kept[:, :, 0] = start + emissions[0]
    into = transitions.t().unsqueeze(2)
    stay = torch.arange(K * count, dtype=torch.int64, device=emissions.device).view(K, count)
    origins = stay.expand(T, N, K, count).clone()
    for t in range(1, T):
        candidates = (kept.unsqueeze(1) + into).flatten(2)
        if count == 1:
            new, origin = candidates.max(2, keepdim=True)
        else:
            new, origin = candidates.topk(count, 2)
        here = inside[t].view(N, 1, 1)
        kept = (new + emissions[t].unsqueeze(2)).where(here, kept)
        origins[t] = origin.where(here, origins[t])
    final, place = (kept + end.unsqueeze(1)).flatten(1).topk(min(count, K * count), 1)
    place = place.t()
    scores[:] = final.t().where(final.t() > _NONE, float("-inf"))
    for t in range(T - 1, -1, -1):
        tags[:, t] = place.div(count, rounding_mode="floor")
        place = origins[t].flatten(1).t().gather(0, place)
    empty = ~inside[0]
    scores[:, empty] = float("-inf")
    scores[0, empty] = 0.0
    return Best(tags * inside, scores)
