"""Tags inside the model and outside."""

from __future__ import annotations

from unrolled.tasks.tag.data import TagSet
from unrolled.tasks.tag.labels import Labels

SPANS = TagSet(("O", "B-X", "I-X", "B-Y", "I-Y"), "iob1", "word")


def test_spans_have_tags_for_their_ends() -> None:
    labels = Labels(SPANS)
    tags = ["B-X", "I-X", "B-X", "O", "B-Y", "I-Y", "I-Y"]
    numbers = labels.encode(tags)
    assert [labels.names[n] for n in numbers] == ["B-X", "E-X", "S-X", "O", "B-Y", "I-Y", "E-Y"]
    assert labels.decode(numbers) == tags
    assert labels.span("Y", 3) == numbers[4:]
    assert labels.span("X", 1) == numbers[2:3]


def test_rules_are_those_of_the_model() -> None:
    labels = Labels(SPANS)
    rules, n = labels.rules, labels.numbers
    assert len(labels) == len(rules.start) == 9
    assert not rules.next[n["B-X"]][n["O"]]
    assert rules.next[n["E-X"]][n["S-X"]]
    assert not rules.end[n["B-X"]]


def test_plain_tags_stay_what_they_are() -> None:
    labels = Labels(TagSet(("DET", "NOUN"), "plain", "word"))
    assert labels.names == ("DET", "NOUN")
    assert labels.decode(labels.encode(["NOUN", "DET"])) == ["NOUN", "DET"]
    assert all(labels.rules.end)
