"""The probability of tags at given steps, with all that may stand around them summed over."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Paths(NamedTuple):
    """Tags that stand side by side in some rows of a batch, each path somewhere within its row.

    Attributes:
        row: Row of each path, int64 ``[S]``.
        first: Step of its first tag, int64 ``[S]``.
        tags: Its tags, int64 ``[L, S]``; any in the padding.
        counts: Number of its tags, from 1, int64 ``[S]``.
        after: Tags that may follow it, bool ``[S, K]``; the end of the row always may.
    """

    row: Tensor
    first: Tensor
    tags: Tensor
    counts: Tensor
    after: Tensor


class Sums(NamedTuple):
    """What the forward and the backward algorithm give, as logarithms.

    Attributes:
        ahead: Sums over all beginnings that end in each tag, ``[T, N, K]``, normalised at each
            step.
        behind: Sums over all endings that follow each tag, ``[T, N, K]``, normalised at each step.
        norms: Normalisers of ``ahead``, ``[T + 1, N]``.
    """

    ahead: Tensor
    behind: Tensor
    norms: Tensor


def path_log_probability(
    paths: Paths, sums: Sums, emissions: Tensor, transitions: Tensor, end: Tensor, lengths: Tensor
) -> Tensor:
    """Log-probability of each path, ``[S]``; exact.

    Args:
        paths: The paths.
        sums: Sums over what stands before and after.
        emissions: ``[T, N, K]``, zero in the padding.
        transitions: Scores of transitions, ``[K, K]``, with what is forbidden.
        end: Scores of the last tag, ``[K]``, with what is forbidden.
        lengths: ``[N]``.
    """
    ahead, behind, norms = sums
    kind = ahead.dtype
    emissions, transitions, end = (x.to(kind) for x in (emissions, transitions, end))
    row, first, tags, counts, after = paths
    steps = torch.arange(len(tags), dtype=torch.int64, device=tags.device).unsqueeze(1)
    times = (first + steps).clamp(max=len(emissions) - 1)
    within = steps < counts
    total = ahead[first, row, tags[0]].to(norms.dtype)
    if len(tags) > 1:
        moved = transitions[tags[:-1], tags[1:]] + emissions[times, row, tags][1:]
        moved = moved.to(norms.dtype) - norms[times, row][1:]
        total = total + moved.where(within[1:], 0.0).sum(0)
    last = first + counts - 1
    following = (last + 1).clamp(max=len(emissions) - 1)
    onward = (emissions + behind)[following, row]
    at_end = (last + 1 >= lengths[row]).unsqueeze(1)
    final = tags.gather(0, (counts - 1).unsqueeze(0)).squeeze(0)
    goes = transitions[final] + onward.masked_fill(~after, -torch.inf)
    goes = goes.logsumexp(1).where(~at_end.squeeze(1), end[final])
    every = (transitions + onward.unsqueeze(1)).logsumexp(2).where(~at_end, end)
    every = (ahead[last, row] + every).logsumexp(1)
    return (total + goes - every).clamp(max=0.0)
