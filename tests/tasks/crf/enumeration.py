"""A small random field and all its sequences one by one, to hold the algorithms against."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from unrolled.tasks.crf import ConditionalRandomField

T, K = 4, 3
LENGTHS = [4, 1, 0, 3, 2]
N = len(LENGTHS)

lengths = torch.tensor(LENGTHS)
rules = pytest.mark.parametrize("rules", [False, True], ids=["free", "rules"])


def field(*, rules: bool = False, learned: bool = True) -> ConditionalRandomField:
    """A field of random scores; with rules, 1 → 2 and 0 → 0 and some ends are forbidden."""
    allowed = torch.ones(K, K, dtype=torch.bool)
    start, end = torch.ones(K, dtype=torch.bool), torch.ones(K, dtype=torch.bool)
    if rules:
        allowed[1, 2] = allowed[0, 0] = False
        start[2] = end[1] = False
    crf = ConditionalRandomField(K, allowed, start, end, learned=learned).double()
    draw = torch.Generator().manual_seed(5)
    for parameter in crf.parameters():
        parameter.data = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
    return crf


def emissions() -> Tensor:
    draw = torch.Generator().manual_seed(3)
    return 2 * torch.randn(T, N, K, generator=draw, dtype=torch.float64)


def sequences(crf: ConditionalRandomField, e: Tensor, length: int) -> dict[tuple[int, ...], float]:
    """Score of each allowed sequence of one row."""
    found = {}
    start, transitions, end = (p.tolist() for p in (crf.start, crf.transitions, crf.end))
    for y in itertools.product(range(K), repeat=length):
        if y and not (crf.may_start[y[0]] and crf.may_end[y[-1]]):
            continue
        if not all(crf.allowed[a, b] for a, b in itertools.pairwise(y)):
            continue
        score = float(sum(e[t, k].item() for t, k in enumerate(y)))
        score += float(sum(transitions[a][b] for a, b in itertools.pairwise(y)))
        if y:
            score += start[y[0]] + end[y[-1]]
        found[y] = score
    return found
