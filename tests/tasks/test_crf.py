"""The conditional random field against enumeration of all sequences and against autograd."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from unrolled.tasks.crf import ConditionalRandomField, Paths

T, K = 4, 3
LENGTHS = [4, 1, 0, 3, 2]
N = len(LENGTHS)


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


lengths = torch.tensor(LENGTHS)
rules = pytest.mark.parametrize("rules", [False, True], ids=["free", "rules"])


@rules
def test_partition_score_and_best_are_those_of_enumeration(rules: bool) -> None:
    crf, e = field(rules=rules), emissions()
    partition = crf.log_partition(e, lengths)
    found = crf.best(e, lengths, 5)
    single = crf.best(e, lengths)
    assert torch.equal(single.tags[0], found.tags[0])
    torch.testing.assert_close(single.scores[0], found.scores[0])
    for n, length in enumerate(LENGTHS):
        every = sequences(crf, e[:, n], length)
        exact = torch.tensor(list(every.values()), dtype=torch.float64).logsumexp(0)
        torch.testing.assert_close(partition[n], exact)
        ranked = sorted(every, key=lambda y: -every[y])
        for rank in range(5):
            if rank >= len(ranked):
                assert found.scores[rank, n] == -torch.inf
                continue
            y = ranked[rank]
            assert tuple(found.tags[rank, :length, n].tolist()) == y
            assert float(found.scores[rank, n]) == pytest.approx(every[y])
            tags = torch.zeros(T, N, dtype=torch.int64)
            tags[:length, n] = torch.tensor(y, dtype=torch.int64)
            assert crf.score(e, tags, lengths)[n].item() == pytest.approx(every[y])


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
