"""Scores against cases counted by hand."""

from __future__ import annotations

import random

import pytest

from unrolled.tasks.tag.data import Tagged
from unrolled.tasks.tag.evaluation import Counts, Scores, compare, forms, score


def scored(
    true: list[str], predicted: list[str], scheme: str = "iob2", **options: object
) -> Scores:
    gold, guess = ([one.split() for one in side] for side in (true, predicted))
    tokens = [[f"w{n}" for n, _ in enumerate(one)] for one in gold]
    return score(tokens, gold, guess, scheme, **options)  # type: ignore[arg-type]


def test_the_example_of_seqeval() -> None:
    """From its documentation: one of two spans is right, the other begins too late."""
    found = scored(
        ["O O O B-MISC I-MISC I-MISC O", "B-PER I-PER O"],
        ["O O B-MISC I-MISC I-MISC I-MISC O", "B-PER I-PER O"],
    )
    assert found.metrics["f1"].value == 0.5
    assert found.types == {"MISC": Counts(0, 1, 1), "PER": Counts(1, 1, 1)}
    assert found.metrics["accuracy"].value == pytest.approx(0.8)
    assert found.confusion[("O", "B-MISC")] == 1
    assert found.confusion[("B-MISC", "I-MISC")] == 1


def test_counted_by_hand() -> None:
    found = scored(
        ["B-PER I-PER O B-LOC", "B-LOC B-LOC O O", "O O"],
        ["B-PER O O B-LOC", "B-LOC I-LOC O B-PER", "O O"],
    )
    # right: the LOC of the first; predicted: 2 + 2; true: 2 + 2
    assert found.metrics["precision"].value == 0.25
    assert found.metrics["recall"].value == 0.25
    assert found.metrics["f1"].value == 0.25
    assert found.types == {"LOC": Counts(1, 2, 3), "PER": Counts(0, 2, 1)}
    assert found.metrics["accuracy"].value == pytest.approx(7 / 10)


def test_wrong_types_are_wrong_and_invalid_tags_are_repaired() -> None:
    assert scored(["B-PER I-PER"], ["B-LOC I-LOC"]).metrics["f1"].value == 0
    assert scored(["B-PER I-PER"], ["I-PER I-PER"]).metrics["f1"].value == 1
    assert scored(["B-PER E-PER"], ["B-PER I-PER"], "bioes").metrics["f1"].value == 1
    assert scored(["O O"], ["O O"]).metrics["f1"].value == 0
    assert Counts(0, 0, 3).precision == 0


def test_unseen_spans() -> None:
    tags = ("O", "B-PER", "I-PER")
    train = [Tagged(("Ann", "Lee", "and", "Bob"), (1, 2, 0, 1), "")]
    known = forms(train, tags, "iob2")
    assert known == {"Ann Lee", "Bob"}
    found = score(
        [["Bob", "met", "Ann"], ["Eve", "met", "Mallory"]],
        [["B-PER", "O", "B-PER"], ["B-PER", "O", "B-PER"]],
        [["B-PER", "O", "B-PER"], ["O", "B-PER", "B-PER"]],
        "iob2",
        known=known,
    )
    # unseen: Ann alone, Eve, Mallory; predicted of these: Ann, met, Mallory
    assert found.unseen == Counts(2, 3, 3)
    assert found.metrics["f1_unseen"].value == pytest.approx(2 / 3)
    assert found.metrics["f1"].value == pytest.approx(3 / 4)
    assert "f1_unseen" not in scored(["B-X"], ["B-X"]).metrics


def test_plain_tags() -> None:
    known = forms([Tagged(("a", "b"), (0, 1), "")], ("X", "Y"), "plain")
    found = score(
        [["a", "c"], ["b", "d"]],
        [["X", "Y"], ["Y", "X"]],
        [["X", "Y"], ["X", "Y"]],
        "plain",
        known=known,
    )
    assert found.metrics["accuracy"].value == 0.5
    assert found.metrics["accuracy_unseen"].value == 0.5
    assert found.types == {"X": Counts(1, 2, 2), "Y": Counts(1, 2, 2)}
    assert found.metrics["f1_macro"].value == 0.5
    assert "f1" not in found.metrics


def test_intervals_hold_the_value_and_depend_on_the_seed_alone() -> None:
    draw = random.Random(0)
    true = [" ".join(draw.choices(["O", "B-X"], k=6)) for _ in range(300)]
    flip = {"O": "B-X", "B-X": "O"}
    guess = [" ".join(flip[t] if draw.random() < 0.2 else t for t in one.split()) for one in true]
    first = scored(true, guess, seed=3)
    for value in first.metrics.values():
        assert value.low is not None
        assert value.high is not None
        assert value.low < value.value < value.high
    assert first == scored(true, guess, seed=3)
    assert first != scored(true, guess, seed=4)
    # of 1,800 tokens of which 80 % are right: ± 1.96 √(0.8 · 0.2 / 1800)
    accuracy = first.metrics["accuracy"]
    assert accuracy.high is not None
    assert accuracy.low is not None
    assert accuracy.high - accuracy.low == pytest.approx(2 * 0.0185, rel=0.2)
    assert scored(true[:1], guess[:1]).metrics["f1"].low is None
    assert scored(true, guess, samples=0).metrics["f1"].low is None


def test_two_systems_on_the_same_sentences() -> None:
    true = [["B-X", "O"]] * 50
    bad = [["B-X", "O"]] * 25 + [["O", "O"]] * 25
    better = compare(true, true, bad, "iob2")
    assert better.value == pytest.approx(1 - 2 / 3)
    assert better.low is not None
    assert better.low > 0
    assert compare(true, bad, bad, "iob2") == (0, 0, 0)
    assert compare(true, bad, true, "plain").value == -0.25


def test_numbers_of_tags_must_agree() -> None:
    with pytest.raises(ValueError, match="as many tags as tokens"):
        scored(["O O"], ["O"])
    with pytest.raises(ValueError, match="as many tags as tokens"):
        compare([["O"]], [["O"]], [], "iob2")
