"""Training, and the same loop written out plainly: equal to the bit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.tasks.conftest import write_prose
from torch import Tensor, nn
from torch.nn import functional

import unrolled
from unrolled.tasks.text.model import build_model

# The loop as anyone would write it ---------------------------------------------------------------

N, T, EPOCHS, RATE, CLIP, DECAY, WARMUP, FINAL = 3, 8, 2, 0.02, 0.4, 0.3, 0.25, 0.1


def plain(model: nn.Module, tokens: np.ndarray[Any, Any]) -> tuple[int, int]:
    """Train on aligned streams; returned are the updates, and those that were clipped."""
    length = (len(tokens) - 1) // N
    inputs = torch.tensor(tokens[: N * length].astype(np.int64)).view(N, length).t()
    targets = torch.tensor(tokens[1 : N * length + 1].astype(np.int64)).view(N, length).t()

    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    matrices = [p for p in model.parameters() if p.dim() >= 2 and id(p) not in embeddings]
    others = [p for p in model.parameters() if p.dim() < 2 or id(p) in embeddings]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": DECAY},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.99), fused=True)

    starts = range(0, length, T)
    step, clipped, total = 0, 0, EPOCHS * len(starts)
    model.train()
    for _ in range(EPOCHS):
        state: tuple[Tensor, ...] | None = None
        for start in starts:
            x, y = inputs[start : start + T], targets[start : start + T]
            logits, state = model(x, state)
            state = tuple(part.detach() for part in state)
            loss = functional.cross_entropy(logits.flatten(0, 1), y.flatten())
            torch.autograd.backward(loss * (len(x) / T))  # a short chunk weighs less
            gradients = [p.grad for p in model.parameters() if p.grad is not None]
            norm = float(torch.nn.utils.get_total_norm(gradients))
            if norm > CLIP:
                clipped += 1
                for gradient in gradients:
                    gradient.mul_(CLIP / norm)
            step += 1
            done = step / total
            if done < WARMUP:
                rate = RATE * done / WARMUP
            else:
                fall = 0.5 * (1 + math.cos(math.pi * ((done - WARMUP) / (1 - WARMUP))))
                rate = RATE * (FINAL + (1 - FINAL) * fall)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad()
    return step, clipped


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_training_is_the_plain_loop_bit_for_bit(tmp_path: Path, cell: str, layers: int) -> None:
    run = unrolled.train(
        "text", write_prose(tmp_path / "prose.txt", words=120), out=tmp_path / "run", quiet=True,
        cell=cell, num_layers=layers, hidden_size=10, embedding_size=6, dropout=0.25, seed=11,
        batch_size=N, seq_len=T, max_epochs=EPOCHS, lr=RATE, clip=CLIP, weight_decay=DECAY,
        warmup=WARMUP, final_lr=FINAL, random_boundaries=False, val_fraction=0.0,
        sample_length=0, threads=1, device="cpu",
    )  # fmt: skip
    tokens = np.load(tmp_path / "run" / "cache" / "train.npy")
    torch.manual_seed(11)
    model = build_model(run.options.model, len(run.vocabulary), tmp_path / "run")
    steps, clipped = plain(model, tokens)
    assert steps % 2 == 0
    assert (len(tokens) - 1) // N % T  # the last chunk of an epoch is short
    assert 5 < clipped < steps
    expected, found = model.state_dict(), run.model.state_dict()
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name
