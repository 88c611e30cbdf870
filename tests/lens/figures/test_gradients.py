"""The figures of influence and contributions show their numbers, and say what they mean."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import unrolled
from unrolled.lens import contributions, influence

from .reading import by_matplotlib, by_plotly


def squares(y: Tensor) -> Tensor:
    return y.square().sum((1, 2))


def squares_of_rows(y: Tensor) -> Tensor:
    return y.square().sum(2)


def test_influence_shows_the_matrix_and_the_mean_by_lag() -> None:
    torch.manual_seed(0)
    found = influence(unrolled.LSTM(3, 5, num_layers=2), torch.randn(9, 2, 3), squares, window=4)
    picture = found.picture()
    matrix, lags = picture.panels
    assert matrix.heat is not None
    np.testing.assert_array_equal(matrix.heat.values, found.matrix)
    assert matrix.heat.colours.kind == "decades"
    assert matrix.heat.colours.title == "loss per unit of h"
    assert matrix.title == "‖∂ℓ_{t}/∂h_{k}‖ at every pair of steps (grey: not computed)"
    assert (matrix.x.title, matrix.y.title) == ("step k of the state", "step t of the loss")
    assert matrix.y.low > matrix.y.high  # time runs down
    assert lags.y.log
    assert [line.name for line in lags.lines] == [f"‖∂ℓ_{{t}}/∂{s}_{{k}}‖" for s in "hcx"]
    np.testing.assert_array_equal(lags.lines[0].y, found.by_lag())
    np.testing.assert_array_equal(lags.lines[1].y, found.by_lag(state="c"))
    np.testing.assert_array_equal(lags.lines[2].y, found.by_lag(state="x"))
    assert picture.subtitle.startswith("l1: ")
    for drawn in (by_matplotlib(picture), by_plotly(picture)):
        assert np.isnan(drawn.heats[0][8, 3])  # outside the window
        assert drawn.limits[0][0] < drawn.heats[0][0, 8] < drawn.heats[0][8, 8]  # zero, not zero


def test_the_rows_of_strided_steps_stand_at_their_times() -> None:
    found = influence(unrolled.RNN(3, 5), torch.randn(9, 2, 3), squares, steps=3)
    heat = found.picture().panels[0].heat
    assert heat is not None
    assert list(heat.y) == [2, 5, 8]
    assert list(heat.x) == list(range(9))


def test_one_row_or_the_mean_of_all() -> None:
    found = influence(unrolled.GRU(3, 5), torch.randn(9, 4, 3), squares_of_rows)
    mean, one = found.picture().panels[0].heat, found.picture(row=2).panels[0].heat
    assert mean is not None
    assert one is not None
    np.testing.assert_allclose(mean.values, found.matrix.mean(-1))
    np.testing.assert_array_equal(one.values, found.matrix[:, :, 2])
    assert "mean over 4 rows" in found.picture().subtitle
    assert ", row 2:" in found.picture(row=2).subtitle
    with pytest.raises(ValueError, match=r"^row must lie between 0 and 3, the last; got 4$"):
        found.plot(row=4)
    with pytest.raises(ValueError, match=r"^strand must be one of l0; got 'l1'$"):
        found.figure("l1")


def test_the_sentence_counts_the_steps_that_a_hundredth_needs() -> None:
    """Of h_t = u h_{t−1} + x_t with the loss h_t, exactly u^lag arrives."""
    layer = unrolled.RNN(1, 1, nonlinearity="relu", bias=False)
    with torch.no_grad():
        for weight, value in zip(layer.parameters(), (1.0, 0.5), strict=True):
            weight.fill_(value)
    found = influence(layer, torch.ones(12, 1, 1), lambda y: y.sum((1, 2)))
    assert found.picture().subtitle == (  # 0.5⁷ = 0.0078
        "l0: 7 steps away from the loss, less than 1 % of its gradient is left."
    )
    short = influence(layer, torch.ones(4, 1, 1), lambda y: y.sum((1, 2)))
    assert short.picture().subtitle == (  # 0.5³
        "l0: 3 steps away from the loss, 12 % of its gradient is left."
    )


def test_a_reverse_direction_looks_ahead() -> None:
    found = influence(unrolled.GRU(3, 5, bidirectional=True), torch.randn(9, 2, 3), squares)
    assert found.picture("l0_reverse").panels[1].x.title == "lag k − t (steps ahead)"
    assert found.picture().panels[1].x.title == "lag t − k (steps back)"


def test_a_loss_that_sees_nothing_is_drawn_all_the_same() -> None:
    found = influence(unrolled.RNN(3, 5), torch.randn(4, 1, 3), lambda y: 0 * y.sum((1, 2)))
    picture = found.picture()
    assert picture.subtitle == "l0: nothing arrives."
    for drawn in (by_matplotlib(picture), by_plotly(picture)):
        assert len(set(drawn.heats[0].ravel())) == 1


def test_contributions_show_the_terms_and_both_parts() -> None:
    found = contributions(
        unrolled.GRU(3, 5), torch.randn(9, 2, 3), squares_of_rows, of="W", window=5
    )
    picture = found.picture(row=1)
    terms, parts = picture.panels
    strand = found["l0"]
    assert terms.heat is not None
    np.testing.assert_array_equal(terms.heat.values, strand.norms[:, :, 1])
    assert terms.title == "Terms ‖∂ℓ_{t}/∂h_{k} · ∂⁺h_{k}/∂W‖ (grey: not computed)"
    assert terms.heat.colours.title == "loss per unit of W"
    assert [line.name.split(":")[0] for line in parts.lines] == ["explicit", "implicit"]
    np.testing.assert_array_equal(parts.lines[0].y, strand.explicit[:, 1])
    np.testing.assert_array_equal(parts.lines[1].y, strand.implicit[:, 1])
    both = strand.explicit[:, 1].sum(), strand.implicit[:, 1].sum()
    share = f"{100 * float(both[1] / sum(both)):.2g} %"
    assert picture.subtitle == f"l0, row 1: of both parts' norms, {share} are the implicit part's."
    np.testing.assert_allclose(found.picture().panels[1].lines[0].y, strand.explicit.mean(1))
    for drawn in (by_matplotlib(picture), by_plotly(picture)):
        assert len(drawn.heats) == 1
        assert len(drawn.lines) == 2
    with pytest.raises(ValueError, match=r"^row must lie between 0 and 1, the last; got 2$"):
        found.plot(row=2)


def test_an_encoder_counts_from_its_end() -> None:
    """It has no step for each loss of the decoder that follows it."""

    class Translate(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = torch.nn.GRU(3, 5), torch.nn.GRU(3, 5)

        def forward(self, x: Tensor) -> Tensor:
            _, h = self.encoder(x)
            found: Tensor = self.decoder(x[:4], h)[0]
            return found

    found = influence(Translate(), torch.randn(9, 2, 3), squares)
    heat, lags = found.picture("encoder.l0").panels
    assert heat.heat is not None
    assert heat.heat.values.shape == (4, 9)
    assert lags.x.title == "steps before its last"
    assert found.picture().panels[1].x.title == "lag t − k (steps back)"
