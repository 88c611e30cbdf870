"""Read-outs: from the recurrent layers' output to the probability of the next token.

Shape:
    y: the output, [T, N, H].
    targets: int64 [T, N].
    logits: of all V tokens, [T, N, V].
    nats: of each target, [T, N].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class _FullSoftmax(nn.Module):
    """Base of read-outs that compute the logits of all tokens."""

    def logits(self, y: Tensor) -> Tensor:
        """Logits of all tokens."""
        raise NotImplementedError

    def nats(self, y: Tensor, targets: Tensor) -> Tensor:
        """Nats of each target, in 32 bits at least."""
        return self._cross_entropy(y, targets, "none").view(targets.shape)

    def mean(self, y: Tensor, targets: Tensor) -> Tensor:
        """Mean of the nats."""
        return self._cross_entropy(y, targets, "mean")

    def _cross_entropy(self, y: Tensor, targets: Tensor, reduction: str) -> Tensor:
        logits = self.logits(y).flatten(0, 1)
        if logits.dtype.itemsize < 4:  # of autocast
            logits = logits.float()
        return functional.cross_entropy(logits, targets.flatten(), reduction=reduction)


class Softmax(nn.Linear, _FullSoftmax):
    """Softmax of a linear map."""

    def logits(self, y: Tensor) -> Tensor:
        """``W y + b``."""
        return self(y)  # type: ignore[no-any-return]


class TiedSoftmax(_FullSoftmax):
    """Softmax whose weights are the embedding's: logits ``E M y + b`` (Press & Wolf, 2017).

    ``M`` is a linear map from y's size to the embedding's, and left out where they are the same.

    Args:
        size: Features of y.
        embedding: The embedding E, ``[V, size of a vector]``. Its initial values are drawn again:
            those of an embedding alone would make logits that are too large.
    """

    def __init__(self, size: int, embedding: nn.Embedding) -> None:
        super().__init__()
        # In a tuple, which is no place for parameters: the weights have one name and one owner.
        self._embedding = (embedding,)
        same = size == embedding.embedding_dim
        self.map = nn.Identity() if same else nn.Linear(size, embedding.embedding_dim, bias=False)
        self.bias = nn.Parameter(torch.zeros_like(embedding.weight[:, 0]))
        nn.init.uniform_(embedding.weight, -0.1, 0.1)

    def logits(self, y: Tensor) -> Tensor:
        """``E M y + b``."""
        return functional.linear(self.map(y), self._embedding[0].weight, self.bias)


class AdaptiveSoftmax(nn.AdaptiveLogSoftmaxWithLoss):
    """Softmax in clusters of frequent and rare tokens (Grave et al., 2017), torch's.

    The first cluster, the head, has the most frequent tokens and one entry for each other cluster,
    whose maps have a quarter, a sixteenth, … of the features. Token numbers must fall with
    frequency: 0 is the most frequent.
    """

    def logits(self, y: Tensor) -> Tensor:
        """Logarithms of the probabilities: a distribution that is its own softmax."""
        with torch.autocast(y.device.type, enabled=False):
            found: Tensor = self.log_prob(self._rows(y))
        return found.view(*y.shape[:-1], -1)

    def nats(self, y: Tensor, targets: Tensor) -> Tensor:
        """Nats of each target; only the clusters of these are computed."""
        with torch.autocast(y.device.type, enabled=False):
            found: Tensor = self(self._rows(y), targets.flatten()).output
        return -found.view(targets.shape)

    def mean(self, y: Tensor, targets: Tensor) -> Tensor:
        """Mean of the nats."""
        mean = self.nats(y, targets).mean()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            # Processes wait for the gradient of every weight, also of clusters without a target.
            mean = mean + 0 * sum(weight.flatten()[0] for weight in self.parameters())
        return mean

    def _rows(self, y: Tensor) -> Tensor:
        """One row for each token, in the weights' own numbers."""
        return y.flatten(0, -2).to(self.head.weight.dtype)


Readout = Softmax | TiedSoftmax | AdaptiveSoftmax
"""Any of them."""
