"""A sample through a trained model: what it predicts, what its units do, what reaches what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from unrolled.engine.threads import one_thread
from unrolled.errors import UserError
from unrolled.lens.recording import call, recording

from .. import lens
from .features import FEATURES, correlations, features
from .refusal import refusing
from .subject import Subject

TOP = 5
"""Predictions that are told of each step."""

STEPS, ROWS = 400, 16
"""Unseen text in which units are searched for: steps of a row, and rows."""


class Guess(NamedTuple):
    """A token that may come next, and its probability."""

    name: str
    probability: float


@dataclass(frozen=True)
class Inspection:
    """A sample's way through a model.

    Attributes:
        names: the tokens in writing; step t reads the t-th of them.
        guesses: the likeliest next tokens after each step.
        losses: bits of each token but the first, given all before: ``losses[t]`` is of token
            t + 1, the loss of step t.
        trace: states and gates of every step.
        features: what a reader keeps in mind, ``[F, T]``; see `page.features`.
    """

    names: list[str]
    guesses: list[list[Guess]]
    losses: list[float]
    trace: lens.Trace
    features: Tensor

    def values(self, strand: str, name: str) -> Tensor:
        """A state or gate of a strand, ``[T, H]``.

        Raises:
            KeyError: if there is none of that name.
        """
        found = self.trace[strand]
        return {**found.states, **found.gates}[name][:, 0]

    def correlations(self, strand: str, name: str) -> Tensor:
        """Pearson's r of each unit with each feature over the sample, ``[F, H]``."""
        return correlations(self.values(strand, name), self.features)


def inspect(subject: Subject, sample: str) -> Inspection:
    """Run a sample through a model.

    Raises:
        UserError: if the model cannot read it.
    """
    tokens = subject.tokens(sample)
    with one_thread():
        trace = lens.trace(subject.model, subject.input(tokens.unsqueeze(1)))
    chances = subject.logits(trace.output)[:, 0].softmax(-1)
    top = chances.topk(min(TOP, chances.shape[1]))
    names = [subject.name_of(token) for token in tokens.tolist()]
    return Inspection(
        names,
        [
            [Guess(subject.name_of(t), p) for t, p in zip(found, chance, strict=True)]
            for found, chance in zip(top.indices.tolist(), top.values.tolist(), strict=True)
        ],
        subject.losses(trace.output, tokens).tolist(),
        trace,
        features(names),
    )


def influence(subject: Subject, sample: str, steps: int | tuple[int, ...]) -> lens.Influence:
    """How much of some steps' losses, in bits, arrives at every earlier state.

    The last token is only predicted, so there is a step less than tokens.

    Args:
        subject: the model.
        sample: what it reads.
        steps: the losses to look at: every so many up to the last, or these.

    Raises:
        UserError: if the model cannot read the sample, there is nothing to predict, or the model is
            too large.
    """
    tokens = two_or_more(subject, sample)
    with one_thread(), refusing():
        return lens.influence(
            subject.model,
            subject.input(tokens[:-1].unsqueeze(1)),
            lambda output: subject.losses(output, tokens),
            steps=steps,
        )


class Unit(NamedTuple):
    """A unit, and how well it follows a feature."""

    strand: str
    state: str
    number: int
    r: float


def find_units(subject: Subject, count: int = 5) -> dict[str, list[Unit]] | None:
    """For every feature the units whose state follows it best, over unseen data.

    Of each unit the state that does it best stands for it.

    Returns:
        For each feature that occurs units in falling order of |r|; None without unseen data.
    """
    tokens = subject.rows(STEPS, ROWS)
    if tokens is None:
        return None
    marks = torch.cat(
        [features([subject.name_of(t) for t in row]) for row in tokens.T.tolist()], dim=1
    )
    best: dict[str, list[Unit]] = {name: [] for name in FEATURES}
    with one_thread(), recording(subject.model, "find_units", graph=False) as recorder:
        call(subject.model, subject.input(tokens))
        for strand in recorder.strands.values():
            names = strand.state_names
            r = torch.stack(
                [
                    # rows one after the other, as the marks are
                    correlations(
                        torch.stack([step.after[k] for step in strand.steps], 1).flatten(0, 1),
                        marks,
                    )
                    for k in range(len(names))
                ]
            )
            strength, state = r.abs().max(0)
            for place, name in enumerate(FEATURES):
                order = strength[place].topk(min(count, strength.shape[1])).indices.tolist()
                for unit in order:
                    k = int(state[place, unit])
                    best[name].append(Unit(strand.name, names[k], unit, float(r[k, place, unit])))
    ranked = {name: sorted(u, key=lambda unit: -abs(unit.r))[:count] for name, u in best.items()}
    return {name: units for name, units in ranked.items() if units and units[0].r}


def two_or_more(subject: Subject, sample: str) -> Tensor:
    """A sample's tokens; refuses one alone, after which nothing is known to come."""
    tokens = subject.tokens(sample)
    if len(tokens) < 2:
        raise UserError("sample: expected at least 2 characters, for a loss to reach back; got 1")
    return tokens
