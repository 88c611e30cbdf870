from itertools import chain, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unrolled.training.batches import Buckets, Indices, Streams
from unrolled.training.processes import Processes

EPOCHS = st.integers(0, 3)


@given(
    length=st.integers(2, 400),
    batch_size=st.integers(1, 9),
    seq_len=st.integers(1, 50),
    random_boundaries=st.booleans(),
    epoch=st.integers(0, 3),
    dtype=st.sampled_from(["uint8", "uint16", "uint32"]),
)
def test_every_token_is_predicted_once_in_order(
    length: int, batch_size: int, seq_len: int, random_boundaries: bool, epoch: int, dtype: str
) -> None:
    if length <= batch_size:
        return
    rng = np.random.default_rng(length)
    tokens = rng.integers(0, 250, length).astype(dtype)
    streams = Streams(
        tokens, batch_size=batch_size, seq_len=seq_len, random_boundaries=random_boundaries
    )
    chunks = list(streams.epoch(epoch))
    assert len(chunks) == streams.count(epoch)
    assert all(1 <= len(x) <= seq_len and x.shape == y.shape for x, y in chunks)
    inputs = torch.cat([x for x, _ in chunks])
    targets = torch.cat([y for _, y in chunks])
    used = (length - 1) // batch_size * batch_size
    # Streams one after another are the sequence: order is kept and nothing is read twice.
    assert inputs.T.flatten().tolist() == tokens[:used].tolist()
    assert targets.T.flatten().tolist() == tokens[1 : used + 1].tolist()


def test_boundaries_differ_between_epochs_and_depend_on_the_seed_only() -> None:
    tokens = np.zeros(1000, np.uint8)

    def first(seed: int) -> list[int]:
        streams = Streams(tokens, batch_size=2, seq_len=32, random_boundaries=True, seed=seed)
        return [len(streams.batch(epoch, 0)[0]) for epoch in range(8)]

    assert len(set(first(0))) > 1
    assert first(0) == first(0)
    assert first(0) != first(1)


def test_too_few_tokens() -> None:
    with pytest.raises(ValueError, match="3 streams need 4 tokens, got 3"):
        Streams(np.zeros(3, np.uint8), batch_size=3, seq_len=1)


@given(
    length=st.integers(12, 400),
    batch_size=st.integers(3, 9),
    count=st.integers(1, 3),
    random_boundaries=st.booleans(),
    epoch=st.integers(0, 3),
)
def test_processes_share_the_streams_of_every_chunk(
    length: int, batch_size: int, count: int, random_boundaries: bool, epoch: int
) -> None:
    tokens = np.random.default_rng(length).integers(0, 250, length).astype(np.uint8)

    def streams(processes: Processes) -> Streams:
        return Streams(
            tokens,
            batch_size=batch_size,
            seq_len=7,
            random_boundaries=random_boundaries,
            processes=processes,
        )

    whole = streams(Processes())
    shares = [streams(Processes(rank, count)) for rank in range(count)]
    assert {share.count(epoch) for share in shares} == {whole.count(epoch)}
    for index in range(whole.count(epoch)):
        found = [share.batch(epoch, index) for share in shares]
        for place, expected in enumerate(whole.batch(epoch, index)):
            assert torch.equal(torch.cat([pair[place] for pair in found], dim=1), expected)
    rows = [share.batch(epoch, 0)[0].shape[1] for share in shares]
    assert max(rows) - min(rows) <= 1


def test_fewer_streams_than_processes() -> None:
    with pytest.raises(ValueError, match="3 processes need as many streams, got 2"):
        Streams(np.zeros(9, np.uint8), batch_size=2, seq_len=1, processes=Processes(0, 3))


# Whole sequences --------------------------------------------------------------------------------


def drawn(indices: Indices, draw: np.random.Generator) -> tuple[list[int], float]:
    """A batch as its sequences' numbers and what is random about it."""
    return indices.tolist(), float(draw.random())


def buckets(
    lengths: list[int], batch_size: int, seed: int = 0, processes: Processes | None = None
) -> Buckets:
    return Buckets(
        lengths, drawn, batch_size=batch_size, seed=seed, processes=processes or Processes()
    )


LENGTHS = st.lists(st.integers(0, 90), min_size=1, max_size=300)


