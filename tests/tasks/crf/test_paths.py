"""Probabilities of tags at given steps against enumeration."""

from __future__ import annotations

import itertools

import pytest
import torch

from unrolled.tasks.crf import Paths

from .enumeration import LENGTHS, K, T, emissions, field, lengths, rules, sequences


@rules
@pytest.mark.parametrize("log_space", [False, True])
def test_paths_have_the_probability_of_enumeration(
    rules: bool, log_space: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    crf, e = field(rules=rules), emissions()
    if log_space:
        monkeypatch.setattr(crf, "_scaled", lambda emissions: False)
    after = torch.tensor([True, False, True])
    cases = [
        (n, first, path)
        for n, length in enumerate(LENGTHS)
        for first in range(length)
        for count in range(1, length - first + 1)
        for path in itertools.product(range(K), repeat=count)
        if all(crf.allowed[a, b] for a, b in itertools.pairwise(path))
    ]
    tags = torch.zeros(T, len(cases), dtype=torch.int64)
    for place, (_, _, path) in enumerate(cases):
        tags[: len(path), place] = torch.tensor(path)
    row, first = (torch.tensor([case[k] for case in cases]) for k in (0, 1))
    counts = torch.tensor([len(path) for *_, path in cases])
    paths = Paths(row, first, tags, counts, after.expand(len(cases), K))
    found = crf.path_probability(e, lengths, paths).exp()
    for probability, (n, start, path) in zip(found.tolist(), cases, strict=True):
        scores = sequences(crf, e[:, n], LENGTHS[n])
        every = {y: float(torch.tensor(s).exp()) for y, s in scores.items()}
        stop = start + len(path)
        fit = [y for y in every if y[start:stop] == path and (stop == len(y) or after[y[stop]])]
        share = sum(every[y] for y in fit) / sum(every.values())
        assert probability == pytest.approx(share, abs=1e-6)
