"""The best sequences against enumeration of all."""

from __future__ import annotations

import pytest
import torch

from .enumeration import LENGTHS, N, T, emissions, field, lengths, rules, sequences


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
