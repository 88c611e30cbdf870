"""Influence: how much of a loss arrives at every earlier state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from . import figures
from .figures import Picture
from .gradients import fill
from .losses import Loss, Plan, Steps, losses_of, make_plan
from .recording import Strand, call, recording
from .strands import ByStrand, nearest


@dataclass(frozen=True)
class StrandInfluence:
    """Influence on one direction of one layer.

    Attributes:
        name: the module's name and the parameters' suffix, such as ``"encoder.l0"``.
        states: for each state, by the cell's name, ‖∂ℓ_t/∂s_k‖: ``[t, k]``, or ``[t, k, N]``
            where there is a loss for each row. NaN where it was not computed.
        inputs: the same for the layer's inputs, ‖∂ℓ_t/∂x_k‖.
        reverse: whether time runs backwards in it, so that later steps reach earlier losses.
        aligned: whether it has a step for each loss; an encoder before a decoder has not.
    """

    name: str
    states: dict[str, Tensor]
    inputs: Tensor
    reverse: bool
    aligned: bool

    def by_distance(self, row: Tensor, t: int) -> Tensor:
        """The row of loss t of a matrix ``[k, ...]``, from the loss's own step on, into the past.

        In a reverse direction into the future. Steps that are not aligned with the losses are
        counted from their end.
        """
        if not self.aligned:
            return row if self.reverse else row.flip(0)
        return row[t:] if self.reverse else row[: t + 1].flip(0)

    @property
    def whole(self) -> Tensor:
        """‖∂ℓ_t/∂s_k‖ for the whole state, all of the cell's states together, as `states`."""
        norms = torch.stack([*self.states.values()])
        scale = norms.amax(0)  # squares of small norms would be lost
        scale = torch.where(scale > 0, scale, 1)
        found: Tensor = (norms / scale).square().sum(0).sqrt() * scale
        return found

    def mean_by_distance(
        self,
        matrix: Tensor,
        steps: Sequence[int],
        of: Callable[[Tensor], Tensor] = lambda past: past,
    ) -> Tensor:
        """The mean over losses (and rows) so many steps from the loss, ``[lags]``.

        Args:
            matrix: ``[t, k]`` or ``[t, k, N]``; NaN is left out.
            steps: the times t of its rows.
            of: what of each loss's row ``[lags, N]``, in the order of distance, to take the mean.
        """
        matrix = matrix.reshape(*matrix.shape[:2], -1)
        sums = matrix.new_zeros(matrix.shape[1])
        counts = torch.zeros_like(sums)
        for row, t in zip(matrix, steps, strict=True):
            past = of(self.by_distance(row, t))
            known = ~past.isnan()
            sums[: len(past)] += torch.where(known, past, 0).sum(-1)
            counts[: len(past)] += known.sum(-1)
        return (sums / counts)[: int(counts.nonzero().max()) + 1 if counts.any() else 0]


@dataclass(frozen=True)
class Influence(ByStrand[StrandInfluence]):
    """How much of every loss arrives where, by `influence`.

    Attributes:
        steps: the times t of the rows.
        strands: each direction of each layer by its name, in the order in which they ran.
        causal: whether no loss depends on a state that comes after it.
    """

    steps: tuple[int, ...]
    strands: dict[str, StrandInfluence]
    causal: bool

    @property
    def nearest(self) -> StrandInfluence:
        """The layer nearest to the loss, forward in time."""
        return nearest(self.strands)

    @property
    def matrix(self) -> Tensor:
        """‖∂ℓ_t/∂h_k‖ of the layer nearest to the loss, for h its output: ``[t, k]``."""
        return next(iter(self.nearest.states.values()))

    @property
    def inputs(self) -> Tensor:
        """‖∂ℓ_t/∂x_k‖ of the inputs of the layer that runs first."""
        return next(iter(self.strands.values())).inputs

    def by_lag(self, name: str | None = None, state: str | None = None) -> Tensor:
        """The mean influence of the state so many steps before the loss.

        Args:
            name: which strand; the one nearest to the loss if None.
            state: which state; the output if None, the layer's inputs if "x".

        Returns:
            ``[lags]``, lag 0 first: the mean over all t (and rows) that have a step so far back.
            In a reverse direction, the mean over steps so far ahead.
        """
        strand = self.nearest if name is None else self.strands[name]
        known = {**strand.states, "x": strand.inputs}
        matrix = known[next(iter(known)) if state is None else state]
        return strand.mean_by_distance(matrix, self.steps)

    def picture(self, strand: str | None = None, row: int | None = None) -> Picture:
        """The matrix as a heat map, and the mean by lag of every state and of the inputs.

        Args:
            strand: its name; the one nearest to the loss if not given.
            row: which sequence of the batch; the mean over all if not given.

        Raises:
            ValueError: if there is no such strand or row.
        """
        return figures.influence(self, strand, row)


