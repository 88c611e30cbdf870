"""Models as people write them, small, with plain torch.nn layers.

Each takes a batch ``[N, T, features]`` and what else it needs, and gives back one tensor, whose
first dimension is the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus, tanh
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

FEATURES = 6


class Tagger(nn.Module):
    """A sequence tagger on word embeddings: whole words are dropped, sentences are packed."""

    def __init__(self, tags: int = 5) -> None:
        super().__init__()
        self.reproject = nn.Linear(FEATURES, FEATURES)
        self.rnn = nn.LSTM(FEATURES, 8, num_layers=1, bidirectional=True, batch_first=True)
        self.linear = nn.Linear(16, tags)

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        if self.training:
            words = words * (torch.rand(words.shape[:2]) > 0.2).unsqueeze(-1)
        words = self.reproject(words)
        packed = pack_padded_sequence(words, lengths, batch_first=True, enforce_sorted=False)
        self.rnn.flatten_parameters()
        states, _ = pad_packed_sequence(
            self.rnn(packed)[0], batch_first=True, total_length=words.shape[1]
        )
        scores: Tensor = self.linear(states)
        return scores


class CRDNN(nn.Module):
    """Speech recognition: convolutions over time and frequency, a recurrent stack, a dense end."""

    def __init__(self, tokens: int = 7) -> None:
        super().__init__()
        self.cnn = nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1), nn.LeakyReLU(), nn.MaxPool2d((1, 2)), nn.Dropout2d(0.15)
        )
        self.rnn = nn.ModuleDict({"rnn": nn.LSTM(9, 8, 2, True, True, 0.3, True)})
        self.dnn = nn.Sequential(nn.Linear(16, 8), nn.LeakyReLU(), nn.Linear(8, tokens))

    def forward(self, frames: Tensor) -> Tensor:
        x = self.cnn(frames.unsqueeze(1)).transpose(1, 2).flatten(2)
        scores: Tensor = self.dnn(self.rnn["rnn"](x)[0]).log_softmax(-1)
        return scores


class DeepAR(nn.Module):
    """Probabilistic forecasts: encode the past, then sample one step after the other."""

    def __init__(self, horizon: int = 4) -> None:
        super().__init__()
        self.horizon = horizon
        self.lstm = nn.LSTM(FEATURES, 8, num_layers=2, batch_first=True, dropout=0.1)
        self.mean, self.deviation = nn.Linear(8, 1), nn.Linear(8, 1)

    def forward(self, past: Tensor) -> Tensor:
        output, state = self.lstm(past)
        path, covariates = [self.head(output)], past[:, -1:, 1:]
        for _ in range(self.horizon):
            drawn = path[-1][:, -1:, :1]
            output, state = self.lstm(torch.cat([drawn, covariates], -1), state)
            path.append(self.head(output))
        return torch.cat(path, 1)

    def head(self, output: Tensor) -> Tensor:
        mean, deviation = self.mean(output), softplus(self.deviation(output))
        noise = torch.linspace(-1, 1, len(mean)).reshape(-1, 1, 1)
        return torch.cat([mean + deviation * noise, mean, deviation], -1)


class Translator(nn.Module):
    """Encoder and decoder with additive attention (Bahdanau et al., 2015)."""

    def __init__(self, words: int = 9, steps: int = 5) -> None:
        super().__init__()
        self.steps = steps
        self.encoder = nn.GRU(FEATURES, 8, bidirectional=True, batch_first=True)
        self.bridge = nn.Linear(16, 8)
        self.query, self.key, self.energy = (
            nn.Linear(8, 8),
            nn.Linear(16, 8),
            nn.Linear(8, 1, False),
        )
        self.decoder = nn.GRU(words + 16, 8)
        self.out = nn.Linear(8, words)

    def forward(self, source: Tensor) -> Tensor:
        memory, last = self.encoder(source)
        state = tanh(self.bridge(torch.cat([last[0], last[1]], -1))).unsqueeze(0)
        keys, word, scores = self.key(memory), self.out(state[0]), []
        for _ in range(self.steps):
            weights = self.energy(tanh(self.query(state[0]).unsqueeze(1) + keys)).softmax(1)
            context = (weights * memory).sum(1)
            output, state = self.decoder(torch.cat([word, context], -1).unsqueeze(0), state)
            word = self.out(output[0])
            scores.append(word)
        return torch.stack(scores, 1)


class ActorCritic(nn.Module):
    """A recurrent policy: an episode's end puts the state back, in a loop over the steps."""

    def __init__(self, actions: int = 3) -> None:
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, 8)
        for name, parameter in self.lstm.named_parameters():
            if "bias" in name:
                nn.init.constant_(parameter, 0)
            else:
                nn.init.orthogonal_(parameter, 1.0)
        self.actor, self.critic = nn.Linear(8, actions), nn.Linear(8, 1)

    def forward(self, observed: Tensor, done: Tensor) -> Tensor:
        h = c = observed.new_zeros(1, len(observed), 8)
        hidden = []
        for x, ended in zip(observed.unbind(1), done.unbind(1), strict=True):
            alive = (1.0 - ended).reshape(1, -1, 1)
            output, (h, c) = self.lstm(x.unsqueeze(0), (alive * h, alive * c))
            hidden.append(output[0])
        states = torch.stack(hidden, 1)
        return torch.cat([self.actor(states), self.critic(states)], -1)


class Wild(NamedTuple):
    """A model, its recurrent layers by name, and what it takes beside a batch of 3 times 10."""

    make: Callable[[], nn.Module]
    layers: tuple[str, ...]
    more: Callable[[], tuple[Tensor, ...]] = tuple


WILD = {
    "tagger": Wild(Tagger, ("rnn",), lambda: (torch.tensor([10, 3, 7]),)),
    "crdnn": Wild(CRDNN, ("rnn.rnn",)),
    "deepar": Wild(DeepAR, ("lstm",)),
    "translator": Wild(Translator, ("encoder", "decoder")),
    "actor-critic": Wild(ActorCritic, ("lstm",), lambda: ((torch.rand(3, 10) < 0.3).float(),)),
}
