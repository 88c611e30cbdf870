"""The problems ask what they say they ask: answers are worked out again, row by row."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, Tensor

from unrolled.tasks.lag.options import TASKS, LagOptions
from unrolled.tasks.lag.problems import (
    DISTRACTIONS,
    NAMES,
    PROBLEMS,
    SYMBOLS,
    TOLERANCE,
    Problem,
    problem,
)

lags, rows, seeds = st.integers(2, 60), st.integers(1, 5), st.integers(0, 999)


WORD = LagOptions().word


def usual(task: str) -> Problem:
    return problem(task, LagOptions())


def drawn(task: str, lag: int, rows: int, seed: int) -> tuple[Tensor, Tensor]:
    x, target = usual(task).draw(lag, rows, Generator().manual_seed(seed))
    assert x.shape[1:] == (rows, usual(task).inputs)
    assert target.shape == (usual(task).answers, rows)
    return x, target


def hot(features: Tensor) -> list[int]:
    """Which features are on; none is anything but 0 or 1."""
    assert set(features.tolist()) <= {0.0, 1.0}
    return [int(k) for k in features.nonzero()]


@given(lag=lags, rows=rows, seed=seeds)
def test_copy(lag: int, rows: int, seed: int) -> None:
    x, target = drawn("copy", lag, rows, seed)
    for row in range(rows):
        script = [hot(step) for step in x[:, row]]
        word = [letter for (letter,) in script[:WORD]]
        assert all(letter < SYMBOLS for letter in word)
        pause: list[list[int]] = [[] for _ in range(lag - 1)]
        assert script[WORD:] == [*pause, [SYMBOLS], *([] for _ in range(WORD))]
        assert target[:, row].tolist() == word


@given(word=st.integers(1, 10), lag=lags, rows=rows, seed=seeds)
def test_copy_with_an_answer_at_every_step(word: int, lag: int, rows: int, seed: int) -> None:
    """The letters, nothing, the marker to the end; "nothing" is answered until it has come."""
    copy = problem("copy", LagOptions(word=word, every_step=True))
    x, target = copy.draw(lag, rows, Generator().manual_seed(seed))
    assert len(x) == len(target) == lag + 2 * word
    for row in range(rows):
        script = [hot(step) for step in x[:, row]]
        letters = [letter for (letter,) in script[:word]]
        pause: list[list[int]] = [[] for _ in range(lag - 1)]
        assert script[word:] == [*pause, *([SYMBOLS] for _ in range(word + 1))]
        assert target[:, row].tolist() == [SYMBOLS] * (word + lag) + letters
    same, _ = problem("copy", LagOptions(word=word)).draw(lag, rows, Generator().manual_seed(seed))
    assert torch.equal(same[: word + lag], x[: word + lag])


def test_without_memory_the_loss_of_every_step_is_that_of_the_letters() -> None:
    """Published as chance: 10 · ln 8 / 1020 = 0.0204."""
    copy = problem("copy", LagOptions(word=10, every_step=True))
    _, target = copy.draw(1000, 4, Generator().manual_seed(0))
    given = torch.zeros(*target.shape, copy.outputs)
    given[:-10, :, SYMBOLS] = 50
    given[-10:, :, SYMBOLS] = -50
    assert float(copy.losses(given, target).mean()) == pytest.approx(10 * math.log(8) / 1020)
    assert copy.hits(given, target).shape == (10, 4)


@given(lag=lags, rows=rows, seed=seeds)
def test_adding(lag: int, rows: int, seed: int) -> None:
    x, target = drawn("adding", lag, rows, seed)
    assert len(x) == lag
    for row in range(rows):
        numbers, marks = x[:, row].unbind(-1)
        assert bool(((numbers >= 0) & (numbers < 1)).all())
        first, second = hot(marks)
        assert first < lag // 2 <= second
        assert float(target[0, row]) == pytest.approx(
            float(numbers[first]) + float(numbers[second])
        )


@given(lag=lags, rows=rows, seed=seeds)
def test_recall(lag: int, rows: int, seed: int) -> None:
    x, target = drawn("recall", lag, rows, seed)
    assert len(x) == NAMES + lag
    for row in range(rows):
        script = [hot(step) for step in x[:, row]]
        facts = {name: value - NAMES for name, value in script[:NAMES]}
        assert sorted(facts) == list(range(NAMES))
        assert all(0 <= value < SYMBOLS for value in facts.values())
        for (noise,) in script[NAMES:-1]:
            assert 0 <= noise - NAMES - SYMBOLS < DISTRACTIONS
        (asked,) = script[-1]
        assert int(target[0, row]) == facts[asked]


@pytest.mark.parametrize("task", TASKS)
def test_another_seed_another_batch(task: str) -> None:
    first, again, other = (drawn(task, 12, 4, seed) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])


def test_the_options_name_all_problems() -> None:
    """They are listed twice, since the options load no torch."""
    assert tuple(PROBLEMS) == TASKS


def _answers(asked: Problem, target: Tensor) -> Tensor:
    """What a model would give that is certain of these answers."""
    if asked.outputs == 1:
        return target.unsqueeze(-1)
    return 50.0 * torch.nn.functional.one_hot(target, asked.outputs)


@pytest.mark.parametrize("task", TASKS)
def test_right_answers_are_right(task: str) -> None:
    asked = usual(task)
    _, target = drawn(task, 9, 6, 0)
    given = _answers(asked, target)
    assert asked.hits(given, target).all()
    assert asked.losses(given, target).shape == target.shape
    assert asked.losses(given, target).max() < 1e-6
    wrong = (target + 1) % SYMBOLS if asked.outputs > 1 else target + 1.01 * TOLERANCE
    assert not asked.hits(_answers(asked, wrong), target).any()
    assert asked.losses(_answers(asked, wrong), target).min() > 1e-3


@pytest.mark.parametrize("task", TASKS)
def test_chance_is_what_the_best_constant_answer_gets(task: str) -> None:
    asked = usual(task)
    _, target = drawn(task, 10, 20_000, 0)
    constant = torch.full_like(target, 1)
    found = float(asked.hits(_answers(asked, constant), target).float().mean())
    assert found == pytest.approx(asked.chance, abs=0.008)  # three standard deviations


def test_without_memory_sums_are_off_by_a_sixth() -> None:
    _, target = drawn("adding", 10, 20_000, 0)
    given = torch.ones_like(target).unsqueeze(-1)
    assert float(usual("adding").losses(given, target).mean()) == pytest.approx(1 / 6, abs=0.005)
