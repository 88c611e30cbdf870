# ruff: noqa: N805 - a step has no self
"""The cells that torchrecurrent has too, each with the same weights and the same numbers.

Where it differs from the paper, the test holds its equation against ours with that line changed.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from unrolled import cells
from unrolled.cells import Cell, relu, sigmoid, tanh

torchrecurrent = pytest.importorskip("torchrecurrent")

N, X, H = 2, 3, 4


class LEMOfOldMemory(Cell):
    """y sees z before the step; in the paper (equation 3) after it."""

    def step(W: Any, U: Any, x: Any, y: Any, z: Any) -> Any:
        a = sigmoid(W.a(x) + U.a(y))
        b = sigmoid(W.b(x) + U.b(y))
        new = (1 - a) * z + a * tanh(W.z(x) + U.z(y))
        return (1 - b) * y + b * tanh(W.y(x) + U.y(z)), new


class NASOfSums(Cell):
    """The fourth leaf is relu of a sum, like its neighbours; in the paper of a product."""

    def step(W: Any, U: Any, x: Any, h: Any, c: Any) -> Any:
        a = tanh(sigmoid(W.a(x) + U.a(h)) * relu(W.b(x) + U.b(h)))
        b = tanh(sigmoid(W.c(x) + U.c(h)) + relu(W.d(x) + U.d(h)))
        d = tanh(tanh(W.e(x) + U.e(h)) * sigmoid(W.f(x) + U.f(h)))
        e = sigmoid(tanh(W.g(x) + U.g(h)) + sigmoid(W.h(x) + U.h(h)))
        c = tanh(a + c) * b
        return tanh(c * tanh(d + e)), c


class MUT1OfProduct(Cell):
    """A product W x where the paper has x itself."""

    def step(W: Any, U: Any, x: Any, h: Any) -> Any:
        z = sigmoid(W.z(x))
        r = sigmoid(W.r(x) + U.r(h))
        return z * tanh(U.n(r * h) + tanh(W.n(x))) + (1 - z) * h


class MUT2OfProduct(Cell):
    """A product W x where the paper has x itself."""

    def step(W: Any, U: Any, x: Any, h: Any) -> Any:
        z = sigmoid(W.z(x) + U.z(h))
        r = sigmoid(W.r(x) + U.r(h))
        return z * tanh(U.n(r * h) + W.n(x)) + (1 - z) * h


# Our cell, their name for it, and the order of their gates: of the input, of other matrices.
PAIRS: list[tuple[Cell, str, str, dict[str, str]]] = [
    (cells.ATR(), "ATRCell", "p", {"hh": "p"}),
    (cells.BRC(), "BRCell", "acn", {"hh": "ac"}),
    (cells.CFN(), "CFNCell", "fin", {"hh": "fi"}),
    (cells.CoRNN(dt=0.1, gamma=1.0, epsilon=1.0), "coRNNCell", "a", {"hh": "y", "ch": "z"}),
    (cells.FastGRNN(), "FastGRNNCell", "a", {"hh": "a"}),
    (cells.IndRNN(nonlinearity="tanh"), "IndRNNCell", "h", {}),
    (cells.JANET(), "JANETCell", "fn", {"hh": "fn"}),
    (LEMOfOldMemory(), "LEMCell", "bazy", {"hh": "baz", "ch": "y"}),
    (cells.LiGRU(), "LiGRUCell", "zn", {"hh": "zn"}),
    (cells.MGU(), "MGUCell", "fn", {"hh": "fn"}),
    (MUT1OfProduct(), "MUT1Cell", "zrn", {"hh": "rn"}),
    (MUT2OfProduct(), "MUT2Cell", "zrn", {"hh": "zrn"}),
    (cells.MUT3(), "MUT3Cell", "zrn", {"hh": "zrn"}),
    (cells.MultiplicativeLSTM(), "MultiplicativeLSTMCell", "mifgo", {"hh": "m", "mh": "ifgo"}),
    (NASOfSums(), "NASCell", "abcdefgh", {"hh": "abcdefgh"}),
    (cells.NBRC(), "NBRCell", "acn", {"hh": "ac"}),
    (cells.PeepholeLSTM(), "PeepholeLSTMCell", "ifgo", {"hh": "ifgo"}),
    (cells.RAN(), "RANCell", "nif", {"hh": "if"}),
    (cells.STAR(), "STARCell", "nk", {"hh": "k"}),
    (cells.UGRNN(), "UGRNNCell", "ng", {"hh": "ng"}),
]


def maps(gates: str, matrix: Tensor, bias: Tensor | None) -> dict[str, Any]:
    """The affine map of each gate; their RAN's candidate, the first, has no bias, nor has ours."""
    blocks = matrix.chunk(len(gates))
    found = [None] * len(gates) if bias is None else list(bias.reshape(-1, H))
    biases = [None] * (len(gates) - len(found)) + found
    return {
        gate: lambda v, block=block, own=own: linear(v, block, own)
        for gate, block, own in zip(gates, blocks, biases, strict=True)
    }


