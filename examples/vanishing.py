"""How far a gradient reaches back, in a plain network, a GRU and an LSTM, before any training.

    ∂l_t/∂h_k = ∂l_t/∂h_t · ∂h_t/∂h_{t-1} · ... · ∂h_{k+1}/∂h_k

One factor for each step between k and t: what arrives shrinks, or grows, with every one of them.
Printed is what is left of the influence of an input so many steps before the loss, as a share of
that of the last input, the lag at which a hundredth of the influence on the state is left, and for
one of them what can be done about it.
"""

from pathlib import Path

import torch

import unrolled
from unrolled.lens import half_life, influence

STEPS, FEATURES, UNITS = 100, 8, 64
LAGS = [1, 5, 10, 20, 50]

torch.set_num_threads(1)  # quicker for matrices so small
torch.manual_seed(0)
x = torch.randn(STEPS, 1, FEATURES, dtype=torch.float64)
layers = {
    "RNN": unrolled.RNN(FEATURES, UNITS),
    "RNN, U orthogonal": unrolled.RNN(FEATURES, UNITS, recurrent_init="orthogonal"),
    "GRU": unrolled.GRU(FEATURES, UNITS),
    "LSTM": unrolled.LSTM(FEATURES, UNITS),
    "LSTM, forget bias 1": unrolled.LSTM(FEATURES, UNITS, forget_bias=1.0),
    "LSTM, chrono": unrolled.LSTM(FEATURES, UNITS, chrono=STEPS),
}


def loss(output: torch.Tensor) -> torch.Tensor:
    """One loss for each step: here the sum of the units."""
    return output.sum((1, 2))


print(f"{'steps back':20}" + "".join(f"{lag:>10}" for lag in LAGS) + f"{'1/100 at lag':>14}")
for name, layer in layers.items():
    layer.double()
    arrives = influence(layer, x, loss).by_lag(state="x")
    memory = half_life(layer, x, loss)["l0"]
    shares = "".join(f"{float(arrives[lag] / arrives[0]):10.1e}" for lag in LAGS)
    print(f"{name:20}{shares}{memory.decay.hundredth or 'none':>14}")

print(
    "\nThe LSTM, as it is by default:", half_life(layers["LSTM"], x, loss)["l0"].verdict, sep="\n"
)

picture = Path("runs") / "influence.png"
picture.parent.mkdir(exist_ok=True)
influence(layers["LSTM"], x, loss).plot().savefig(picture)
print(f"\nIts influence matrix: {picture}")
