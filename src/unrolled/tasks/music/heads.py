"""Distributions over the keys of a frame, given what the recurrent layers know before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from unrolled import layers
from unrolled.tasks.dropout import Dropout

from .pieces import Keys, name_of

_DRAWN = 4096
"""Frames that are drawn side by side."""


class KeyHead(nn.Module):
    """Keys that are on or off independently of each other: p(k) = σ(R h + b)ₖ.

    Args:
        size: Features of h.
        keys: The keys.

    Attributes:
        parts: Names of the columns of `losses`: octaves.

    Shape:
        h: ``[F, size]``, a row for each frame.
        frames: 0 and 1, ``[F, K]``.
    """

    def __init__(self, size: int, keys: Keys) -> None:
        super().__init__()
        self.readout = nn.Linear(size, keys.count)
        octaves = [(keys.lowest + key) // 12 for key in range(keys.count)]
        self._octaves = [octave - octaves[0] for octave in octaves]
        pitches = dict.fromkeys(octaves)
        self.parts = tuple(
            f"{name_of(max(12 * o, keys.lowest))} to {name_of(min(12 * o + 11, keys.highest))}"
            for o in pitches
        )

    def begin(self, shares: Tensor) -> None:
        """Let the biases begin where each key is as likely as its share of all frames, ``[K]``.

        Most keys are nearly always off. From zero, Adam needs a thousand updates to get there.
        """
        with torch.no_grad():
            self.readout.bias.copy_(shares.clamp(1e-3, 1 - 1e-3).logit())

    def losses(self, h: Tensor, frames: Tensor) -> Tensor:
        """Nats of each frame's octaves, ``[F, parts]``; their sum is the frame's."""
        each = functional.binary_cross_entropy_with_logits(
            self.readout(h).to(frames.dtype), frames, reduction="none"
        )
        columns = torch.tensor(self._octaves, dtype=torch.int64, device=each.device)
        found = torch.zeros(len(each), len(self.parts), dtype=each.dtype, device=each.device)
        return found.index_add(1, columns, each)

    def probabilities(self, h: Tensor, draws: int, random: torch.Generator) -> Tensor:
        """Probability of each key, ``[F, K]``, exactly: nothing is drawn."""
        found: Tensor = self.readout(h).sigmoid()
        return found

    def draw(self, h: Tensor, temperature: float, random: torch.Generator) -> Tensor:
        """Frames, ``[F, K]``; at temperature 0 the keys that are likelier on than off."""
        logits: Tensor = self.readout(h).float().cpu()
        if temperature == 0:
            return (logits > 0).float()
        return torch.bernoulli((logits / temperature).sigmoid(), generator=random)


class VoiceHead(nn.Module):
    """A frame note by note, from low to high; each note knows those below it.

    A recurrent layer goes through the notes k₁ < k₂ < … of a frame, and p(frame) is the product of
    the probabilities of each next note, among those above the last one, and of the end::

        s₀ = tanh(A h),   sᵢ = GRU(E kᵢ, sᵢ₋₁),   p(kᵢ₊₁ | h, k₁ … kᵢ) = softmax over k > kᵢ and the
                                                                    end of (R sᵢ + S h + b)

    E k₀ stands for the beginning. So every set of keys has one probability, and all sum to one.

    Args:
        size: Features of h.
        keys: The keys.
        voice_size: Units of the layer that goes through the notes.
        dropout: Share of its outputs dropped.

    Attributes:
        parts: Names of the columns of `losses`: notes from low to high, the sixth and all above it
            together, and the end.

    Shape:
        As `KeyHead`.
    """

    VOICES = 6
    """Notes of a frame that are counted one by one."""

    def __init__(self, size: int, keys: Keys, voice_size: int, dropout: float) -> None:
        super().__init__()
        self.count = keys.count
        self.initial = nn.Linear(size, voice_size)
        self.embedding = nn.Embedding(keys.count + 1, voice_size)
        self.voices = layers.GRU(voice_size, voice_size)
        self.dropout = Dropout(dropout)
        self.readout = nn.Linear(voice_size, keys.count + 1)
        self.direct = nn.Linear(size, keys.count + 1, bias=False)
        notes = [f"note {n} from below" for n in range(1, self.VOICES)]
        self.parts = (*notes, f"note {self.VOICES} and above", "end of the frame")

    def begin(self, shares: Tensor) -> None:
        """Let the biases begin at each key's share of all frames, ``[K]``, as logits of notes."""
        with torch.no_grad():
            self.readout.bias[:-1].copy_(shares.clamp(min=1e-3).log())

    def losses(self, h: Tensor, frames: Tensor) -> Tensor:
        """Nats of each frame's notes, ``[F, parts]``; their sum is the frame's."""
        end, (rows, keys) = self.count, frames.nonzero(as_tuple=True)
        most = int(frames.sum(1).max()) if len(frames) else 0
        # Row n of targets is the frame's note n from below; after its notes stands the end.
        place = (frames.cumsum(1)[rows, keys] - 1).long()
        targets = torch.full((most + 1, len(frames)), end, dtype=torch.int64, device=h.device)
        targets[place, rows] = keys
        before = torch.cat([torch.full_like(targets[:1], end), targets[:-1]])
        counted = torch.ones_like(targets, dtype=torch.bool)
        counted[1:] = before[1:] != end
        state = self._state(h)
        y, _ = self.voices(self.embedding(before), state)
        logits = self._logits(y, h, before).to(frames.dtype)
        each = functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), reduction="none"
        ).view_as(targets)
        each = each.masked_fill(~counted, 0.0)
        order = torch.arange(most + 1, dtype=torch.int64, device=h.device)[:, None].clamp(
            max=self.VOICES - 1
        )
        columns = torch.where(targets == end, len(self.parts) - 1, order)
        found = torch.zeros(len(frames), len(self.parts), dtype=each.dtype, device=each.device)
        return found.scatter_add(1, columns.T, each.T)

    def probabilities(self, h: Tensor, draws: int, random: torch.Generator) -> Tensor:
        """Probability of each key, ``[F, K]``: its share of so many drawn frames."""
        block = max(1, _DRAWN // draws)
        parts = [
            self.draw(rows.repeat_interleave(draws, 0), 1.0, random)
            .view(len(rows), draws, -1)
            .mean(1)
            for rows in torch.split(h, block)
        ]
        return torch.cat(parts)

    def draw(self, h: Tensor, temperature: float, random: torch.Generator) -> Tensor:
        """Frames, ``[F, K]``; at temperature 0 the likeliest next note, again and again."""
        end = self.count
        frames = torch.zeros(len(h), end + 1, device="cpu", dtype=torch.float32)
        last = torch.full((1, len(h)), end, dtype=torch.int64, device=h.device)
        state, going = self._state(h), torch.ones(len(h), dtype=torch.bool, device="cpu")
        for _ in range(end + 1):
            y, state = self.voices(self.embedding(last), state)
            logits = self._logits(y, h, last)[0].float().cpu()
            if temperature == 0:
                drawn = logits.argmax(1)
            else:
                # The largest is subtracted first, so that a small temperature cannot overflow.
                weights = ((logits - logits.amax(1, keepdim=True)) / temperature).softmax(1)
                drawn = torch.multinomial(weights, 1, generator=random)[:, 0]
            frames[going, drawn[going]] = 1.0
            going &= drawn != end
            if not going.any():
                break
            last = drawn.to(h.device)[None]
        return frames[:, :end]

    def _state(self, h: Tensor) -> Tensor:
        state: Tensor = torch.tanh(self.initial(h))
        return state[None]

    def _logits(self, y: Tensor, h: Tensor, before: Tensor) -> Tensor:
        """Logits ``[L, F, K + 1]`` of notes above the ones before, and of the end, which is K."""
        logits: Tensor = self.readout(self.dropout(y)) + self.direct(h)
        lowest = torch.where(before == self.count, -1, before)[..., None]
        keys = torch.arange(self.count + 1, dtype=torch.int64, device=h.device)
        return logits.masked_fill(keys <= lowest, -torch.inf)


Head = KeyHead | VoiceHead
