"""Network, n-gram model and both together on the same tokens."""

import math
from collections.abc import Iterator

import numpy as np
import pytest

from unrolled.tasks.text import comparison as module
from unrolled.tasks.text.comparison import Methods, Recorded, compare, fit_mixture
from unrolled.tasks.text.kneser_ney.model import KneserNey
from unrolled.tasks.text.lines import KnownLines
from unrolled.tasks.text.mixture import Mixture
from unrolled.tasks.text.score import Block, Score
from unrolled.tasks.text.verdict import compared, estimates
from unrolled.training.task import Evaluation

TEXT = np.random.default_rng(0).integers(0, 4, 3001).astype(np.uint8)
NATS = np.random.default_rng(1).exponential(1.3, 3000)
MODEL = KneserNey.fit(TEXT[:2000], 4, 4)
ENDS = np.arange(4) == 3


def blocks(streams: int, chunk: int = 64) -> Iterator[Block]:
    """The nats as a network gives them: of several streams side by side."""
    length = 3000 // streams
    starts = [1 + i * length for i in range(streams)]
    for done in range(0, length, chunk):
        steps = min(chunk, length - done)
        places = [start + done for start in starts]
        yield Block(places, np.stack([NATS[p - 1 : p - 1 + steps] for p in places], axis=1))
    if left := 3000 - streams * length:
        yield Block([3001 - left], NATS[-left:, None])


def score() -> Score:
    return Score(float(NATS.sum()), tokens=3000, characters=4500, unknown=0, streams=1)


@pytest.mark.parametrize("streams", [1, 3, 7])
@pytest.mark.parametrize("memory", [1 << 26, 100])
def test_nats_come_back_in_the_order_of_the_text(
    streams: int, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_IN_MEMORY", memory)
    with Recorded() as recorded:
        seen = [block.nats.sum() for block in recorded.through(blocks(streams))]
        assert sum(seen) == pytest.approx(NATS.sum())
        assert recorded.nats(1, 3001).tolist() == NATS.tolist()
        assert recorded.nats(70, 75).tolist() == NATS[69:74].tolist()


@pytest.mark.parametrize("block", [1 << 16, 999])
def test_all_methods_are_measured_on_the_same_tokens(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    lines = KnownLines.of(TEXT[:100], ENDS)
    assert lines is not None
    with Recorded() as recorded:
        for _ in recorded.through(blocks(1)):
            pass
        mixture = fit_mixture(recorded, TEXT, MODEL)
        methods = Methods(recorded, TEXT, MODEL, mixture)
        found = compare(score(), methods, TEXT, lines, combine=True)
    ngram = MODEL.predictions(TEXT, 1)
    both = mixture.nats(NATS, ngram.nats, ngram.matched)
    expected = {"network": NATS, "baseline": ngram.nats, "combined": both}
    known = lines.marks(TEXT, 1, 3001)
    assert list(found.scores) == list(expected)
    for name, nats in expected.items():
        assert found.scores[name].total == pytest.approx(nats.sum())
        assert found.scores[name].nats == pytest.approx(nats.sum() / 4500)
        assert found.lines["known"].nats[name] == pytest.approx(nats[known].sum())
        assert found.lines["new"].nats[name] == pytest.approx(nats[~known].sum())
    assert found.scores["combined"].total < min(NATS.sum(), ngram.nats.sum())
    assert found.lines["known"].tokens == known.sum()
    assert found.stretches.sum(0)[-1] == 3000
    assert found.used == "combined"


def test_without_cheap_method_and_lines_there_is_the_network_alone() -> None:
    with Recorded() as recorded:
        for _ in recorded.through(blocks(1)):
            pass
        found = compare(score(), Methods(recorded, TEXT), TEXT, None, combine=False)
    assert found.scores == {"network": score()}
    assert found.lines == {}
    evaluation = compared(Evaluation(estimates(score())), found)
    assert (evaluation.baseline, evaluation.notes, evaluation.sections) == ({}, [], [])


def told(network: float, *, combine: bool) -> Evaluation:
    """The evaluation of a network of so many nats more than the n-gram model's."""
    with Recorded() as recorded:
        ngram = MODEL.predictions(TEXT, 1).nats
        nats = ngram + network + np.random.default_rng(2).normal(0, 0.2, 3000)
        for _ in recorded.through([Block([1], nats[:, None])]):
            pass
        methods = Methods(recorded, TEXT, MODEL, Mixture((0.5,) * 4))
        own = Score(float(nats.sum()), 3000, 3000, 0, 1)
        lines = KnownLines.of(TEXT[:100], ENDS)
        found = compare(own, methods, TEXT, lines, combine=combine)
    return compared(Evaluation(estimates(score())), found)


@pytest.mark.parametrize(
    ("network", "combine", "words"),
    [
        (-0.5, False, "The network beats the cheap method (nats per character: by 0.5"),
        (0.51, False, "The cheap method beats the network (nats per character: by 0.5"),
        (0.0, False, "On this text the network and the cheap method are not clearly different"),
        (-0.5, True, "Both together beat the cheap method (nats per character: by 0.2"),
        (2.0, True, "The cheap method beats both together (nats per character: by 0.5"),
    ],
)
def test_plain_words(network: float, combine: bool, words: str) -> None:
    notes = told(network, combine=combine).notes
    assert notes[0].startswith(words)
    assert "Cheap method: Kneser–Ney n-grams of up to 4 characters." in notes


def test_all_methods_stand_in_details_and_report() -> None:
    for combine in (False, True):
        evaluation = told(0.1, combine=combine)
        other = "network" if combine else "combined"
        assert set(evaluation.details) == {other, "lines"}
        assert evaluation.baseline["nats"].value == pytest.approx(MODEL.nats(TEXT)[1:].mean())
        known = evaluation.details["lines"]["known"]
        assert known["bits"] == pytest.approx(known["nats"] / math.log(2))
        used = "combined" if combine else "network"
        assert known["nats"] == known["nats by method"][used]
        names = {"network", "baseline", "combined"}
        assert set(evaluation.details["lines"]["new"]["nats by method"]) == names
        methods, kinds = evaluation.sections
        name = "network and cheap method" if combine else "both together (--combine)"
        assert name in methods.body
        assert "lines of the training text" in kinds.body
