"""Settings of a small model of text, which trains in a second."""

from typing import Any

SMALL: dict[str, Any] = {
    "hidden_size": 24,
    "embedding_size": 8,
    "seq_len": 16,
    "batch_size": 8,
    "sample_length": 20,
    "threads": 1,
    "lr": 1e-2,
}
