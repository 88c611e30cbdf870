"""The terms of one strand: gradients at products, times what was multiplied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..engine.threads import share, threads_kept
from .losses import Plan
from .recording import Step, Strand


@dataclass(frozen=True)
class StrandContributions:
    """The terms in one direction of one layer.

    Attributes:
        name: of the strand.
        of: which parameter: "U", "W", "P", "b" or "c".
        norms: of the terms (Frobenius): ``[t, k]``, or ``[t, k, N]`` where there is a loss for each
            row. Zero where nothing arrives, NaN where it was not computed.
        gates: the same for each gate's rows of the parameter.
        explicit: the norm of ∂⁺ℓ_t, through step t alone: ``[t]`` or ``[t, N]``.
        implicit: the norm of the rest of ∂ℓ_t, through all other steps.
        explicit_gradient: the sum of the explicit parts, in the parameter's shape.
        implicit_gradient: the sum of the implicit ones.
        terms: ``[t, k, *shape]`` or ``[t, k, N, *shape]`` if they were asked for.
        reverse: whether time runs backwards in it, so that terms are at k ≥ t.
    """

    name: str
    of: str
    norms: Tensor
    gates: dict[str, Tensor]
    explicit: Tensor
    implicit: Tensor
    explicit_gradient: Tensor
    implicit_gradient: Tensor
    terms: Tensor | None
    reverse: bool

    @property
    def gradient(self) -> Tensor:
        """The sum of all terms: what autograd gives for the sum of the losses looked at."""
        return self.explicit_gradient + self.implicit_gradient


class Factor(NamedTuple):
    """A product whose gradient with respect to its matrix is δ at ``result`` times ``operand``."""

    gate: str
    result: Tensor
    operand: Tensor


def factors(step: Step, of: str) -> list[Factor]:
    """The products of one step with one parameter; a bias multiplies ones."""
    program, weights = step.setting.program, step.setting.weights
    if of in "Wb":
        if of == "b" and weights.input_bias is None:
            return []
        found = [
            Factor(gate.name.removeprefix("W_"), node, step.x) for gate, node in step.gates.items()
        ]
    else:
        if of == "c" and weights.recurrent_bias is None:
            return []
        matrix = "P" if of == "P" else "U"
        made = [m for m in step.products if m.product.matrix == matrix]
        order = program.rows(matrix)
        found = [Factor(m.product.gate, m.result, m.operand) for m in made]
        found.sort(key=lambda factor: order.index(factor.gate))
    if of in "bc":
        ones = step.after[0].new_ones(len(step.after[0]), 1)
        found = [factor._replace(operand=ones) for factor in found]
    return found


def shape_of(step: Step, of: str) -> tuple[int, ...]:
    """The parameter's."""
    weights = step.setting.weights
    found = {
        "U": weights.recurrent,
        "W": weights.input,
        "P": weights.projection,
        "b": weights.input_bias,
        "c": weights.recurrent_bias,
    }[of]
    return () if found is None else tuple(found.shape)


