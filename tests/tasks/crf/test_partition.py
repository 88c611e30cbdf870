"""Log Z and its gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from .enumeration import K, N, T, emissions, field, lengths


def test_the_gradient_of_all_scores_is_that_of_finite_differences() -> None:
    crf, e = field(), emissions().requires_grad_()

    def loss(e: Tensor, *scores: Tensor) -> Tensor:
        values = dict(zip(("start", "transitions", "end"), scores, strict=True))
        found: Tensor = torch.func.functional_call(crf, values, (e, tags, lengths))
        return found

    tags = torch.randint(K, (T, N), generator=torch.Generator().manual_seed(1))
    crf.forward = crf.loss
    assert torch.autograd.gradcheck(
        loss, (e, *(p.detach().clone().requires_grad_() for p in crf.parameters()))
    )
