"""Schemes: spans to tags and back, detection, and sequences that do not follow their scheme."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.errors import UserError
from unrolled.tasks.tag.schemes import (
    SCHEMES,
    Detector,
    Scheme,
    Span,
    convert,
    invalid_places,
    read_spans,
    transitions,
    write_tags,
)
from unrolled.tasks.tag.sentences import Sentence

SPANS: tuple[Scheme, ...] = tuple(scheme for scheme in SCHEMES if scheme != "plain")


@st.composite
def sentences(draw: st.DrawFn, *, apart: bool = False) -> tuple[list[Span], int]:
    """Spans that do not overlap, with gaps or without, and the number of tokens."""
    spans, end = [], 0
    for _ in range(draw(st.integers(0, 5))):
        start = end + draw(st.integers(1 if apart else 0, 2))
        end = start + draw(st.integers(1, 4))
        spans.append(Span(start, end, draw(st.sampled_from(["PER", "creative-work", "B-x", "I"]))))
    return spans, end + draw(st.integers(0, 2))


def detected(*tags: str, place: str = "a.conll:1") -> Scheme:
    detector = Detector()
    for one in tags:
        words = tuple(one.split())
        detector.add(words, Sentence(("w",) * len(words), words, None, place, 1))
    return detector.scheme()


@pytest.mark.parametrize("scheme", [s for s in SPANS if s != "io"])
@settings(max_examples=40)
@given(sentences())
def test_spans_come_back_from_their_tags(scheme: Scheme, case: tuple[list[Span], int]) -> None:
    spans, length = case
    tags = write_tags(spans, length, scheme)
    assert len(tags) == length
    assert read_spans(tags, scheme) == spans
    assert invalid_places(tags, scheme) == []
    assert convert(convert(tags, scheme, "iob2"), "iob2", scheme) == tags


@given(sentences(apart=True))
def test_io_keeps_spans_that_do_not_touch(case: tuple[list[Span], int]) -> None:
    spans, length = case
    assert read_spans(write_tags(spans, length, "io"), "io") == spans


SPAN = [Span(0, 2, "PER"), Span(2, 3, "PER"), Span(4, 5, "LOC")]


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("io", "I-PER I-PER I-PER O I-LOC"),
        ("iob1", "I-PER I-PER B-PER O I-LOC"),
        ("iob2", "B-PER I-PER B-PER O B-LOC"),
        ("bioes", "B-PER E-PER S-PER O S-LOC"),
        ("bilou", "B-PER L-PER U-PER O U-LOC"),
        ("bmes", "B-PER E-PER S-PER O S-LOC"),
    ],
)
def test_the_tags_of_each_scheme(scheme: Scheme, tags: str) -> None:
    assert write_tags(SPAN, 5, scheme) == tags.split()


def test_the_middle_of_a_long_span() -> None:
    assert write_tags([Span(0, 3, "X")], 3, "bmes") == ["B-X", "M-X", "E-X"]
    assert write_tags([Span(0, 3, "X")], 3, "bilou") == ["B-X", "I-X", "L-X"]


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("I-PER I-PER O", [(0, 2, "PER")]),  # I after nothing begins a span
        ("B-PER I-LOC O", [(0, 1, "PER"), (1, 2, "LOC")]),  # and where the type changes
        ("O I-LOC B-LOC I-LOC", [(1, 2, "LOC"), (2, 4, "LOC")]),
        ("B-PER B-PER", [(0, 1, "PER"), (1, 2, "PER")]),
        ("E-PER S-PER I-PER", [(0, 1, "PER"), (1, 2, "PER"), (2, 3, "PER")]),
        ("B-PER S-PER", [(0, 1, "PER"), (1, 2, "PER")]),
        ("B-PER O E-PER", [(0, 1, "PER"), (2, 3, "PER")]),
        ("B_PER I_PER", [(0, 2, "PER")]),
    ],
)
def test_repair_as_the_conll_evaluation(tags: str, spans: list[tuple[int, int, str]]) -> None:
    assert read_spans(tags.split(), "bioes") == [Span(*span) for span in spans]


@pytest.mark.parametrize(
    ("scheme", "tags", "places"),
    [
        ("iob2", "I-PER O B-PER I-LOC I-LOC", [0, 3]),
        ("iob1", "B-PER I-PER B-PER", [0]),
        ("bioes", "B-PER O I-PER E-PER B-PER", [1, 2, 5]),
        ("bilou", "U-PER L-PER", [1]),
        ("io", "I-PER I-LOC", []),
        ("plain", "B-PER x", []),
    ],
)
def test_places_that_do_not_follow_the_scheme(scheme: Scheme, tags: str, places: list[int]) -> None:
    assert invalid_places(tags.split(), scheme) == places


@pytest.mark.parametrize("scheme", ["iob1", "iob2", "bioes", "bilou"])
def test_transitions_allow_what_is_valid_and_no_more(scheme: Scheme) -> None:
    letters = "".join(
        sorted({tag[0] for tag in write_tags([Span(0, 3, "X"), Span(3, 4, "X")], 4, scheme)})
    )
    tags = ["O", *(f"{letter}-{label}" for letter in letters for label in "XY")]
    allowed = transitions(tags, scheme)
    for length in (1, 2, 3):
        for numbers in itertools.product(range(len(tags)), repeat=length):
            valid = allowed.start[numbers[0]] and allowed.end[numbers[-1]]
            valid &= all(allowed.next[a][b] for a, b in itertools.pairwise(numbers))
            assert valid == (invalid_places([tags[n] for n in numbers], scheme) == [])


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        (["B-PER I-PER O", "O B-LOC"], "iob2"),
        (["I-PER I-PER O", "I-LOC B-LOC"], "iob1"),
        (["I-PER O I-LOC"], "io"),
        (["B-PER E-PER", "S-LOC"], "bioes"),
        (["B-PER L-PER", "U-LOC"], "bilou"),
        (["B-PER M-PER E-PER O"], "bmes"),
        (["DET NOUN VERB"], "plain"),
        (["O O", "O"], "iob2"),
        (["B-PER I-PER", "I-PER B-LOC O"], "iob2"),  # one mistake makes no other scheme
        (["DET B-X NOUN"], "plain"),
    ],
)
def test_detection(tags: list[str], scheme: Scheme) -> None:
    assert detected(*tags) == scheme


@settings(max_examples=25)
@given(st.sampled_from(["iob2", "bioes", "bilou"]), st.lists(sentences(), min_size=1))
def test_what_is_detected_reads_the_same_spans(
    scheme: Scheme, cases: list[tuple[list[Span], int]]
) -> None:
    texts = [write_tags(spans, length, scheme) for spans, length in cases if length]
    if not texts:
        return
    detector = Detector()
    for tags in texts:
        detector.add(tags, Sentence(("w",) * len(tags), tuple(tags), None, "f:1", 1))
    found = detector.scheme()
    assert [read_spans(tags, found) for tags in texts] == [
        spans for spans, length in cases if length
    ]


def test_mixed_schemes_are_refused_with_both_places() -> None:
    with pytest.raises(UserError, match=r"a\.conll:1, token 3: mixed schemes: tag 'NOUN' beside"):
        detected("O B-PER NOUN")
    with pytest.raises(UserError, match="mixed schemes: tags begin with the letters B, E, L"):
        detected("B-PER E-PER", "B-PER L-PER")


def test_spans_that_overlap_or_lie_outside_are_a_mistake() -> None:
    for spans in ([Span(0, 2, "X"), Span(1, 3, "X")], [Span(1, 1, "X")], [Span(2, 4, "X")]):
        with pytest.raises(ValueError, match="overlaps"):
            write_tags(spans, 3, "iob2")
    with pytest.raises(ValueError, match="cannot be written"):
        convert(["NOUN"], "plain", "iob2")
