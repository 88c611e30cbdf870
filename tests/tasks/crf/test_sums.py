"""Both ways of summing, at the sizes of scores where they part."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unrolled.tasks.crf import ConditionalRandomField

from .enumeration import K, N, emissions, field, lengths, rules, sequences


def test_accuracy_in_32_bits_does_not_depend_on_the_length() -> None:
    crf = field(rules=True)
    draw = torch.Generator().manual_seed(4)
    long = 8 * torch.randn(3000, 2, K, generator=draw, dtype=torch.float64)
    both = torch.tensor([3000, 2000])
    exact, probable = crf.log_partition(long, both), crf.marginals(long, both)
    crf.float()
    torch.testing.assert_close(crf.log_partition(long.float(), both), exact, rtol=1e-7, atol=1e-3)
    found = crf.marginals(long.float(), both)
    torch.testing.assert_close(found.double(), probable, rtol=0, atol=2e-5)


@rules
def test_log_space_gives_the_same_numbers(rules: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    crf, e = field(rules=rules), emissions().requires_grad_()

    def results() -> list[Tensor]:
        total = crf.log_partition(e, lengths)
        outer = torch.arange(1.0, N + 1, dtype=torch.float64)
        given = [e, *crf.parameters()]
        return [total, *torch.autograd.grad(total, given, outer), crf.marginals(e, lengths)]

    assert crf._scaled(e)
    fast = results()
    monkeypatch.setattr(crf, "_scaled", lambda emissions: False)
    for one, other in zip(fast, results(), strict=True):
        torch.testing.assert_close(one, other)


def test_scores_too_far_apart_for_products_are_added_in_log_space() -> None:
    crf = field(rules=True)
    # twice the way back from a tag that is e^800 times less likely
    e = torch.tensor([[0.0, 800, 0], [800, 0, 0], [0, 0, 800], [0, 800, 0]], dtype=torch.float64)
    e = e.unsqueeze(1)
    every = torch.tensor(list(sequences(crf, e[:, 0], 4).values()), dtype=torch.float64)
    assert not crf._scaled(e)
    found = crf.log_partition(e, torch.tensor([4]))
    torch.testing.assert_close(found, every.logsumexp(0, keepdim=True))


def test_rules_that_part_the_tags_for_good_are_added_in_log_space() -> None:
    crf = ConditionalRandomField(2, torch.eye(2, dtype=torch.bool)).double()
    e = torch.zeros(2000, 1, 2, dtype=torch.float64)
    e[:1999, 0, 0], e[1999, 0, 1] = 1.0, 1999.0
    # each of the two sequences has half of all probability, though one seems lost on the way
    torch.testing.assert_close(crf.marginals(e, torch.tensor([2000])), torch.full_like(e, 0.5))