def influence(
    model: nn.Module,
    x: Any,
    loss: Loss,
    *,
    steps: Steps = None,
    window: int | None = None,
    memory: int | str = "2GB",
) -> Influence:
    r"""How much of the loss at step t arrives at the state of step k: ‖∂ℓ_t/∂h_k‖, exactly.

    .. math::
        \frac{\partial \ell_t}{\partial h_k} = \frac{\partial \ell_t}{\partial h_t}
        \prod_{j=k+1}^{t} \frac{\partial h_j}{\partial h_{j-1}}

    in a single layer; in general the total derivative, along every path through the model. It
    runs in evaluation mode, its layers on the reference in the dtype that they have, and is
    left as it was.

    Args:
        model: any module with recurrent layers of unrolled's or torch.nn's in it, or one itself.
        x: the model's input; a tuple for several arguments.
        loss: of what the model returns (for a layer itself, of its output sequence): one number
            for each step, ``[T]``, or for each step and row, ``[T, N]``, if rows do not see each
            other. A single number counts as the loss of the last step.
        steps: the losses to look at: all of them (None), every so many up to the last (a number),
            or these.
        window: look at most so many steps back; what lies beyond is NaN in the result.
        memory: the most to use, in bytes or as "2GB". What would need more is refused before it
            begins; what fits is done in blocks of losses.

    Returns:
        The norms (Euclidean, over units; over units and rows where the loss is ``[T]``), zero
        where nothing arrives.

    Raises:
        TypeError: if an argument is of a wrong kind.
        ValueError: if there is no layer to look at, the losses are not as described, a step does
            not exist, or memory does not suffice.

    Example:
        >>> model = unrolled.LSTM(4, 8)
        >>> found = influence(model, torch.randn(20, 1, 4), lambda y: y.square().sum((1, 2)))
        >>> found.matrix.shape, found.by_lag().shape
        (torch.Size([20, 20]), torch.Size([20]))
    """
    plan = make_plan(
        model,
        x,
        loss,
        verb="influence",
        steps=steps,
        window=window,
        memory=memory,
        per_loss=_per_loss,
        kept=_kept,
    )
    with recording(model, "influence") as recorder:
        losses, _ = losses_of(loss, call(model, x), "influence", plan.time)
        found = {name: _Norms(strand, plan) for name, strand in recorder.strands.items()}
        fill(found.values(), recorder, losses, plan)
    return Influence(
        plan.steps,
        {name: norms.result() for name, norms in found.items()},
        plan.causal,
    )


class _Norms:
    """The result for one strand, while it is filled."""

    def __init__(self, strand: Strand, plan: Plan) -> None:
        self._strand, self._plan = strand, plan
        self._row = {t: row for row, t in enumerate(plan.steps)}
        rows = (plan.rows,) if plan.per_row else ()
        shape = (len(plan.steps), len(strand.steps), *rows)
        self._states = {
            name: torch.zeros(shape, dtype=torch.float64, device="cpu")
            for name in strand.state_names
        }
        self._inputs = torch.zeros(shape, dtype=torch.float64, device="cpu")

    def nodes(self, reach: range) -> Iterator[Tensor]:
        """The states and inputs of some steps."""
        for k in self._strand.within(reach):
            step = self._strand.steps[k]
            yield from (*step.new, step.x)

    def put(self, block: tuple[int, ...], reach: range, results: Mapping[int, Tensor]) -> None:
        """Gradients ``[B, N, ·]``, by what they are of."""
        within = self._strand.within(reach)
        rows = slice(self._row[block[0]], self._row[block[-1]] + 1)
        steps = [self._strand.steps[k] for k in within]
        for place, matrix in enumerate((*self._states.values(), self._inputs)):
            nodes = [(*step.new, step.x)[place] for step in steps]
            if nodes:
                own = torch.stack([results[id(node)] for node in nodes], dim=1)
                matrix[rows, within.start : within.stop] = _norm(own, self._plan.per_row)

    def result(self) -> StrandInfluence:
        for matrix in (*self._states.values(), self._inputs):
            matrix[self._plan.outside(matrix.shape[1])] = float("nan")
        aligned = len(self._strand.steps) == self._plan.losses
        return StrandInfluence(
            self._strand.name, self._states, self._inputs, self._strand.reverse, aligned
        )


def _norm(gradient: Tensor, per_row: bool) -> Tensor:
    """``[B, T, N, ·]`` to ``[B, T, N]`` or ``[B, T]``.

    In float64, where squares of small numbers are no zeros.
    """
    flat = gradient.double().flatten(3 if per_row else 2)
    norm: Tensor = torch.linalg.vector_norm(flat, dim=-1)
    return norm.cpu()


def _per_loss(strand: Strand) -> int:
    """Bytes of one loss's gradients at a step: of states and inputs, and of what is in between.

    The factor is measured (benchmarks/lens.py): a little more than what backward holds at its peak.
    """
    step = strand.steps[0]
    numbers = sum(state.numel() for state in step.after) + step.x.numel()
    return 5 * numbers * step.after[0].element_size()


def _kept(strand: Strand, losses: int) -> int:
    rows = strand.steps[0].after[0].shape[0]
    return losses * len(strand.steps) * rows * 8 * (len(strand.state_names) + 1)