def ours(theirs: Any, gates: str, recurrent: dict[str, str]) -> dict[str, Any]:
    """Our W, U, V and s made of their parameters."""
    p = dict(theirs.named_parameters())
    V: dict[str, Tensor] = {}
    s: dict[str, Tensor] = {}
    if "vector_u" in p:
        V["u"] = p["vector_u"]
    if "weight_ph" in p:
        V.update(zip("ifo", p["weight_ph"].chunk(3), strict=True))
    if "zeta" in p:
        V.update(zip("zn", p["bias_ih"].chunk(2), strict=True))
        s.update(zeta=p["zeta"], nu=p["nu"])
        p["bias_ih"] = torch.zeros(H, dtype=torch.float64)
    U: dict[str, Any] = {}
    for name, own in recurrent.items():
        if p[f"weight_{name}"].ndim == 1:
            V.update(zip(own, p[f"weight_{name}"].chunk(len(own)), strict=True))
        else:
            U.update(maps(own, p[f"weight_{name}"], p.get(f"bias_{name}")))
    W = maps(gates, p["weight_ih"], p["bias_ih"])
    return {name: SimpleNamespace(**own) for name, own in zip("WUVs", (W, U, V, s), strict=True)}


@pytest.mark.parametrize(
    ("cell", "name", "gates", "recurrent"), [pytest.param(*pair, id=pair[1]) for pair in PAIRS]
)
def test_the_same_weights_give_the_same_numbers(
    cell: Cell, name: str, gates: str, recurrent: dict[str, str]
) -> None:
    torch.manual_seed(3)
    # where our step has no product, and so no second bias, theirs is left out
    bias = not name.startswith(("BRC", "IndRNN", "FastGRNN"))
    options: dict[str, Any] = {"dtype": torch.float64, "recurrent_bias": bias}
    if name == "FastGRNNCell":  # the paper's gate, equation of z; theirs has tanh by default
        options["nonlinearity"] = "sigmoid"
    theirs = getattr(torchrecurrent, name)(X, H, **options)
    for parameter in theirs.parameters():
        if parameter.ndim:  # JANET's beta is a choice of ours
            torch.nn.init.normal_(parameter)
    if not bias and getattr(theirs, "bias_hh", None) is not None:
        torch.nn.init.zeros_(theirs.bias_hh)
    weights = ours(theirs, gates, recurrent)
    states = [torch.randn(N, H, dtype=torch.float64) for _ in cell.states]
    # two states of one number where ours is one
    given = tuple(states) if len(states) > 1 else states[0]
    if name == "JANETCell":
        given = (states[0], states[0])
    for _ in range(3):
        x = torch.randn(N, X, dtype=torch.float64)
        states = list(cell(weights, x, *states))
        given = theirs(x, given)
        found = given if isinstance(given, tuple) else (given,)
        for value, wanted in zip(states, found, strict=False):
            torch.testing.assert_close(value, wanted, rtol=1e-12, atol=1e-12)
