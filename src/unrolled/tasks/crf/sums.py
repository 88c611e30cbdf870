"""Sums over all sequences of tags: the forward and the backward algorithm, in two ways.

In log space, for scores of any size; and as products of matrices of probabilities in float64, which
is several times faster, where none of them is too small for it. Both are normalised at each step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def full_precision(emissions: Tensor) -> Any:
    """Within the block mixed precision is off."""
    return torch.autocast(emissions.device.type, enabled=False)


def sum_dtype(emissions: Tensor) -> torch.dtype:
    """Type of sums over a whole sequence."""
    return emissions.dtype if emissions.device.type == "mps" else torch.float64


def prepared(emissions: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Emissions of at least 32 bits with zeros in the padding, and which steps exist, [T, N]."""
    if emissions.dtype.itemsize < 4:
        emissions = emissions.float()
    steps = torch.arange(len(emissions), dtype=lengths.dtype, device=lengths.device)
    inside = steps.unsqueeze(1) < lengths
    return emissions.where(inside.unsqueeze(2), 0.0), inside


def forward_sums(
    emissions: Tensor, start: Tensor, transitions: Tensor, end: Tensor, inside: Tensor
) -> tuple[Tensor, Tensor]:
    """Normalised log forward sums [T, N, K], and normalisers [T + 1, N] whose sum is log Z.

    At step t: log of the sum over all beginnings that end in each tag, less its logsumexp. In the
    padding the last sums stand, and normalisers are zero.
    """
    T, N, K = emissions.shape
    wide = sum_dtype(emissions)
    if not T:
        return emissions, emissions.new_zeros(1, N, dtype=wide)
    sums = emissions.new_empty(T, N, K)
    norms = emissions.new_zeros(T + 1, N)
    into = transitions.t().contiguous()  # the tag that is left stands last, as sums run fastest
    whole = bool(inside.all())
    for t in range(T):
        if t == 0:
            new = start + emissions[0]
        else:
            new = torch.logsumexp(sums[t - 1].unsqueeze(1) + into, 2).add_(emissions[t])
        norm = torch.logsumexp(new, 1)
        new = new - norm.unsqueeze(1)
        if not whole and t:
            new = new.where(inside[t].unsqueeze(1), sums[t - 1])
        sums[t] = new
        norms[t] = norm
    norms[T] = torch.logsumexp(sums[T - 1] + end, 1)
    norms[:T].mul_(inside)
    norms[T].mul_(inside[0])
    return sums, norms.to(wide)


def backward_sums(emissions: Tensor, transitions: Tensor, end: Tensor, inside: Tensor) -> Tensor:
    """Normalised log backward sums [T, N, K]: over all endings that follow each tag."""
    T, N, K = emissions.shape
    sums = emissions.new_empty(T, N, K)
    if not T:
        return sums
    closing = end.expand(N, K)
    sums[T - 1] = closing
    for t in range(T - 2, -1, -1):
        following = emissions[t + 1] + sums[t + 1]
        new = torch.logsumexp(following.unsqueeze(1) + transitions, 2)
        new = new - new.amax(1, keepdim=True)
        sums[t] = new.where(inside[t + 1].unsqueeze(1), closing)
    return sums


def scaled_chain(
    emissions: Tensor, start: Tensor, transitions: Tensor, end: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Exponentials of all scores in float64, those of emissions scaled to 1 at each step.

    Returns:
        start, emissions, transitions, end; and the logarithm of each step's scale, [T, N].
    """
    highest = emissions.amax(2)
    steps = emissions.sub(highest.unsqueeze(2)).double().exp_()
    return start.double().exp(), steps, transitions.double().exp(), end.double().exp(), highest


def scaled_forward(
    start: Tensor, steps: Tensor, transitions: Tensor, end: Tensor, highest: Tensor, inside: Tensor
) -> tuple[Tensor, Tensor]:
    """As `forward_sums`, with probabilities that sum to 1 at each step."""
    T, N, K = steps.shape
    sums = steps.new_empty(T, N, K)
    norms = steps.new_ones(T + 1, N)
    whole = bool(inside.all())
    for t in range(T):
        new = (start if t == 0 else sums[t - 1] @ transitions) * steps[t]
        norm = new.sum(1)
        new /= norm.unsqueeze(1)
        sums[t] = new if whole or t == 0 else new.where(inside[t].unsqueeze(1), sums[t - 1])
        norms[t] = norm
    norms[T] = sums[T - 1] @ end
    logs = norms.log_()
    logs[:T] += highest
    logs[:T] = logs[:T].where(inside, 0.0)
    logs[T] = logs[T].where(inside[0], 0.0)
    return sums, logs


def scaled_backward(
    steps: Tensor, transitions: Tensor, end: Tensor, highest: Tensor, inside: Tensor
) -> Tensor:
    """As `backward_sums`, with numbers of which the largest is 1 at each step."""
    T, N, K = steps.shape
    sums = steps.new_empty(T, N, K)
    closing = (end / end.amax()).expand(N, K)
    sums[T - 1] = closing
    from_below = transitions.t()
    for t in range(T - 2, -1, -1):
        new = (steps[t + 1] * sums[t + 1]) @ from_below
        new /= new.amax(1, keepdim=True)
        sums[t] = new.where(inside[t + 1].unsqueeze(1), closing)
    return sums
