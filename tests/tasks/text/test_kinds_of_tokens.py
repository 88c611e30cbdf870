"""Runs of words and subwords: trained, scored, written with, looked at."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from unrolled.errors import UserError
from unrolled.page.subject import TextSubject
from unrolled.tasks import load, resume, train
from unrolled.tasks.tag.language_model import LanguageModel
from unrolled.tasks.text.inspection import inspect
from unrolled.tasks.text.options import DataOptions, TextOptions
from unrolled.tasks.text.predictor import TextPredictor, evaluation
from unrolled.training.run_folder.folder import RunFolder

pytest.importorskip("tokenizers")

SMALL: dict[str, Any] = {
    "hidden_size": 12,
    "embedding_size": 6,
    "seq_len": 8,
    "batch_size": 4,
    "max_steps": 40,
    "sample_length": 20,
    "threads": 1,
    "lr": 1e-2,
    "val_fraction": 0.2,
    "test_fraction": 0.1,
}
SIZES = {"words": 14, "subwords": 280}


@pytest.fixture(scope="module", params=["words", "subwords"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TextPredictor:
    folder = tmp_path_factory.mktemp(request.param)
    lines = [
        "the cell remembers what came before",
        "나는 학교에 간다 🙂",
        "the gate forgets, the cell",
    ]
    (folder / "text.txt").write_text("".join(lines[i % 3] + ".\n" for i in range(120)))
    kind = {"tokens": request.param, "vocabulary_size": SIZES[request.param]}
    found: TextPredictor = train(
        "text", folder / "text.txt", out=folder / "run", quiet=True, **SMALL, **kind
    )
    return found


def rows_of(run: TextPredictor) -> list[dict[str, str]]:
    with run.folder.log.open() as file:
        return list(csv.DictReader(file))


def test_loss_is_per_token_and_the_first_metric_per_character(run: TextPredictor) -> None:
    unit = run.vocabulary.unit
    rows = [row for row in rows_of(run) if row["val_nats"]]
    assert rows
    ratio = {float(row["val_nats"]) / float(row[f"val_nats_per_{unit}"]) for row in rows}
    assert max(ratio) == pytest.approx(min(ratio), rel=1e-4)
    assert 0.1 < max(ratio) < 0.8  # tokens are longer than characters
    assert any(row[f"train_nats_per_{unit}"] for row in rows_of(run))
    assert f"nats per {unit}" in run.folder.report.read_text(encoding="utf-8")


def test_the_end_of_a_run_tells_all_parts_and_measures_the_test_part(run: TextPredictor) -> None:
    summary = json.loads(run.folder.summary.read_text())
    assert summary["part"] == "test"
    assert list(summary["metrics"]) == ["test_nats", "test_bits", "test_perplexity"]
    assert summary["notes"][0].startswith("nats per character: training ")
    again = run.evaluate()
    assert again.nats == pytest.approx(summary["metrics"]["test_nats"]["value"], rel=1e-6)
    adapted = run.evaluate(dynamic=1e-3, cache=20)
    assert (adapted.tokens, adapted.characters) == (again.tokens, again.characters)
    assert adapted.nats != again.nats


def test_nats_are_per_character_whatever_the_tokens(run: TextPredictor, tmp_path: Path) -> None:
    text = "the cell remembers what came before.\nthe cell\n"
    (tmp_path / "new.txt").write_text(text)
    found = run.evaluate(tmp_path / "new.txt")
    tokens = run.vocabulary.encode(text)
    assert found.tokens == len(tokens) - 1
    assert found.characters == len(text) - len(run.vocabulary.decode(int(tokens[0])))
    assert found.nats * found.characters == pytest.approx(found.nats_per_token * found.tokens)
    assert found.perplexity == pytest.approx(math.exp(found.total / found.tokens))


def test_unknown_words_are_counted_and_told(run: TextPredictor, tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("the Ω cell Ψ.\n")
    found = run.evaluate(tmp_path / "new.txt")
    notes = " ".join(evaluation(found, run.vocabulary).notes)
    if run.vocabulary.unknown is None:
        assert found.unknown == 0
        assert "cannot be compared" not in notes
    else:
        assert found.unknown == 2
        assert "2 words (33.3%) are not in the vocabulary" in notes
        assert "cannot be compared" in notes


def test_it_writes_text_of_whole_tokens(run: TextPredictor) -> None:
    text = run.generate("the cell", length=60, seed=3)
    assert "".join(run.stream("the cell", length=60, seed=3)) == text
    assert 60 <= len(text) < 90
    assert run.generate(length=0) == ""
    assert run.vocabulary.unknown is None or "\ufffd" not in text
    results = list(run.predict(["the cell", "the gate"]))
    assert [one["prompt"] for one in results] == ["the cell", "the gate"]


def test_prompts_of_what_is_not_known(run: TextPredictor) -> None:
    if run.vocabulary.unknown is None:
        assert run.generate("Ω", length=3)
        with pytest.raises(UserError, match=r"never seen '\\udcff' \(U\+DCFF\)"):
            run.generate("a\udcff")
        return
    with pytest.raises(UserError, match="never seen ' Ωmega'; it knows 13 words"):
        run.generate("the Ωmega")
    # Known only with a blank before it.
    assert run.vocabulary.unknown_in("cell")
    assert run.generate("cell", length=3)


def test_a_run_goes_on_without_the_text(run: TextPredictor, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(run.folder.path, tmp_path / "copy"))
    resume(copy, max_steps=44, quiet=True)
    assert load(copy).evaluate().tokens == run.evaluate().tokens


def test_another_run_takes_the_tokenizer(run: TextPredictor, tmp_path: Path) -> None:
    file = run.folder.path / "tokenizer.json"
    if not file.exists():
        return
    text = tmp_path / "other.txt"
    text.write_text("Other words, and other characters: Ω.\n" * 30)
    settings = SMALL | {"max_steps": 1, "tokens": "subwords", "tokenizer": str(file)}
    other = train("text", text, out=tmp_path / "other", quiet=True, **settings)
    assert (
        other.vocabulary.encode("the cell").tolist() == run.vocabulary.encode("the cell").tolist()
    )


def test_an_adaptive_softmax_takes_tokens_in_order_of_frequency(
    run: TextPredictor, tmp_path: Path
) -> None:
    settings = SMALL | {"max_steps": 4, "hidden_size": 16, "adaptive_softmax": True}
    kind: dict[str, Any] = {"tokens": run.options.data.tokens, "vocabulary_size": 300}
    text = run.folder.path.parent / "text.txt"
    other = train("text", text, out=tmp_path / "run", quiet=True, **settings, **kind)
    assert other.evaluate().nats > 0
    assert len(other.generate("the cell", length=5)) >= 5


def test_what_shows_characters_refuses_other_tokens(run: TextPredictor) -> None:
    unit = run.vocabulary.unit
    with pytest.raises(UserError, match=f"the page shows models of characters, this .* {unit}s"):
        TextSubject(RunFolder(run.folder.path), "run")
    with pytest.raises(UserError, match=f"expected a model of characters, got one of {unit}s"):
        LanguageModel(run.folder.path, spaces=True)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b"{" * 100_000])
def test_a_damaged_vocabulary_is_one_line(
    run: TextPredictor, tmp_path: Path, content: bytes
) -> None:
    import shutil

    copy = Path(shutil.copytree(run.folder.path, tmp_path / "copy"))
    file = copy / run.vocabulary.file
    file.write_bytes(content)
    with pytest.raises(UserError, match=file.name):
        load(copy)
    file.unlink()
    with pytest.raises(UserError, match=f"{file.name}: no such file"):
        load(copy)


def test_check_tells_about_the_tokens(run: TextPredictor) -> None:
    found = inspect(run.options)
    unit = run.vocabulary.unit
    assert found.facts[f"different {unit}s"] == (13 if unit == "word" else len(run.vocabulary))
    assert 0.1 < found.facts[f"{unit}s per character"] < 0.8
    assert "' cell'" in found.facts[f"most frequent {unit}s"]
    assert found.facts["characters kept to test on"] > 0
    if unit == "word":
        assert "of the test part" in " ".join(found.facts)
        assert any("--vocabulary-size 14 leaves fewer" in one for one in found.warnings)
    batches = replace(run.options.training, batch_size=4000)
    found = inspect(replace(run.options, training=batches))
    assert any(f"needs 32001 {unit}s to train on" in one for one in found.warnings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vocabulary_size": 100}, "--vocabulary-size: for --tokens words or subwords"),
        ({"tokens": "subwords", "vocabulary_size": 200}, "expected at least 256 subwords"),
        ({"tokens": "words", "vocabulary_size": 1}, "expected a whole number from 2"),
        ({"tokens": "words", "tokenizer": "t.json"}, "--tokenizer: for --tokens subwords"),
        ({"tokens": "subwords", "split": "blanks"}, "--split: for --tokens words"),
        (
            {"tokens": "subwords", "vocabulary_size": 300, "tokenizer": "t.json"},
            "the file of --tokenizer has a size of its own",
        ),
        ({"test_fraction": 0.5, "val_fraction": 0.5}, "nothing is left to train on"),
        ({"test_fraction": 0.5, "test_data": ("t.txt",)}, "both name a test part"),
        ({"test_fraction": 1.0}, "--test-fraction: expected a number from 0 to below 1"),
        ({"tokens": "bytes"}, "--tokens: expected one of characters, words, subwords"),
    ],
)
def test_options_that_do_not_go_together(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DataOptions(**settings)
    assert TextOptions().data.tokens == "characters"


def test_parts_that_are_too_short(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the cell " * 30)
    for settings, message in (
        ({"tokens": "words"}, "needs 321 words to train on, got"),
        (
            {"test_fraction": 0.005, "batch_size": 1, "seq_len": 2},
            "a test needs 2 characters, got 1",
        ),
    ):
        with pytest.raises(UserError, match=message):
            train("text", text, out=tmp_path / "run", quiet=True, **({"seq_len": 10} | settings))
    assert not (tmp_path / "run").exists()
