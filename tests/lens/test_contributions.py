"""The (t, k) terms are those of the chain rule, and their sum is autograd's gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import unrolled
from unrolled.lens import contributions

PARAMETER = {
    "U": "weight_hh",
    "W": "weight_ih",
    "P": "weight_hr",
    "b": "bias_ih",
    "c": "bias_hh",
}
LAYERS: list[tuple[str, dict[str, Any]]] = [
    ("RNN", {}),
    ("GRU", {"num_layers": 2}),
    ("LSTM", {"bidirectional": True, "num_layers": 2}),
    ("LSTM", {"proj_size": 3}),
    ("SLSTM", {"heads": 3}),
    ("OriginalGRU", {}),
    ("NBRC", {}),
    ("MultiplicativeLSTM", {}),
]


def make(cell: str, options: dict[str, Any]) -> unrolled.Layer:
    torch.manual_seed(0)
    if hasattr(unrolled, cell):
        return getattr(unrolled, cell)(4, 6, dtype=torch.float64, **options)
    return unrolled.Recurrent(getattr(unrolled.cells, cell), 4, 6, dtype=torch.float64, **options)


def square(output: Tensor) -> Tensor:
    return output.square().sum((1, 2))


def square_rows(output: Tensor) -> Tensor:
    return output.square().sum(2)


@pytest.mark.parametrize(("cell", "options"), LAYERS)
@pytest.mark.parametrize("of", PARAMETER)
def test_the_terms_sum_to_autograds_gradient(cell: str, options: dict[str, Any], of: Any) -> None:
    layer = make(cell, options)
    x = torch.randn(7, 3, 4, dtype=torch.float64)
    torch.autograd.backward(square(layer(x)[0]).sum())
    if not getattr(layer, f"{PARAMETER[of]}_l0", torch.empty(0)).numel():
        with pytest.raises(ValueError, match=f'^contributions: of="{of}": no recurrent layer'):
            contributions(layer, x, square, of=of)
        return
    for loss in (square, square_rows):
        found = contributions(layer, x, loss, of=of, terms=True)
        for name, strand in found.strands.items():
            wanted = layer.get_parameter(f"{PARAMETER[of]}_{name}").grad
            assert wanted is not None
            assert strand.terms is not None
            every = tuple(range(strand.norms.ndim))
            for total in (strand.gradient, strand.terms.sum(every)):
                torch.testing.assert_close(total, wanted, rtol=1e-10, atol=1e-10)
            norms = strand.terms.flatten(strand.norms.ndim).norm(dim=-1)
            torch.testing.assert_close(strand.norms, norms, rtol=1e-7, atol=1e-9)
            squares = sum(gate.square() for gate in strand.gates.values())
            torch.testing.assert_close(squares, norms.square(), rtol=1e-7, atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(
    steps=st.integers(1, 9),
    rows=st.integers(1, 3),
    window=st.none() | st.integers(0, 9),
    every=st.none() | st.integers(1, 4),
    per_row=st.booleans(),
)
def test_explicit_and_implicit_are_the_terms_on_and_off_the_diagonal(
    steps: int, rows: int, window: int | None, every: int | None, per_row: bool
) -> None:
    layer = make("LSTM", {})
    x = torch.randn(steps, rows, 4, dtype=torch.float64)
    loss = square_rows if per_row else square
    found = contributions(layer, x, loss, steps=every, window=window, terms=True)
    strand = found["l0"]
    assert strand.terms is not None
    terms = strand.terms.nan_to_num()
    here = torch.arange(len(found.steps)), torch.tensor(found.steps)
    explicit = terms[here]
    implicit = terms.sum(1) - explicit
    for part, norms, total in (
        (explicit, strand.explicit, strand.explicit_gradient),
        (implicit, strand.implicit, strand.implicit_gradient),
    ):
        torch.testing.assert_close(norms, part.flatten(norms.ndim).norm(dim=-1))
        torch.testing.assert_close(total, part.sum(tuple(range(norms.ndim))))
    for row, t in enumerate(found.steps):
        for k in range(steps):
            outside = window is not None and k < t - window
            assert strand.norms[row, k].isnan().all() == outside
            if k > t:
                assert not strand.norms[row, k].any()


def test_a_term_is_what_a_step_of_its_own_weights_gets() -> None:
    """Every step is given its own copy of U; autograd then tells the terms apart."""
    layer = nn.RNN(2, 3, dtype=torch.float64)
    x = torch.randn(6, 2, 2, dtype=torch.float64)
    weights = list(layer.parameters())
    copies = [weights[1].detach().clone().requires_grad_() for _ in x]
    state, outputs = x.new_zeros(2, 3), []
    for own, copy in zip(x, copies, strict=True):
        state = torch.rnn_tanh_cell(own, state, weights[0], copy, weights[2], weights[3])
        outputs.append(state)
    found = contributions(layer, x, square, terms=True)["l0"]
    assert found.terms is not None
    for t, loss in enumerate(square(torch.stack(outputs))):
        wanted = torch.autograd.grad(loss, copies, retain_graph=True, allow_unused=True)
        for k, term in enumerate(wanted):
            expected = torch.zeros(3, 3, dtype=torch.float64) if term is None else term
            torch.testing.assert_close(found.terms[t, k], expected, rtol=1e-10, atol=1e-12)


def test_in_a_users_model_of_torchs_layers() -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(2, 3, batch_first=True, dtype=torch.float64)

        def forward(self, x: Tensor) -> Tensor:
            output: Tensor = self.rnn(x)[0].transpose(0, 1)
            return output

    model, x = Reader(), torch.randn(2, 5, 2, dtype=torch.float64)
    found = contributions(model, x, square)
    torch.autograd.backward(square(model(x)).sum())
    torch.testing.assert_close(found["rnn.l0"].gradient, model.rnn.weight_hh_l0.grad)
    assert found.nearest is found["rnn.l0"]
    assert set(found.nearest.gates) == {"r", "z", "n"}


def test_what_is_no_parameter_is_refused() -> None:
    layer, x = unrolled.RNN(2, 3), torch.randn(5, 2, 2)
    with pytest.raises(ValueError, match=r'^contributions: of must be one of "U" .*, got .V.'):
        contributions(layer, x, square, of="V")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r'^contributions: of="b": no recurrent layer .* has bias'):
        contributions(unrolled.RNN(2, 3, bias=False), x, square, of="b")


def test_terms_are_refused_where_they_would_not_fit() -> None:
    layer, x = unrolled.LSTM(2, 32), torch.randn(64, 1, 2)
    assert contributions(layer, x, square, memory="50MB")["l0"].norms.shape == (64, 64)
    with pytest.raises(ValueError, match=r"^contributions: 64 steps of 1 row need .* GB|MB"):
        contributions(layer, x, square, memory="50MB", terms=True)
