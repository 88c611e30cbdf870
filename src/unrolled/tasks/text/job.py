"""What the text task brings to the training loop."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

from unrolled.tasks.text.generate import generate
from unrolled.tasks.text.model import CharacterModel, State
from unrolled.tasks.text.score import score
from unrolled.tasks.text.vocabulary import Vocabulary

Tokens = np.ndarray[Any, np.dtype[Any]]


class CharacterJob:
    """Next-character prediction, for the training loop."""

    def __init__(
        self,
        model: CharacterModel,
        vocabulary: Vocabulary,
        validation: Tokens | None,
        streams: int,
        prompt: str,
    ) -> None:
        self.model = model
        self.vocabulary = vocabulary
        self._validation = validation
        self._streams = streams
        self._prompt = prompt

    def loss(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, state: State | None
    ) -> tuple[Tensor, State]:
        """Mean cross-entropy in nats per character, and the state after the chunk."""
        logits, after = model(inputs, state)
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten()), after

    def losses(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, state: State | None
    ) -> Tensor:
        """Cross-entropy of each character in nats, ``[T, N]``."""
        logits, _ = model(inputs, state)
        return functional.cross_entropy(logits.movedim(-1, 1), targets, reduction="none")

    def validate(self) -> float | None:
        """Nats per character, over as many streams as are trained: quick, and near the exact."""
        if self._validation is None:
            return None
        device = next(self.model.parameters()).device
        return score(
            self.model, self._validation, streams=self._streams, warm_up=128, device=device
        ).nats

    def sample(self, length: int) -> str | None:
        """Text that the model writes."""
        if length == 0:
            return None
        device = next(self.model.parameters()).device
        characters = generate(
            self.model,
            self.vocabulary,
            self._prompt,
            length=length,
            temperature=0.8,
            device=device,
        )
        return "".join(characters)
