"""The conditional random field against enumeration of all sequences and against autograd."""

from __future__ import annotations

import pytest
import torch

from unrolled.tasks.crf import ConditionalRandomField

from .enumeration import LENGTHS, K, N, T, emissions, field, lengths, rules, sequences


@rules
def test_marginals_are_the_gradient_of_the_partition(rules: bool) -> None:
    crf, e = field(rules=rules), emissions().requires_grad_()
    (gradient,) = torch.autograd.grad(crf.log_partition(e, lengths).sum(), e)
    marginals = crf.marginals(e, lengths)
    torch.testing.assert_close(marginals, gradient)
    for n, length in enumerate(LENGTHS):
        every = sequences(crf, e[:, n], length)
        total = sum(torch.tensor(list(every.values())).exp().tolist())
        for t in range(T):
            for k in range(K):
                share = sum(
                    float(torch.tensor(s).exp())
                    for y, s in every.items()
                    if t < length and y[t] == k
                )
                assert float(marginals[t, n, k]) == pytest.approx(share / total, abs=1e-6)


def test_padding_changes_neither_numbers_nor_gradients() -> None:
    crf, clean = field(rules=True), emissions()
    spoilt = clean.clone()
    tags = torch.tensor([[0, 1, 2], [1, 0, 1], [2, 2, 0]])[:, [0, 1, 2, 0, 1]]
    tags = torch.cat([tags, tags[:1]])
    for n, length in enumerate(LENGTHS):
        spoilt[length:, n] = torch.nan
        clean[length:, n] = 7.0
    wild = tags.clone()
    for n, length in enumerate(LENGTHS):
        wild[length:, n] = -100
    results = []
    for e, y in ((clean, tags), (spoilt, wild)):
        e.requires_grad_()
        loss = crf.loss(e, y, lengths)
        loss.sum().backward()  # type: ignore[no-untyped-call]
        grads = [crf.start.grad, crf.transitions.grad, crf.end.grad]
        crf.zero_grad()
        e.requires_grad_(False)
        results.append([loss, e.grad, *grads, *crf.best(e, lengths, 3), crf.marginals(e, lengths)])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_mixed_precision_computes_in_32_bits() -> None:
    crf, e = field(rules=True).float(), emissions().bfloat16()
    tags = torch.zeros(T, N, dtype=torch.int64) + torch.tensor([1, 0, 1, 0]).view(T, 1)
    plain = crf.loss(e.float(), tags, lengths)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = crf.loss(e, tags, lengths)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, plain)


def test_without_learned_scores_tags_are_independent() -> None:
    crf, e = field(learned=False), emissions()
    assert not list(crf.parameters())
    inside = torch.arange(T).unsqueeze(1) < lengths
    torch.testing.assert_close(crf.marginals(e, lengths), e.softmax(2) * inside.unsqueeze(2))


def test_masks_of_a_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"may_end: expected shape \(3,\), got \(2,\)"):
        ConditionalRandomField(3, may_end=[True, False])


def test_no_steps_at_all() -> None:
    crf = field()
    none = torch.zeros(0, 2, K, dtype=torch.float64, requires_grad=True)
    two = torch.zeros(2, dtype=torch.int64)
    loss = crf.loss(none, torch.zeros(0, 2, dtype=torch.int64), two)
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert loss.tolist() == [0, 0]
    assert crf.best(none, two, 2).scores.tolist() == [[0, 0], [-torch.inf, -torch.inf]]
