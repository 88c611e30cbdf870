"""The word "hello", worked by hand to four decimals: our layer gives the same numbers.

The hand calculation uses row vectors (h W), a layer's matrices stand the other way up (W h).
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

import unrolled

W_XH = [
    [0.2973, 0.2766, 0.7974],
    [0.3869, 0.9170, 0.4125],
    [0.5538, 0.5646, 0.5026],
    [0.2206, 0.6801, 0.3880],
]
W_HH = [[0.3152, 0.5083, 0.9454], [0.3008, 0.6058, 0.2999], [0.9741, 0.3419, 0.9133]]
W_HO = [
    [0.3189, 0.6216, 0.5164, 0.7501],
    [0.0260, 0.6230, 0.0179, 0.6123],
    [0.1320, 0.9009, 0.3873, 0.8142],
]
X = one_hot(torch.tensor([0, 1, 2, 2]), num_classes=4).float()  # h e l l
RIGHT = torch.tensor([1, 2, 2, 3])  # e l l o

EXAMPLE = Path(__file__).parents[1] / "examples" / "hello.py"


def network() -> tuple[Any, torch.nn.Linear]:
    rnn: Any = unrolled.RNN(4, 3, bias=False)
    read_out = torch.nn.Linear(3, 4, bias=False)
    with torch.no_grad():
        rnn.weight_ih_l0.copy_(torch.tensor(W_XH).T)
        rnn.weight_hh_l0.copy_(torch.tensor(W_HH).T)
        read_out.weight.copy_(torch.tensor(W_HO).T)
    return rnn, read_out


def near(actual: Tensor, expected: list[float]) -> None:
    torch.testing.assert_close(actual, torch.tensor(expected), atol=2e-4, rtol=0)


@pytest.mark.parametrize("engine", ["kernels", "reference", "torch"])
def test_the_first_two_steps_have_the_numbers_worked_by_hand(engine: str) -> None:
    rnn, read_out = network()
    with torch.no_grad(), unrolled.using(engine):
        hidden, last = rnn(X)
        logits = read_out(hidden)
        near(X[0] @ rnn.weight_ih_l0.T, [0.2973, 0.2766, 0.7974])
        near(hidden[0], torch.tensor([0.2973, 0.2766, 0.7974]).tanh().tolist())
        near(hidden[0] @ rnn.weight_hh_l0.T, [0.8176, 0.5368, 0.9591])
        before = X[1] @ rnn.weight_ih_l0.T + hidden[0] @ rnn.weight_hh_l0.T
        near(before, [1.2045, 1.4538, 1.3716])
        near(hidden[1], [0.8350, 0.8964, 0.8791])
        near(logits[1], [0.4056, 1.8696, 0.7877, 1.8910])
        near(logits[1].softmax(0), [0.0892, 0.3858, 0.1308, 0.3942])
        assert int(logits[1].argmax()) == 3  # "o", where "l" is right
        torch.testing.assert_close(last, hidden[-1:])


@pytest.mark.parametrize("engine", ["kernels", "reference", "torch"])
def test_after_training_the_network_says_ello(engine: str) -> None:
    rnn, read_out = network()
    parameters = [*rnn.parameters(), *read_out.parameters()]
    with unrolled.using(engine):
        for _ in range(300):
            loss = cross_entropy(read_out(rnn(X)[0]), RIGHT)
            gradients = torch.autograd.grad(loss, parameters)
            with torch.no_grad():
                for weight, gradient in zip(parameters, gradients, strict=True):
                    weight.sub_(0.5 * gradient)
        predicted = read_out(rnn(X)[0]).argmax(-1)
    assert "".join("helo"[letter] for letter in predicted) == "ello"


def test_the_example_shows_the_numbers_and_learns_the_word(
    capsys: pytest.CaptureFixture[str],
) -> None:
    runpy.run_path(str(EXAMPLE))
    before, after = capsys.readouterr().out.split("Training")
    assert "1.2045   1.4538   1.3716" in before
    assert "0.8350   0.8964   0.8791" in before
    assert "predicts 'o': wrong, 'l' comes next" in before
    assert after.count("right") == 4
    assert "wrong" not in after
