"""One training step of the character model, on our layers and on torch.nn's, in one run.

    python benchmarks/training_step.py [hidden size] [streams] [steps]

Both models are the same but for the layer: same sizes, optimizer, dropout, data. Rounds alternate;
medians and the spread (quartiles) are printed, and the ratio of the medians.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from unrolled.tasks.text.model import TextModel
from unrolled.tasks.text.options import ModelOptions
from unrolled.training.optimizer import build_optimizer, clip_gradients
from unrolled.training.options import TrainingOptions

V, ROUNDS = 66, 25


def stepper(model: TextModel, tokens: Tensor, targets: Tensor) -> Callable[[], None]:
    """A function that does one update, the state carried."""
    optimizer = build_optimizer(model, TrainingOptions())
    parameters = list(model.parameters())
    carried: list[tuple[Tensor, ...]] = []

    def step() -> None:
        logits, after = model(tokens, carried.pop() if carried else None)
        cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()  # type: ignore[no-untyped-call]
        clip_gradients(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        carried.append(tuple(state.detach() for state in after))

    return step


def main() -> None:
    """Measure, for each cell."""
    given = [int(word) for word in sys.argv[1:]]
    H, N, T = [*given, *[384, 32, 64][len(given) :]]
    tokens, targets = (torch.randint(0, V, (T, N)) for _ in range(2))
    print(f"{N} streams of {T} steps, {H} units, {torch.get_num_threads()} threads; ms a step")
    for cell, theirs in (("rnn", nn.RNN), ("gru", nn.GRU), ("lstm", nn.LSTM)):
        options = ModelOptions(cell=cell, hidden_size=H)
        ours, other = TextModel(options, V), TextModel(options, V)
        other.recurrent = theirs(options.embedding_size, H)
        steps = [stepper(model, tokens, targets) for model in (ours, other)]
        times: list[list[float]] = [[], []]
        for number in range(ROUNDS + 3):
            for step, spent in zip(steps, times, strict=True):
                start = time.perf_counter()
                step()
                if number >= 3:
                    spent.append(1e3 * (time.perf_counter() - start))
        text = []
        for spent in times:
            low, middle, high = statistics.quantiles(spent, n=4)
            text.append(f"{middle:6.1f} ({low:.1f}-{high:.1f})")
        ratio = statistics.median(times[1]) / statistics.median(times[0])
        print(f"{cell:5} ours {text[0]}   torch.nn {text[1]}   ratio {ratio:.2f}", flush=True)


if __name__ == "__main__":
    main()
