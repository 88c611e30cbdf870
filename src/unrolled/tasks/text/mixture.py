r"""Network and n-gram model together: a weighted mean of their probabilities.

.. math:: p = w_m \, p_{network} + (1 - w_m) \, p_{ngram}

The weight depends on m, the number of tokens before the predicted one that the training text has in
this order: where the n-gram model has seen a long context, it is often right. The weights are those
that give the validation text the fewest nats.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unrolled.errors import UserError
from unrolled.files import read_json
from unrolled.training.run_folder.folder import RunFolder

Array = npt.NDArray[np.float64]

NAME = "mixture.json"

_LEAST = 1e-6
"""Weight of either model at least: neither is ever alone."""
_BINS = 4096
_FARTHEST = 30.0
"""Logarithm of the ratio of both probabilities at most."""
_SHARED = 100.0
"""Tokens with the ratios of all lengths that are added to those of each."""


@dataclass(frozen=True)
class Mixture:
    """Weights of the network.

    Attributes:
        weights: The weight for each length m of the matched context, from 0 on.
    """

    weights: tuple[float, ...]

    def nats(self, network: Array, ngram: Array, matched: npt.NDArray[np.uint8]) -> Array:
        """Nats of tokens by both together.

        Args:
            network: Nats of each token by the network.
            ngram: The same by the n-gram model.
            matched: Length of the context that the n-gram model has seen.
        """
        weights = np.array(self.weights)
        heavier = np.log(weights)[matched] - network
        lighter = np.log1p(-weights)[matched] - ngram
        found: Array = -np.logaddexp(heavier, lighter)
        return found

    def save(self, folder: RunFolder) -> None:
        """Write to a run.

        Raises:
            OSError: The file cannot be written.
        """
        record = {"format": 1, "weights": self.weights}
        folder.write(folder.path / NAME, (json.dumps(record) + "\n").encode())

    @classmethod
    def load(cls, folder: RunFolder, order: int) -> Mixture | None:
        """Read it from a run; None if the run has none.

        Args:
            folder: The run.
            order: Order of the run's n-gram model.

        Raises:
            UserError: The file is corrupt.
        """
        path = folder.path / NAME
        if not path.exists():
            return None
        record = read_json(path)
        weights = record.get("weights") if isinstance(record, dict) else None
        if (
            not isinstance(weights, list)
            or len(weights) != order
            or not all(isinstance(w, float) and 0 < w < 1 for w in weights)
        ):
            raise UserError(f"{path}: corrupt: expected {order} weights between 0 and 1")
        return cls(tuple(weights))


class MixtureFit:
    """The search for the weights; it takes any number of tokens in constant memory.

    The best weight depends on the ratios of both probabilities alone, and of these a histogram is
    kept for each length of the matched context.

    Args:
        order: Order of the n-gram model.
    """

    def __init__(self, order: int) -> None:
        self._counts: Array = np.zeros((order, _BINS))

    def add(self, network: Array, ngram: Array, matched: npt.NDArray[np.uint8]) -> None:
        """Tokens of the validation text; see `Mixture.nats`."""
        logs = np.clip(ngram - network, -_FARTHEST, _FARTHEST)
        bins = ((logs / _FARTHEST + 1) * (_BINS - 1) / 2).round().astype(np.int64)
        places = matched.astype(np.int64) * _BINS + bins
        self._counts += np.bincount(places, minlength=self._counts.size).reshape(self._counts.shape)

    def best(self) -> Mixture:
        """The weights with the fewest nats; a length that is rare has one like all others."""
        total = self._counts.sum()
        counts = self._counts + self._counts.sum(0) * (_SHARED / max(1.0, total))
        ratios = np.exp(np.linspace(-_FARTHEST, _FARTHEST, _BINS))
        low, high = np.full(len(counts), _LEAST), np.full(len(counts), 1 - _LEAST)
        for _ in range(40):  # the slope falls: the nats are convex in the weight
            middle = (low + high) / 2
            slope = (counts * (ratios - 1) / (1 + middle[:, None] * (ratios - 1))).sum(1)
            low, high = np.where(slope > 0, middle, low), np.where(slope > 0, high, middle)
        return Mixture(tuple(((low + high) / 2).tolist()))
