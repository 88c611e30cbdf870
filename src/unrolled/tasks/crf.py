"""A linear-chain conditional random field: the score of a whole sequence of tags.

The score of tags y over T steps, given emissions e (scores of each tag at each step), is

    s(y) = start[y_1] + Σ_t e_t[y_t] + Σ_t A[y_{t-1}, y_t] + end[y_T]

and p(y) = exp(s(y)) / Z, where Z sums over all sequences (Lafferty, McCallum & Pereira, 2001).
Everything here is exact: log Z by the forward algorithm, marginals by forward and backward, the
best sequences by Viterbi's algorithm.

Time is the first dimension. Rows have lengths of their own; what stands in the padding, NaN
included, changes nothing. Sums are normalised at each step, so that their accuracy does not depend
on the length. They run as products of matrices of probabilities in float64 where it is certain that
none of these is too small for it, and else in log space, which takes several times as long. Under
mixed precision everything is computed in float32 or float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

FORBIDDEN = -1e30
"""Score of what may not be: finite, so that no difference of two of them is NaN."""

_NONE = FORBIDDEN / 2
"""Scores below this belong to sequences that are not allowed."""

_SMALLEST = 600.0
"""Nats below 1 at which float64 still has all its digits, with a margin for products."""


class Best(NamedTuple):
    """The best sequences of each row.

    Attributes:
        tags: int64 ``[count, T, N]``, zero in the padding.
        scores: Their scores s(y), ``[count, N]``, the highest first; -inf where a row has fewer
            allowed sequences.
    """

    tags: Tensor
    scores: Tensor


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
        with _full_precision(emissions):
            emissions, inside = _prepared(emissions, lengths)
            scores = self._scores(emissions.dtype)
            scaled = self._scaled(emissions)
            total = _LogPartition.apply(emissions, *scores, inside, scaled)  # type: ignore[no-untyped-call]
            return cast(Tensor, total)

    def score(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """Score s(y) of given tags ``[T, N]``, shaped and typed as `log_partition`'s result.

        About 1e30 below any other where the tags are not allowed. Tags in the padding may be any
        whole numbers.
        """
        with _full_precision(emissions):
            emissions, inside = _prepared(emissions, lengths)
            start, transitions, end = self._scores(emissions.dtype)
            tags = tags.where(inside, 0)
            wide = _wide(emissions)
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
        with _full_precision(emissions):
            emissions, inside = _prepared(emissions, lengths)
            start, transitions, end = self._scores(emissions.dtype)
            if self._scaled(emissions):
                chain = _scaled_chain(emissions, start, transitions, end)
                ahead, _ = _scaled_forward(*chain, inside=inside)
                both = ahead * _scaled_backward(*chain[1:], inside=inside)
                both /= both.sum(2, keepdim=True)
                return both.to(emissions.dtype) * inside.unsqueeze(2)
            ahead, _ = _forward(emissions, start, transitions, end, inside)
            behind = _backward(emissions, transitions, end, inside)
            return (ahead + behind).softmax(2) * inside.unsqueeze(2)

    @torch.no_grad()
    def path_probability(self, emissions: Tensor, lengths: Tensor, paths: Paths) -> Tensor:
        """Log-probability that given tags stand at given steps, ``[S]``; exact.

        What stands before and after is summed over by the forward and the backward algorithm. The
        probability of a span is that of its tags, followed by any tag that does not continue it.
        """
        with _full_precision(emissions):
            emissions, inside = _prepared(emissions, lengths)
            start, transitions, end = self._scores(emissions.dtype)
            if self._scaled(emissions):
                chain = _scaled_chain(emissions, start, transitions, end)
                ahead, norms = _scaled_forward(*chain, inside=inside)
                behind = _scaled_backward(*chain[1:], inside=inside).log_()
                ahead = ahead.log_()
            else:
                ahead, norms = _forward(emissions, start, transitions, end, inside)
                behind = _backward(emissions, transitions, end, inside)
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

    @torch.no_grad()
    def best(self, emissions: Tensor, lengths: Tensor, count: int = 1) -> Best:
        """The sequences of the highest score of each row, by Viterbi's algorithm.

        Args:
            emissions: ``[T, N, K]``.
            lengths: ``[N]``.
            count: Sequences for each row; of each tag as many are followed.
        """
        with _full_precision(emissions):
            emissions, inside = _prepared(emissions, lengths)
            return _best(emissions, *self._scores(emissions.dtype), inside, count)

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


def _full_precision(emissions: Tensor) -> Any:
    """Within the block mixed precision is off."""
    return torch.autocast(emissions.device.type, enabled=False)


def _wide(emissions: Tensor) -> torch.dtype:
    """Type of sums over a whole sequence."""
    return emissions.dtype if emissions.device.type == "mps" else torch.float64


def _prepared(emissions: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Emissions of at least 32 bits with zeros in the padding, and which steps exist, [T, N]."""
    if emissions.dtype.itemsize < 4:
        emissions = emissions.float()
    steps = torch.arange(len(emissions), dtype=lengths.dtype, device=lengths.device)
    inside = steps.unsqueeze(1) < lengths
    return emissions.where(inside.unsqueeze(2), 0.0), inside


def _forward(
    emissions: Tensor, start: Tensor, transitions: Tensor, end: Tensor, inside: Tensor
) -> tuple[Tensor, Tensor]:
    """Normalised log forward sums [T, N, K], and normalisers [T + 1, N] whose sum is log Z.

    At step t: log of the sum over all beginnings that end in each tag, less its logsumexp. In the
    padding the last sums stand, and normalisers are zero.
    """
    T, N, K = emissions.shape
    wide = _wide(emissions)
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


def _backward(emissions: Tensor, transitions: Tensor, end: Tensor, inside: Tensor) -> Tensor:
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


def _scaled_chain(
    emissions: Tensor, start: Tensor, transitions: Tensor, end: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Exponentials of all scores in float64, those of emissions scaled to 1 at each step.

    Returns:
        start, emissions, transitions, end; and the logarithm of each step's scale, [T, N].
    """
    highest = emissions.amax(2)
    steps = emissions.sub(highest.unsqueeze(2)).double().exp_()
    return start.double().exp(), steps, transitions.double().exp(), end.double().exp(), highest


def _scaled_forward(
    start: Tensor, steps: Tensor, transitions: Tensor, end: Tensor, highest: Tensor, inside: Tensor
) -> tuple[Tensor, Tensor]:
    """As `_forward`, with probabilities that sum to 1 at each step."""
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


def _scaled_backward(
    steps: Tensor, transitions: Tensor, end: Tensor, highest: Tensor, inside: Tensor
) -> Tensor:
    """As `_backward`, with numbers of which the largest is 1 at each step."""
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


class _LogPartition(torch.autograd.Function):
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
        ctx.scaled = scaled
        if scaled:
            chain = _scaled_chain(emissions, start, transitions, end)
            sums, norms = _scaled_forward(*chain, inside=inside)
            ctx.save_for_backward(*chain[1:], inside, sums)
        else:
            sums, norms = _forward(emissions, start, transitions, end, inside)
            ctx.save_for_backward(emissions, transitions, end, inside, sums)
        return norms.sum(0)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        with _full_precision(outer):
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
    behind = _backward(emissions, transitions, end, inside)
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
    """As `_counts`, from what `_scaled_chain` and `_scaled_forward` gave."""
    behind = _scaled_backward(steps, transitions, end, highest, inside)
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


def _best(
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
