"""The terms of a weight's gradient: what each step k adds for the loss of each step t."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from . import figures
from .figures import Picture
from .gradients import fill
from .losses import Loss, Steps, losses_of, make_plan
from .recording import Strand, call, recording
from .strands import ByStrand, nearest
from .terms import StrandContributions, Sums, bytes_kept, bytes_per_loss, factors

Parameter = Literal["U", "W", "P", "b", "c"]

PARAMETERS: dict[str, str] = {
    "U": "recurrent weights",
    "W": "input weights",
    "P": "projection",
    "b": "bias of the input's products",
    "c": "bias of the recurrent products",
}


@dataclass(frozen=True)
class Contributions(ByStrand[StrandContributions]):
    """What each step adds to a weight's gradient, by `contributions`.

    Attributes:
        of: which parameter: "U", "W", "P", "b" or "c".
        steps: the times t of the rows.
        strands: each direction of each layer by its name, in the order in which they ran.
    """

    of: str
    steps: tuple[int, ...]
    strands: dict[str, StrandContributions]

    @property
    def nearest(self) -> StrandContributions:
        """The layer nearest to the loss, forward in time."""
        return nearest(self.strands)

    def picture(self, strand: str | None = None, row: int | None = None) -> Picture:
        """The terms as a heat map, and the explicit and the implicit part of every loss.

        Args:
            strand: its name; the one nearest to the loss if not given.
            row: which sequence of the batch; the mean over all if not given.

        Raises:
            ValueError: if there is no such strand or row.
        """
        return figures.contributions(self, strand, row)


def contributions(
    model: nn.Module,
    x: Any,
    loss: Loss,
    *,
    of: Parameter = "U",
    steps: Steps = None,
    window: int | None = None,
    terms: bool = False,
    memory: int | str = "2GB",
) -> Contributions:
    r"""The (t, k) terms of backpropagation through time: what step k adds for the loss at step t.

    .. math::
        \frac{\partial L}{\partial U} = \sum_t \sum_k \frac{\partial \ell_t}{\partial h_k}
        \frac{\partial^+ h_k}{\partial U}

    where ∂⁺ is the immediate derivative, with the states before step k held constant. The terms
    with k = t are a loss's explicit part, the others its implicit one. With δ the gradient at what
    a product gives, a term is δ times the product's operand, summed over rows; its norm is found
    without writing it out.

    U is what the engine multiplies by, laid out as the layer's ``weight_hh``; for antisymmetric
    recurrent weights it is A − Aᵀ.

    Args:
        model: any module with recurrent layers of unrolled's or torch.nn's in it, or one itself.
        x: the model's input; a tuple for several arguments.
        loss: as for `influence`.
        of: the parameter: recurrent weights "U", input weights "W", projection "P", the bias "b" of
            the input's products or "c" of the recurrent ones.
        steps: the losses to look at, as for `influence`.
        window: look at most so many steps back. Sums are then of what was looked at.
        terms: whether to return the terms themselves.
        memory: the most to use, in bytes or as "2GB"; more is refused before it begins.

    Returns:
        Norms in float64; terms and gradients in float64 too, on the CPU.

    Raises:
        TypeError: if an argument is of a wrong kind.
        ValueError: if there is no layer to look at, none of them has such a parameter, the losses
            are not one for each step, or memory does not suffice.

    Example:
        >>> model = unrolled.GRU(4, 8)
        >>> found = contributions(model, torch.randn(9, 1, 4), lambda y: y.square().sum((1, 2)))
        >>> found["l0"].norms.shape, found["l0"].gradient.shape
        (torch.Size([9, 9]), torch.Size([24, 8]))
    """
    if of not in PARAMETERS:
        known = ", ".join(f'"{name}" ({words})' for name, words in PARAMETERS.items())
        raise ValueError(f"contributions: of must be one of {known}, got {str(of)!r}")

    def kept(strand: Strand, losses: int) -> int:
        return bytes_kept(strand, of, losses, terms)

    plan = make_plan(
        model,
        x,
        loss,
        verb="contributions",
        steps=steps,
        window=window,
        memory=memory,
        per_loss=lambda strand: bytes_per_loss(strand, of),
        kept=kept,
    )
    with recording(model, "contributions") as recorder:
        losses, _ = losses_of(loss, call(model, x), "contributions", plan.time)
        found = {
            name: Sums(strand, of, plan, terms)
            for name, strand in recorder.strands.items()
            if strand.steps and factors(strand.steps[0], of)
        }
        if not found:
            raise ValueError(
                f'contributions: of="{of}": no recurrent layer of the model has {PARAMETERS[of]}'
            )
        fill(found.values(), recorder, losses, plan)
    return Contributions(of, plan.steps, {name: own.result() for name, own in found.items()})