@given(lengths=LENGTHS, batch_size=st.integers(1, 20), seed=st.integers(0, 2**31), epoch=EPOCHS)
def test_every_sequence_comes_once_in_an_epoch(
    lengths: list[int], batch_size: int, seed: int, epoch: int
) -> None:
    found = buckets(lengths, batch_size, seed)
    batches = [found.batch(epoch, index)[0] for index in range(found.count(epoch))]
    assert sorted(chain(*batches)) == list(range(len(lengths)))
    short = [batch for batch in batches if len(batch) != batch_size]
    assert len(short) <= 1  # the rest, wherever it stands
    for batch in batches:  # the longest first, as packing wants them
        sizes = [lengths[i] for i in batch]
        assert sizes == sorted(sizes, reverse=True)


@given(lengths=LENGTHS, batch_size=st.integers(1, 20), epoch=EPOCHS)
def test_rows_of_a_batch_are_neighbours_by_length(
    lengths: list[int], batch_size: int, epoch: int
) -> None:
    """Within a group no other sequence's length lies between those of a batch."""
    found = buckets(lengths, batch_size)
    batches = [found.batch(epoch, index)[0] for index in range(found.count(epoch))]
    if len(batches) > Buckets.GROUP:
        return
    spans = sorted((min(sizes), max(sizes)) for sizes in ([lengths[i] for i in b] for b in batches))
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_padding_is_little_and_who_meets_whom_changes() -> None:
    lengths = np.random.default_rng(0).integers(1, 200, 5000).tolist()
    found = buckets(lengths, 16)
    orders = [[found.batch(epoch, k)[0] for k in range(found.count(epoch))] for epoch in (0, 1)]
    for order in orders:
        padded = sum(len(batch) * max(lengths[i] for i in batch) for batch in order)
        assert sum(lengths) / padded > 0.95
    assert not {tuple(sorted(b)) for b in orders[0]} & {tuple(sorted(b)) for b in orders[1]}
    firsts = [lengths[batch[0]] for batch in orders[0]]
    assert np.corrcoef(np.arange(len(firsts)), firsts)[0, 1] ** 2 < 0.1  # not sorted by length


@given(
    lengths=LENGTHS, batch_size=st.integers(1, 9), places=st.lists(st.integers(0, 99), max_size=9)
)
def test_a_batch_is_given_by_its_address_alone(
    lengths: list[int], batch_size: int, places: list[int]
) -> None:
    used = buckets(lengths, batch_size)
    for place in places:  # in any order, with other epochs between
        address = place % 3, place % used.count(0)
        assert used.batch(*address) == buckets(lengths, batch_size).batch(*address)
        assert used.batch(*address) == used.batch(*address)


def test_the_seed_decides_on_the_order_and_on_what_is_drawn() -> None:
    lengths = list(range(98))
    first, same, other = (buckets(lengths, 7, seed) for seed in (0, 0, 1))
    assert first.batch(0, 0) == same.batch(0, 0)
    assert first.batch(0, 0)[0] != other.batch(0, 0)[0]
    numbers = {first.batch(epoch, k)[1] for epoch in range(3) for k in range(5)}
    numbers |= {other.batch(0, k)[1] for k in range(5)}
    numbers |= {buckets(lengths, 7, 0, Processes(1, 2)).batch(0, k)[1] for k in range(5)}
    numbers.add(float(np.random.default_rng([0, 0]).random()))  # what shuffles the order
    assert len(numbers) == 26


@given(lengths=LENGTHS, batch_size=st.integers(1, 20), count=st.integers(2, 4), epoch=EPOCHS)
def test_processes_share_every_batch(
    lengths: list[int], batch_size: int, count: int, epoch: int
) -> None:
    whole = buckets(lengths, batch_size)
    shares = [buckets(lengths, batch_size, 0, Processes(rank, count)) for rank in range(count)]
    assert {share.count(epoch) for share in shares} == {whole.count(epoch)}
    for index in range(whole.count(epoch)):
        found = [share.batch(epoch, index) for share in shares]
        parts = [batch[0] if batch is not None else [] for batch in found]
        assert sorted(chain(*parts)) == sorted(whole.batch(epoch, index)[0])
        sizes = [len(part) for part in parts]
        assert sizes == sorted(sizes, reverse=True)  # a tail is the first ones'
        assert max(sizes) - min(sizes) <= 1
        assert [part == [] for part in parts] == [batch is None for batch in found]


def test_no_sequence() -> None:
    with pytest.raises(ValueError, match="expected one sequence or more, got none"):
        buckets([], 3)
