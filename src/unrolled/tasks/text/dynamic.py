"""Dynamic evaluation: a model that learns from a text while it reads it (Krause et al., 2018).

After every chunk that was predicted, the weights θ make one step along its gradient g, and are
pulled back to the trained ones θ₀:

    θ ← θ − η g / (r + ε),    θ ← θ + λ r / mean(r) (θ₀ − θ)

where r is the root mean square of each weight's gradient on the training text: weights that hardly
ever had a gradient move far, and return slowly. ε keeps the step of those finite that never had
one. λ r / mean(r) is 1 at most.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from unrolled.errors import UserError
from unrolled.tasks.text.model import State, TextModel
from unrolled.tasks.text.score import Tokens

EPSILON = 1e-3
"""ε, which is added to the root mean squares."""

ROWS, CHUNKS = 32, 100
"""Rows and chunks of the training text from which the root mean squares are."""


class Dynamic:
    """A model that learns from every chunk as soon as it has predicted it.

    Args:
        model: The trained model, in evaluation mode; a copy of it learns.
        rate: Learning rate η.
        decay: λ, the share of the way back to the trained weights.
        gradients: Root mean square r of the gradient of each parameter, from `typical_gradients`.
    """

    def __init__(
        self, model: TextModel, rate: float, decay: float, gradients: list[Tensor]
    ) -> None:
        self._model, self._rate = copy.deepcopy(model), rate
        self._weights = list(self._model.parameters())
        self._trained = [weight.detach().clone() for weight in self._weights]
        mean = sum(float(r.sum()) for r in gradients) / sum(r.numel() for r in gradients)
        self._scales = [1 / (r + EPSILON) for r in gradients]
        self._pulls = [(r * (decay / max(mean, 1e-30))).clamp_(max=1) for r in gradients]

    def parameters(self) -> Iterator[nn.Parameter]:
        """Those of the copy."""
        return self._model.parameters()

    def nats(
        self, tokens: Tensor, targets: Tensor, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Nats of each target of a chunk, ``[T, N]``, and the state after it; then it learns.

        Raises:
            UserError: As `read`.
        """
        nats, _, after = self.read(tokens, targets, state)
        return nats, after

    def read(
        self, tokens: Tensor, targets: Tensor, state: State | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """The same, and the outputs of the recurrent layers.

        Raises:
            UserError: A prediction is not finite: the rate is too high.
        """
        with torch.enable_grad():
            nats, y, after = self._model.read(tokens, targets, state)
            if not bool(nats.isfinite().all()):
                raise UserError(
                    f"--dynamic {self._rate:g}: the model ran away while it learned; "
                    "expected a lower rate"
                )
            gradients = torch.autograd.grad(nats.mean(), self._weights, materialize_grads=True)
        with torch.no_grad():
            for weight, g, scale, trained, pull in zip(
                self._weights, gradients, self._scales, self._trained, self._pulls, strict=True
            ):
                weight.addcmul_(g, scale, value=-self._rate)
                weight.lerp_(trained, pull)
        return nats.detach(), y.detach(), tuple(part.detach() for part in after)


def typical_gradients(
    model: TextModel, tokens: Tokens, steps: int, device: torch.device | str = "cpu"
) -> list[Tensor]:
    """Root mean square of each parameter's gradient over chunks of the training text.

    Args:
        model: The trained model, in evaluation mode.
        tokens: The training text.
        steps: Tokens of a chunk.
        device: Where the model is.
    """
    weights = list(model.parameters())
    squares = [torch.zeros_like(weight) for weight in weights]
    rows = max(1, min(ROWS, (len(tokens) - 1) // steps))
    room = (len(tokens) - 1) // rows
    state: State | None = None
    count = 0
    for start in range(0, min(room, CHUNKS * steps), steps):
        length = min(steps, room - start)
        window = np.stack(
            [tokens[row * room + start :][: length + 1] for row in range(rows)], axis=1
        )
        both = torch.from_numpy(window.astype(np.int64)).to(device)
        with torch.enable_grad():
            nats, state = model.nats(both[:-1], both[1:], state)
            gradients = torch.autograd.grad(nats.mean(), weights, materialize_grads=True)
        torch._foreach_addcmul_(squares, gradients, gradients)
        state = tuple(part.detach() for part in state)
        count += 1
    return [(square / count).sqrt_() for square in squares]