class Sums:
    """The result for one strand, while it is filled.

    Dimensions: B losses, K steps, R groups of rows whose losses are apart, M products that are
    summed (rows that share a loss, and several products of one gate), Q blocks on the diagonal of
    the matrix, H and S its height and width.
    """

    def __init__(self, strand: Strand, of: str, plan: Plan, terms: bool) -> None:
        self._strand, self._of, self._plan = strand, of, plan
        self._factors = [factors(step, of) for step in strand.steps]
        self._row = {t: row for row, t in enumerate(plan.steps)}
        height, *width = shape_of(strand.steps[0], of)
        self._height, self._width = height, width[0] if width else 1
        apart = (plan.rows,) if plan.per_row else ()
        matrix = (len(plan.steps), len(strand.steps), *apart)
        gates = dict.fromkeys(factor.gate for factor in self._factors[0])
        self._squares = {
            gate: torch.zeros(matrix, dtype=torch.float64, device="cpu") for gate in gates
        }
        self._explicit, self._implicit = torch.zeros(
            2, *matrix[:1], *apart, dtype=torch.float64, device="cpu"
        )
        self._sums = torch.zeros(2, height, self._width, dtype=torch.float64, device="cpu")
        shape = (*matrix, height, self._width)
        self._terms = torch.zeros(shape, dtype=torch.float64, device="cpu") if terms else None

    def nodes(self, reach: range) -> Iterator[Tensor]:
        """What the products of some steps give."""
        for k in self._strand.within(reach):
            yield from (factor.result for factor in self._factors[k])

    def put(self, block: tuple[int, ...], reach: range, results: Mapping[int, Tensor]) -> None:
        """Gradients ``[B, N, ·]``, by what they are of."""
        ks = self._strand.within(reach)
        if not ks:
            return
        height = self._height // len(self._squares)
        with threads_kept() as threads:
            # the largest product: all steps of one loss for one gate
            share(len(ks) * self._plan.rows * height * self._width, threads)
            for place, gate in enumerate(self._squares):
                rows = slice(place * height, (place + 1) * height)
                self._put_gate(gate, rows, block, ks, results)

    def _put_gate(
        self,
        gate: str,
        rows: slice,
        block: tuple[int, ...],
        ks: range,
        results: Mapping[int, Tensor],
    ) -> None:
        """The same for one gate, which has these rows of the parameter."""
        own = [[f for f in self._factors[k] if f.gate == gate] for k in ks]
        # [K, R, M, ·] and [B, K, R, M, ·]
        operand = torch.stack([self._group([f.operand.detach() for f in fs]) for fs in own])
        delta = torch.stack([self._group([results[id(f.result)] for f in fs]) for fs in own], 1)
        delta = self._inside(delta, block, ks)
        blocks = operand.shape[-1] // self._width
        operand = operand.view(*operand.shape[:-1], blocks, self._width)
        delta = delta.view(*delta.shape[:-1], blocks, delta.shape[-1] // blocks)
        for i, k in enumerate(ks):
            self._square(gate, block, k, delta[:, i], operand[i])
        for b, t in enumerate(block):
            self._sum(t, rows, ks, delta[b], operand)

    def _group(self, parts: list[Tensor]) -> Tensor:
        """Several ``[.., N, ·]`` to ``[.., R, M, ·]`` in float64, rows together or apart."""
        together = torch.stack(parts, dim=-2).double().cpu()  # [.., N, P, ·]
        return together if self._plan.per_row else together.flatten(-3, -2).unsqueeze(-3)

    def _inside(self, delta: Tensor, block: tuple[int, ...], ks: range) -> Tensor:
        """Zeros where step k is outside loss t's own window."""
        rows = [self._row[t] for t in block]
        outside = self._plan.outside(ks.stop)[rows, ks.start :]
        return delta.masked_fill(outside.view(*outside.shape, 1, 1, 1), 0)

    def _square(
        self, gate: str, block: tuple[int, ...], k: int, delta: Tensor, operand: Tensor
    ) -> None:
        """The squared norm of a sum of outer products is that of their scalar products."""
        of_deltas = torch.einsum("brmqh,brnqh->brqmn", delta, delta)
        of_operands = torch.einsum("rmqs,rnqs->rqmn", operand, operand)
        squares = (of_deltas * of_operands).sum((-3, -2, -1)).clamp(min=0)
        rows = slice(self._row[block[0]], self._row[block[-1]] + 1)
        self._squares[gate][rows, k] = squares if self._plan.per_row else squares[:, 0]

    def _sum(self, t: int, rows: slice, ks: range, delta: Tensor, operand: Tensor) -> None:
        """The explicit and the implicit part of one loss; its terms where they are wanted."""
        row = self._row[t]
        explicit = delta.new_zeros(())
        if t in ks:
            here = t - ks.start
            explicit = _outer(delta[here : here + 1], operand[here : here + 1])
            others = delta.clone()
            others[here] = 0
        else:
            others = delta
        implicit = _outer(others, operand)
        for part, norms, total in (
            (explicit, self._explicit, self._sums[0]),
            (implicit, self._implicit, self._sums[1]),
        ):
            if part.ndim:
                squares = part.square().sum((1, 2))
                norms[row] += squares if self._plan.per_row else squares[0]
                total[rows] += part.sum(0)
        if self._terms is not None:
            for i, k in enumerate(ks):
                term = _outer(delta[i : i + 1], operand[i : i + 1])
                self._terms[row, k, ..., rows, :] = term if self._plan.per_row else term[0]

    def result(self) -> StrandContributions:
        """Norms, sums and terms, when all blocks have been put in."""
        outside = self._plan.outside(len(self._strand.steps))
        gates = {gate: squares.sqrt() for gate, squares in self._squares.items()}
        norms = torch.stack(list(self._squares.values())).sum(0).sqrt()
        for matrix in (norms, *gates.values(), *([] if self._terms is None else [self._terms])):
            matrix[outside] = float("nan")
        bias = self._of in "bc"
        explicit, implicit = self._sums.squeeze(-1) if bias else self._sums
        return StrandContributions(
            self._strand.name,
            self._of,
            norms,
            gates,
            self._explicit.sqrt(),
            self._implicit.sqrt(),
            explicit,
            implicit,
            self._terms.squeeze(-1) if bias and self._terms is not None else self._terms,
            self._strand.reverse,
        )


def _outer(delta: Tensor, operand: Tensor) -> Tensor:
    """Sums of outer products: ``[K, R, M, Q, H]`` and ``[K, R, M, Q, S]`` to ``[R, Q·H, S]``."""
    return torch.einsum("krmqh,krmqs->rqhs", delta, operand).flatten(1, 2)


def bytes_per_loss(strand: Strand, of: str) -> int:
    """Bytes of one loss's gradients at a step, on their way and as float64."""
    step = strand.steps[0]
    states = sum(state.numel() for state in step.after) + step.x.numel()
    own = sum(factor.result.numel() for factor in factors(step, of))
    return 5 * (states + own) * step.after[0].element_size() + 3 * 8 * own


def bytes_kept(strand: Strand, of: str, losses: int, terms: bool) -> int:
    """Bytes of the result."""
    step = strand.steps[0]
    rows = step.after[0].shape[0]
    numbers = torch.Size(shape_of(step, of)).numel()
    gates = len({factor.gate for factor in factors(step, of)})
    matrices = losses * len(strand.steps) * rows
    return 8 * (matrices * (gates + 1) + 4 * numbers * rows + terms * matrices * numbers)
