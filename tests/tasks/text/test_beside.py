"""The n-gram model beside a run's network, from training to evaluation."""

import json
from pathlib import Path
from typing import Any

import pytest

from unrolled.errors import UserError
from unrolled.tasks import load, resume, train
from unrolled.tasks.text.options import ScoringOptions
from unrolled.tasks.text.predictor import evaluate

from .small import SMALL as BASE

SMALL = BASE | {"sample_length": 0, "max_steps": 30, "quiet": True}


@pytest.fixture
def parts(prose: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A text to train on and one to validate on, whose lines are partly the same."""
    lines = prose.read_text(encoding="utf-8").splitlines(keepends=True)
    train_part, validation = tmp_path / "train.txt", tmp_path / "validation.txt"
    train_part.write_text("".join(lines[:150]), encoding="utf-8")
    validation.write_text("".join([*lines[150:], *lines[:10]]), encoding="utf-8")
    return train_part, validation


def summary(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    return found


def test_both_together_are_what_is_measured(parts: tuple[Path, Path], tmp_path: Path) -> None:
    text, other = parts
    out = tmp_path / "run"
    run = train("text", data=[text], val_data=[other], out=out, combine=True, **SMALL)
    found = evaluate(run, [str(other)], ScoringOptions())
    both, ngram = found.metrics["nats"].value, found.baseline["nats"].value
    network = found.details["network"]["nats"]["value"]
    assert both < min(network, ngram) + 1e-4
    # What the training said at its end, the same to the last bit.
    assert summary(out)["metrics"]["nats"]["value"] == both
    assert summary(out)["baseline"]["nats"]["value"] == ngram
    assert load(out).evaluate(other).nats == both
    assert found.details["lines"]["known"]["characters"] > 300
    assert found.details["lines"]["known"]["nats"] == pytest.approx(
        found.details["lines"]["known"]["nats by method"]["combined"]
    )
    assert any("word for word" in note for note in found.notes)
    assert "network and cheap method" in (out / "report.html").read_text(encoding="utf-8")
    nats = run.nats(other)
    assert nats["combined"].mean() == pytest.approx(both)
    assert nats["network"].mean() == pytest.approx(network)


def test_the_network_is_the_same_with_and_without(parts: tuple[Path, Path], tmp_path: Path) -> None:
    """To the last bit: the cheap method only stands beside it."""
    text, other = parts
    scores = []
    for name, settings in (("a", {}), ("b", {"baseline": False}), ("c", {"order": 2})):
        out = tmp_path / name
        run = train("text", data=[text], val_data=[other], out=out, **settings, **SMALL)
        assert (out / "baseline.npz").exists() == (name != "b")
        scores.append(run.evaluate(other))
        assert summary(out)["metrics"]["nats"]["value"] == scores[-1].nats
    assert scores[0] == scores[1] == scores[2]
    assert load(tmp_path / "c").compare(other).order == 2
    found = evaluate(load(tmp_path / "a"), [str(other)], ScoringOptions(baseline=False))
    assert found.baseline == {}
    assert "combined" in evaluate(load(tmp_path / "a"), [str(other)], ScoringOptions()).details


def test_runs_of_before_have_the_network_alone(parts: tuple[Path, Path], tmp_path: Path) -> None:
    text, other = parts
    out = tmp_path / "run"
    run = train("text", data=[text], val_data=[other], out=out, **SMALL)
    expected = run.evaluate(other)
    for name in ("baseline.npz", "mixture.json", "lines.npy"):
        (out / name).unlink()
    options = out / "options.toml"
    kept = [
        line
        for line in options.read_text(encoding="utf-8").splitlines()
        if not line.startswith(("baseline", "combine", "order"))
    ]
    options.write_text("\n".join(kept) + "\n", encoding="utf-8")
    found = evaluate(load(out), [str(other)], ScoringOptions())
    assert found.metrics["nats"].value == expected.nats
    assert found.baseline == {}
    assert "lines" not in found.details
    resume(out, max_steps=32, quiet=True)
    assert summary(out)["baseline"] == {}


def test_both_together_need_the_cheap_method(parts: tuple[Path, Path], tmp_path: Path) -> None:
    text, other = parts
    with pytest.raises(UserError, match="--combine: needs the cheap method"):
        train("text", text, out=tmp_path / "r", combine=True, baseline=False)
    with pytest.raises(UserError, match="--order: of the cheap method"):
        train("text", text, out=tmp_path / "r", order=3, baseline=False)
    with pytest.raises(UserError, match="order: expected a whole number from 1 to 12"):
        train("text", text, out=tmp_path / "r", order=13)
    with pytest.raises(UserError, match=r"--combine: .* on a validation text, but there is none"):
        train("text", text, out=tmp_path / "r", val_fraction=0.0, combine=True, **SMALL)
    assert not (tmp_path / "r").exists()
    out = tmp_path / "run"
    run = train("text", data=[text], val_data=[other], out=out, combine=True, **SMALL)
    (out / "mixture.json").unlink()
    found = evaluate(run, [str(other)], ScoringOptions())
    assert any("network alone" in note for note in found.notes)
    (out / "baseline.npz").unlink()
    with pytest.raises(UserError, match=r"baseline\.npz: no such file; --combine needs it"):
        run.evaluate(other)


def test_words_and_a_test_part_have_a_cheap_method_too(prose: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    settings = SMALL | {"tokens": "words", "test_fraction": 0.2, "combine": True, "seq_len": 8}
    run = train("text", prose, out=out, **settings)
    found = evaluate(run, [], ScoringOptions())
    told = summary(out)
    assert told["part"] == "test"
    assert told["metrics"]["test_nats"]["value"] == found.metrics["nats"].value
    assert told["baseline"]["test_nats"]["value"] == found.baseline["nats"].value
    assert told["notes"][0].startswith("nats per character of the network alone: training ")
    assert not any("chosen on this text" in note for note in told["notes"])
    assert any("n-grams of up to 3 words" in note for note in found.notes)
    nats = run.nats()
    assert nats["combined"].sum() / found.details["characters"] == pytest.approx(
        found.metrics["nats"].value
    )
    assert found.details["lines"]["new"]["words"] + found.details["lines"]["known"]["words"] == len(
        nats["combined"]
    )
