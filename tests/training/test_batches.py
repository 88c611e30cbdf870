import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unrolled.training.batches import Streams


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
