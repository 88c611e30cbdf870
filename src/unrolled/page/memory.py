"""The memory of a trained model, over a sample: measured decay, a verdict, spectra."""

from __future__ import annotations

from torch import Tensor

from unrolled.engine.threads import one_thread
from unrolled.errors import UserError

from .. import lens
from .inspect import two_or_more
from .refusal import refusing
from .subject import Subject

LOSSES = 40
"""About so many losses, evenly spread, stand for all: a mean changes little with more."""

EXPONENTS = 32
"""Lyapunov exponents, the largest; all of them would take time with the cube of the units."""


def half_life(subject: Subject, sample: str) -> lens.HalfLife:
    """The decay of each layer's memory with a verdict, over some of the sample's losses in bits.

    Raises:
        UserError: if the model cannot read the sample, there is nothing to predict, or the model is
            too large.
    """
    tokens = two_or_more(subject, sample)
    every = max(1, (len(tokens) - 1) // LOSSES)
    x = subject.input(tokens[:-1].unsqueeze(1))
    with one_thread(), refusing():
        return lens.half_life(
            subject.model, x, lambda output: subject.losses(output, tokens), steps=every
        )


def lyapunov(subject: Subject, sample: str) -> dict[str, Tensor]:
    """The largest Lyapunov exponents of each strand, in nats per step, the largest first.

    The first quarter of the steps is left out, as the half-life's verdict leaves it out.

    Raises:
        UserError: as `half_life`.
    """
    tokens = two_or_more(subject, sample)
    first = lens.trace(subject.model, subject.input(tokens[:1].unsqueeze(1)))
    sizes = [sum(s.shape[-1] for s in own.states.values()) for own in first.strands.values()]
    x = subject.input(tokens[:-1].unsqueeze(1))
    with one_thread(), refusing():
        found = lens.lyapunov(
            subject.model, x, count=min(EXPONENTS, *sizes), transient=(len(tokens) - 1) // 4
        )
    return {name: strand.spectrum for name, strand in found.strands.items()}


def singular_values(subject: Subject, sample: str, step: int) -> dict[str, Tensor]:
    """The singular values of ∂s_t/∂s_{t-1} of each strand at one step, the largest first.

    Raises:
        UserError: as `half_life`, or if there is no such step.
    """
    tokens = two_or_more(subject, sample)
    if not 0 <= step < len(tokens) - 1:
        raise UserError(f"step: expected 0 to {len(tokens) - 2}, got {step}")
    x = subject.input(tokens[:-1].unsqueeze(1))
    with one_thread(), refusing():
        found = lens.jacobians(subject.model, x, steps=[step])
    return {name: strand.singular_values()[0, 0] for name, strand in found.strands.items()}
