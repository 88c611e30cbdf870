"""The conditional random field as a module: its parameters, and what may follow what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from .best import FORBIDDEN, Best, best_sequences
from .partition import LogPartition
from .paths import Paths, Sums, path_log_probability
from .sums import (
    backward_sums,
    forward_sums,
    full_precision,
    prepared,
    scaled_backward,
    scaled_chain,
    scaled_forward,
    sum_dtype,
)

_SMALLEST = 600.0
"""Nats below 1 at which float64 still has all its digits, with a margin for products."""


class ConditionalRandomField(nn.Module):
    """Scores of transitions between tags, and what follows from them.

    Args:
        tags: Number of tags K.
        allowed: ``allowed[i][j]``: whether tag j may follow tag i. Default: always.
        may_start: Whether a sequence may start with each tag. Default: with any.
        may_end: Whether it may end with each tag. Default: with any.
        learned: Whether the scores of start, end and transitions are parameters; otherwise they
            are zero and only what is forbidden counts.

    Attributes:
        start: Scores of the first tag, ``[K]``.
        transitions: Score of tag j after tag i at ``[i, j]``, ``[K, K]``.
        end: Scores of the last tag, ``[K]``.

    Shape:
        T steps, N rows, K tags. All methods take emissions ``[T, N, K]`` and lengths ``[N]``,
        whole numbers from 0 to T. A row of length 0 has one sequence, the empty one, of score 0.
    """

    start: Tensor
    transitions: Tensor
    end: Tensor
    allowed: Tensor
    may_start: Tensor
    may_end: Tensor

    def __init__(
        self,
        tags: int,
        allowed: Sequence[Sequence[bool]] | Tensor | None = None,
        may_start: Sequence[bool] | Tensor | None = None,
        may_end: Sequence[bool] | Tensor | None = None,
        *,
        learned: bool = True,
    ) -> None:
        super().__init__()
        self.tags, self.learned = tags, learned
        for name, shape, value in (
            ("allowed", (tags, tags), allowed),
            ("may_start", (tags,), may_start),
            ("may_end", (tags,), may_end),
        ):
            mask = torch.ones(shape, dtype=torch.bool, device="cpu")
            if value is not None:
                mask = torch.as_tensor(value, dtype=torch.bool, device="cpu").clone()
            if mask.shape != shape:
                raise ValueError(f"{name}: expected shape {shape}, got {tuple(mask.shape)}")
            self.register_buffer(name, mask, persistent=False)
        self._connected_after = _connected_after(self.allowed)
        for name, shape in (("start", (tags,)), ("transitions", (tags, tags)), ("end", (tags,))):
            zeros = torch.zeros(shape, dtype=torch.float32, device="cpu")
            if learned:
                self.register_parameter(name, nn.Parameter(zeros))
            else:
                self.register_buffer(name, zeros, persistent=False)

    def extra_repr(self) -> str:
        """For the module's printed form."""
        return f"{self.tags}, learned={self.learned}"

    def log_partition(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """Log Z of each row, ``[N]``, in float64 where the device has it; differentiable once."""
        with full_precision(emissions):
            emissions, inside = prepared(emissions, lengths)
            scores = self._scores(emissions.dtype)
            scaled = self._scaled(emissions)
            total = LogPartition.apply(emissions, *scores, inside, scaled)  # type: ignore[no-untyped-call]
            return cast(Tensor, total)

    def score(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """Score s(y) of given tags ``[T, N]``, shaped and typed as `log_partition`'s result.

        About 1e30 below any other where the tags are not allowed. Tags in the padding may be any
        whole numbers.
        """
        with full_precision(emissions):
            emissions, inside = prepared(emissions, lengths)
            start, transitions, end = self._scores(emissions.dtype)
            tags = tags.where(inside, 0)
            wide = sum_dtype(emissions)
            total = emissions.gather(2, tags.unsqueeze(2)).squeeze(2).to(wide).sum(0)
            if not len(emissions):
                return total
            moved = transitions[tags[:-1], tags[1:]].to(wide) * inside[1:]
            last = tags.gather(0, (lengths - 1).clamp(min=0).unsqueeze(0)).squeeze(0)
            ends = (start[tags[0]] + end[last]).to(wide) * inside[0]
            return total + moved.sum(0) + ends

    def loss(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """Negative log-likelihood -log p(y) of each row in nats, ``[N]``."""
        found = self.log_partition(emissions, lengths) - self.score(emissions, tags, lengths)
        return found.to(torch.promote_types(emissions.dtype, torch.float32))

    @torch.no_grad()
    def marginals(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """Probability of each tag at each step, ``[T, N, K]``; zero in the padding."""
        with full_precision(emissions):
            emissions, inside = prepared(emissions, lengths)
            start, transitions, end = self._scores(emissions.dtype)
            if self._scaled(emissions):
                chain = scaled_chain(emissions, start, transitions, end)
                ahead, _ = scaled_forward(*chain, inside=inside)
                both = ahead * scaled_backward(*chain[1:], inside=inside)
                both /= both.sum(2, keepdim=True)
                return both.to(emissions.dtype) * inside.unsqueeze(2)
            ahead, _ = forward_sums(emissions, start, transitions, end, inside)
            behind = backward_sums(emissions, transitions, end, inside)
            return (ahead + behind).softmax(2) * inside.unsqueeze(2)

    @torch.no_grad()
    def path_probability(self, emissions: Tensor, lengths: Tensor, paths: Paths) -> Tensor:
        """Log-probability that given tags stand at given steps, ``[S]``; exact.

        What stands before and after is summed over by the forward and the backward algorithm. The
        probability of a span is that of its tags, followed by any tag that does not continue it.
        """
        with full_precision(emissions):
            emissions, inside = prepared(emissions, lengths)
            start, transitions, end = self._scores(emissions.dtype)
            if self._scaled(emissions):
                chain = scaled_chain(emissions, start, transitions, end)
                ahead, norms = scaled_forward(*chain, inside=inside)
                behind = scaled_backward(*chain[1:], inside=inside).log_()
                ahead = ahead.log_()
            else:
                ahead, norms = forward_sums(emissions, start, transitions, end, inside)
                behind = backward_sums(emissions, transitions, end, inside)
            sums = Sums(ahead, behind, norms)
            return path_log_probability(paths, sums, emissions, transitions, end, lengths)

    @torch.no_grad()
    def best(self, emissions: Tensor, lengths: Tensor, count: int = 1) -> Best:
        """The sequences of the highest score of each row, by Viterbi's algorithm.

        Args:
            emissions: ``[T, N, K]``.
            lengths: ``[N]``.
            count: Sequences for each row; of each tag as many are followed.
        """
        with full_precision(emissions):
            emissions, inside = prepared(emissions, lengths)
            return best_sequences(emissions, *self._scores(emissions.dtype), inside, count)

    def _scores(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Scores of start, transitions and end, with what is forbidden."""
        return (
            self.start.to(dtype).where(self.may_start, FORBIDDEN),
            self.transitions.to(dtype).where(self.allowed, FORBIDDEN),
            self.end.to(dtype).where(self.may_end, FORBIDDEN),
        )

    def _scaled(self, emissions: Tensor) -> bool:
        """Whether no probability can be too small for float64.

        If any tag can be reached from any other in exactly d steps, then the sums of two tags at a
        step differ by no more than d + 1 times the largest difference of scores within a step.
        """
        if self._connected_after is None or emissions.device.type == "mps" or not emissions.numel():
            return False
        with torch.no_grad():
            spread = emissions.amax(2).sub_(emissions.amin(2)).amax()
            for scores, mask in (
                (self.start, self.may_start),
                (self.transitions, self.allowed),
                (self.end, self.may_end),
            ):
                high, low = scores.where(mask, -torch.inf), scores.where(mask, torch.inf)
                spread = spread + (high.amax() - low.amin()).clamp(min=0)
        return float(spread) * (self._connected_after + 1) < _SMALLEST


def _connected_after(allowed: Tensor) -> int | None:
    """Least number of steps in which every tag leads to every other; None where there is none."""
    one = allowed.float()
    reached = one
    for steps in range(1, len(allowed) + 2):
        if bool(reached.all()):
            return steps
        reached = (reached @ one).clamp(max=1.0)
    return None
