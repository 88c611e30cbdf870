"""Cheap methods beside the network: how often each key sounds, and logistic regression.

The regression predicts each key from all keys of the two frames before, and is fitted by L-BFGS on
the sum of all keys' losses with an L2 penalty, which is chosen on the validation pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from unrolled.errors import UserError
from unrolled.training.run_folder.checkpoint import read_tensors, write_tensors
from unrolled.training.run_folder.folder import RunFolder

from .pieces import Keys, Roll
from .score import Counts, count_frames, nats

Indices = npt.NDArray[np.int64]

NAME = "baseline.safetensors"

PENALTIES = (1.0, 3.0, 10.0, 30.0)
"""Strengths of the penalty that are tried on the validation pieces."""

ITERATIONS = 100
"""Iterations of L-BFGS for each."""


@dataclass(frozen=True)
class Baseline:
    """Two cheap methods.

    Attributes:
        marginals: Logit of each key's share of the training frames, ``[K]``.
        weight: Of the regression, on the last frame and the one before it, ``[K, 2 K]``.
        bias: Of the regression, ``[K]``.
    """

    marginals: Tensor
    weight: Tensor
    bias: Tensor

    def count(self, rolls: Sequence[Roll], *, regression: bool) -> Counts:
        """Counts on pieces, as `score.count_rolls` gives them, of one of the two.

        Args:
            rolls: Piano rolls ``[T, K]``.
            regression: The logistic regression, otherwise the marginals.
        """
        before, truth, steps, pieces = _frames(rolls)
        if regression:
            logits = functional.linear(before, self.weight, self.bias)
        else:
            logits = self.marginals.expand(len(truth), -1)
        losses = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        return count_frames(
            steps,
            pieces,
            losses.double().numpy(),
            (logits > 0).float().numpy(),
            truth.numpy(),
            len(rolls),
        )

    def save(self, folder: RunFolder) -> None:
        """Write to a run.

        Raises:
            OSError: The file cannot be written.
        """
        write_tensors(
            folder.path / NAME,
            {name: getattr(self, name) for name in ("marginals", "weight", "bias")},
            {},
            folder.write,
        )

    @classmethod
    def load(cls, folder: RunFolder, keys: Keys) -> Baseline | None:
        """Read back; None where the run has none.

        Raises:
            UserError: The file is corrupt.
        """
        path = folder.path / NAME
        if not path.exists():
            return None
        tensors, _ = read_tensors(path)
        k = keys.count
        shapes = {"marginals": (k,), "weight": (k, 2 * k), "bias": (k,)}
        if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != shapes or any(
            tensor.dtype != torch.float32 for tensor in tensors.values()
        ):
            raise UserError(f"{path}: corrupt: expected weights of {k} keys")
        return cls(**tensors)


def fit_baseline(train: Sequence[Roll], val: Sequence[Roll]) -> Baseline:
    """Both methods, fitted on some pieces.

    Args:
        train: Piano rolls ``[T, K]``.
        val: Those on which the penalty is chosen; where there are none it is in the middle.
    """
    before, truth, _, _ = _frames(train)
    k, frames = truth.shape[1], len(truth)
    share = (truth.sum(0) + 0.5) / (frames + 1)
    marginals = share.log() - (-share).log1p()
    weight = torch.zeros(k, 2 * k, dtype=torch.float32, device="cpu")
    bias = marginals.clone()
    best: tuple[float, Baseline] | None = None
    # From the strongest penalty on, each begins where the one before it ended.
    for penalty in sorted(PENALTIES if len(val) else PENALTIES[1:2], reverse=True):
        weight, bias = _fitted(before, truth, weight, bias, penalty)
        found = Baseline(marginals, weight, bias)
        value = float(nats(found.count(val, regression=True).sums.sum(0))) if len(val) else 0.0
        if best is None or value < best[0]:
            best = value, found
    assert best is not None
    return best[1]


def _fitted(
    before: Tensor, truth: Tensor, weight: Tensor, bias: Tensor, penalty: float
) -> tuple[Tensor, Tensor]:
    """Weight and bias with the least penalised loss, from given ones on."""
    weight, bias = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=ITERATIONS, history_size=10, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = functional.linear(before, weight, bias)
        fit = functional.binary_cross_entropy_with_logits(logits, truth, reduction="sum")
        total = (fit + 0.5 * penalty * weight.square().sum()) / len(truth)
        total.backward()  # type: ignore[no-untyped-call]
        return total

    with torch.enable_grad():
        optimizer.step(loss)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()


def _frames(rolls: Sequence[Roll]) -> tuple[Tensor, Tensor, Indices, Indices]:
    """All frames but those before a piece's second.

    Returns:
        The two frames before each, the last one first, ``[F, 2 K]``; the frame, ``[F, K]``; its
        place in its piece and the piece's number, ``[F]``.
    """
    before, truth, steps, pieces = [], [], [], []
    for number, roll in enumerate(rolls):
        values = np.asarray(roll, np.float32)
        last, earlier = values[:-1], np.zeros_like(values[:-1])
        earlier[1:] = values[:-2]
        before.append(np.concatenate([last, earlier], axis=1))
        truth.append(values[1:])
        steps.append(np.arange(1, len(values), dtype=np.int64))
        pieces.append(np.full(len(values) - 1, number, np.int64))
    return (
        torch.from_numpy(np.concatenate(before)),
        torch.from_numpy(np.concatenate(truth)),
        np.concatenate(steps),
        np.concatenate(pieces),
    )
