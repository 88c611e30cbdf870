"""Log Z as one operation with a gradient of its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .sums import (
    backward_sums,
    forward_sums,
    full_precision,
    scaled_backward,
    scaled_chain,
    scaled_forward,
)


class LogPartition(torch.autograd.Function):
    """Log Z with the gradient that theory gives: marginals, and expected counts of transitions.

    It needs one pass back over time where automatic differentiation would need several operations
    for each of the forward pass.
    """

    @staticmethod
    def forward(
        ctx: Any,
        emissions: Tensor,
        start: Tensor,
        transitions: Tensor,
        end: Tensor,
        inside: Tensor,
        scaled: bool,
    ) -> Tensor:
        """Log Z of each row, ``[N]``.

        Args:
            ctx: Keeps what the gradient needs.
            emissions: ``[T, N, K]``, zero in the padding.
            start: Scores of the first tag, ``[K]``, with what is forbidden, as those below.
            transitions: Scores of transitions, ``[K, K]``.
            end: Scores of the last tag, ``[K]``.
            inside: Steps that are no padding, ``[T, N]``.
            scaled: Whether products of float64 are certain to be large enough.
        """
        ctx.scaled = scaled
        if scaled:
            chain = scaled_chain(emissions, start, transitions, end)
            sums, norms = scaled_forward(*chain, inside=inside)
            ctx.save_for_backward(*chain[1:], inside, sums)
        else:
            sums, norms = forward_sums(emissions, start, transitions, end, inside)
            ctx.save_for_backward(emissions, transitions, end, inside, sums)
        return norms.sum(0)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        """Marginals and expected counts, rows weighted by ``outer``, ``[N]``."""
        with full_precision(outer):
            if ctx.scaled:
                marginals, moves = _scaled_counts(*ctx.saved_tensors, outer=outer)
            else:
                marginals, moves = _counts(*ctx.saved_tensors, outer=outer)
            inside = ctx.saved_tensors[-2]
            if not len(marginals):
                zeros = moves.new_zeros(len(moves))
                return marginals, zeros, moves, zeros, None, None
            last = inside.clone()
            last[:-1] &= ~inside[1:]
            ends = (marginals * last.unsqueeze(2)).sum((0, 1))
            return marginals, marginals[0].sum(0), moves, ends, None, None


def _counts(
    emissions: Tensor,
    transitions: Tensor,
    end: Tensor,
    inside: Tensor,
    ahead: Tensor,
    *,
    outer: Tensor,
) -> tuple[Tensor, Tensor]:
    """Marginals [T, N, K] and expected counts of transitions [K, K], rows weighted by ``outer``."""
    T, N, K = emissions.shape
    behind = backward_sums(emissions, transitions, end, inside)
    weights = outer.to(emissions.dtype) * inside
    marginals = (ahead + behind).softmax(2) * weights.unsqueeze(2)
    moves = torch.zeros_like(transitions)
    following = emissions + behind
    # a bounded number of steps together: all at once would take T N K² numbers
    chunk = max(1, (1 << 22) // max(1, N * K * K))
    for first in range(1, T, chunk):
        here = slice(first, min(first + chunk, T))
        pairs = ahead[first - 1 : here.stop - 1].unsqueeze(3) + transitions
        pairs = (pairs + following[here].unsqueeze(2)).flatten(2).softmax(2)
        moves += (weights[here].flatten() @ pairs.flatten(0, 1)).view(K, K)
    return marginals, moves


def _scaled_counts(
    steps: Tensor,
    transitions: Tensor,
    end: Tensor,
    highest: Tensor,
    inside: Tensor,
    ahead: Tensor,
    *,
    outer: Tensor,
) -> tuple[Tensor, Tensor]:
    """As `_counts`, from what `scaled_chain` and `scaled_forward` gave."""
    behind = scaled_backward(steps, transitions, end, highest, inside)
    weights = outer.double() * inside
    both = ahead * behind
    marginals = both * (weights / both.sum(2)).unsqueeze(2)
    following = (steps[1:] * behind[1:]).flatten(0, 1)
    before = ahead[:-1].flatten(0, 1)
    whole = ((before @ transitions) * following).sum(1)
    # at the first step of the padding the two sides need not meet
    shares = (weights[1:].flatten() / whole).where(inside[1:].flatten(), 0.0)
    moves = transitions * (before.t() @ (following * shares.unsqueeze(1)))
    return marginals.to(highest.dtype), moves.to(highest.dtype)
