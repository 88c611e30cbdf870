"""A model that does not learn, seen through the lens, and mended.

The model is an ordinary one of torch.nn's: an embedding, an LSTM, a read-out. It reads letters, and
at the last one it should say which came first. With the LSTM as it is, training gets nowhere. The
lens says why: no gradient reaches the first letter. It says what to try, too; with that, the same
training succeeds.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from unrolled.lens import half_life, influence

LETTERS, UNITS = 8, 32


class Recall(nn.Module):
    """Reads letters ``[T, N]``; a score for each letter at every step, ``[T, N, letters]``."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(LETTERS, 16)
        self.lstm = nn.LSTM(16, UNITS)
        self.read = nn.Linear(UNITS, LETTERS)

    def forward(self, letters: Tensor) -> Tensor:
        """Embed, run, read out."""
        output, _ = self.lstm(self.embed(letters))
        scores: Tensor = self.read(output)
        return scores


def batch(steps: int, rows: int = 32) -> Tensor:
    """Random letters; the first of each row is the one to remember."""
    return torch.randint(LETTERS, (steps, rows))


def train(model: nn.Module, steps: int, updates: int) -> None:
    """Adam with clipping, and the share of first letters that it gets right."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    for update in range(1, updates + 1):
        letters = batch(steps)
        scores = model(letters)[-1]
        optimizer.zero_grad()
        torch.autograd.backward(cross_entropy(scores, letters[0]))
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if update % max(1, updates // 5) == 0:
            right = (scores.argmax(-1) == letters[0]).double().mean()
            print(f"  update {update}: {100 * float(right):.0f} % right")


def look(model: nn.Module, steps: int) -> None:
    """How much of the last step's loss arrives at the first state; how long the memory is."""
    letters = batch(steps, rows=4)

    def loss(scores: Tensor) -> Tensor:
        return cross_entropy(scores[-1], letters[0])  # one number: the loss of the last step

    reach = influence(model, letters, loss).by_lag()
    print(f"  of the loss's gradient {float(reach[-1] / reach[0]):.1e} is left at the first state")
    print(f"  {half_life(model, letters, loss)}")


def hold(lstm: nn.LSTM, steps: int) -> None:
    """Chrono initialisation (Tallec & Ollivier, 2018): forget gates for all times up to T."""
    forget = torch.empty(lstm.hidden_size).uniform_(1, steps - 1).log()
    bias = lstm.get_parameter("bias_hh_l0").detach()
    input_gate, forget_gate, *_ = bias.chunk(4)  # torch's order: i, f, g, o
    input_gate.copy_(-forget)
    forget_gate.copy_(forget)


def main(steps: int = 60, updates: int = 500) -> None:
    """Look, train, look; mend; look, train, look."""
    torch.set_num_threads(1)  # quicker for matrices so small
    for mended in (False, True):
        torch.manual_seed(0)
        model = Recall()
        if mended:
            hold(model.lstm, steps)
        print("\nWith biases that hold the memory" if mended else "As it is")
        look(model, steps)
        train(model, steps, updates)
        look(model, steps)


if __name__ == "__main__":
    main()
