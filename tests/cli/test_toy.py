"""Commands made from a task's dataclasses: every verb, its flags, its output, its mistakes."""

from __future__ import annotations

import csv
import io
import json
import os
import select
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from unrolled import cli, tasks
from unrolled.training import session

from .conftest import Fails
from .toy import HOMES, Options

LINES = "one two\n나는 학교에 간다\n\n"


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_HOMES", HOMES)


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    for name in ("count", "plain"):
        run = tmp_path / f"{name}-run"
        run.mkdir()
        (run / "options.toml").write_text(f'task = "{name}"\n')
    (tmp_path / "lines.txt").write_text(LINES, encoding="utf-8")


def summary(**more: Any) -> session.Summary:
    usual: dict[str, Any] = {
        "run": "runs/lines",
        "task": "count",
        "steps": 12,
        "epochs": 1,
        "training_seconds": 3.0,
        "validation_seconds": 1.0,
        "best_step": 9,
        "parameters": 5,
        "stopped_by": None,
        "metrics": {"f1": {"value": 0.81234, "low": 0.7, "high": 0.9}},
        "baseline": {"f1": {"value": 0.5, "low": None, "high": None}},
        "notes": ("Few lines.",),
    }
    return session.Summary(**(usual | more))


class Calls:
    """Calls of the session, in place of training."""

    def __init__(self) -> None:
        self.made: list[tuple[Any, ...]] = []
        self.result: session.Summary | None = summary()

    def train(self, task: Any, options: Any, out: Path, **how: bool) -> session.Summary | None:
        self.made.append((task.name, options, out, how))
        return self.result

    def resume(self, task: Any, path: Path, limits: Any, **how: bool) -> session.Summary | None:
        self.made.append((task.name, path, dict(limits), how))
        return self.result


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    made = Calls()
    monkeypatch.setattr(session, "train", made.train)
    monkeypatch.setattr(session, "resume", made.resume)
    return made


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command that succeeds prints."""
    capsys.readouterr()
    assert cli.run(words) == 0, capsys.readouterr().err
    return capsys.readouterr().out


# train, check ----------------------------------------------------------------------------------


def test_every_option_of_the_sections_is_a_flag(calls: Calls) -> None:
    words = "train count lines.txt --column 2 --size 9 --kind large --no-both --wait 3 --lr 0.5"
    assert cli.run([*words.split(), "--data", "b.txt", "c.txt", "--val-data", "d.txt"]) == 0
    ((task, options, out, how),) = calls.made
    assert task == "count"
    assert isinstance(options, Options)
    assert options.data.data == ("lines.txt", "b.txt", "c.txt")
    assert options.data.val_data == ("d.txt",)
    assert options.data.column == 2
    assert (options.model.size, options.model.kind, options.model.both) == (9, "large", False)
    assert (options.training.wait, options.training.lr) == (3, 0.5)
    assert options.training.max_epochs == 7  # the task's own default
    assert out == Path("runs/lines")
    assert how == {"overwrite": False, "quiet": False}


def test_help_has_the_documentation_of_each_field(capsys: pytest.CaptureFixture[str]) -> None:
    page = " ".join(said(capsys, "train", "count", "--help").replace("│", " ").split())
    assert "Count the words of lines." in page
    places = [page.index(f"─ {name} ─") for name in ("Run", "Data", "Model", "Training")]
    assert places == sorted(places)
    assert "Column of the words; counted from 1. [default: 1]" in page
    assert "Batches to wait." in page
    assert "Update rule." in page  # inherited, documented in the base
    assert "--both --no-both Read both ways. [default: True]" in page
    assert "--overwrite --no-overwrite" not in page


def test_a_training_ends_with_scores_and_what_to_do_next(
    calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    out = said(capsys, "train", "count", "lines.txt")
    assert "Best validation (step 9):\n  f1  0.8123 (0.7000 to 0.9000)  baseline 0.5000\n" in out
    assert "Few lines.\nTraining: 0.05 minutes, 12 updates; validation: 1.0 s\n" in out
    for verb in ("predict runs/lines FILE", "evaluate runs/lines --data FILE", "sing runs/lines"):
        assert f"\n  unrolled {verb}\n" in out
    assert json.loads(said(capsys, "train", "count", "lines.txt", "--json"))["metrics"] == {
        "f1": {"value": 0.81234, "low": 0.7, "high": 0.9}
    }
    calls.result = summary(stopped_by=2)
    assert cli.run(["train", "count", "lines.txt"]) == 130
    assert "unrolled train --resume runs/lines" in capsys.readouterr().out
    calls.result = None  # in another process than the first
    assert said(capsys, "train", "count", "lines.txt") == ""


def test_resume_finds_the_task_and_passes_only_what_was_given(calls: Calls) -> None:
    assert cli.run(["train", "--resume", "count-run", "--max-steps", "15", "--quiet"]) == 0
    assert cli.run(["train", "count", "--resume", "count-run", "--max-epochs", "7"]) == 0
    assert cli.run(["train", "plain", "--resume", "plain-run"]) == 0
    assert [(task, limits) for task, _, limits, _ in calls.made] == [
        ("count", {"max_steps": 15}),
        ("count", {"max_epochs": 7}),  # given, though it is the default
        ("plain", {}),
    ]


def test_a_file_of_options(calls: Calls, fails: Fails) -> None:
    Path("o.toml").write_text(
        'task = "count"\n[data]\ndata = ["lines.txt"]\n[model]\nsize = 3\nboth = false\n'
        "[training]\nlr = 0.25\n"
    )
    assert cli.run(["train", "count", "--config", "o.toml", "--size", "4"]) == 0
    options = calls.made[0][1]
    assert options.data.data == ("lines.txt",)
    assert (options.model.size, options.model.both, options.training.lr) == (4, False, 0.25)
    assert cli.run(["train", "count", "other.txt", "--config", "o.toml", "--both"]) == 0
    assert calls.made[1][1].data.data == ("other.txt",)
    assert calls.made[1][1].model.both is True
    Path("o.toml").write_text("[model]\nsize = 300\n")
    assert "o.toml [model]: size: expected a whole number from 1 to 100" in fails(
        "train", "count", "lines.txt", "--config", "o.toml"
    )


def test_check_prints_facts_and_warnings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "expected_seconds", lambda task, options: 90.0)
    out = said(capsys, "check", "count", "lines.txt", "--size", "4")
    assert out == (
        "lines: 3\nlengths:\n  shortest      1\n  longest   2,000\n"
        "minutes of training to be expected: 1.5000\nwarning: lines.txt:1: empty\n"
    )
    found = json.loads(said(capsys, "check", "count", "lines.txt", "--json"))
    assert found["facts"]["lines"] == 3
    assert found["warnings"] == ["lines.txt:1: empty"]
    assert found["task"] == "count"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("train cuont lines.txt", "train: expected a task (count, plain), got 'cuont'; did you"),
        ("train lines.txt", "train: expected a task (count, plain), got 'lines.txt'\n"),
        ("train", "train: expected a task (count, plain) or --resume RUN"),
        ("check", "check: expected a task (count, plain)"),
        ("check cuont", "did you mean count?"),
        ("train count", "no data given: name at least one file, as FILE or --data FILE"),
        ("train count lines.txt --size 101", "--size: expected a whole number from 1 to 100"),
        ("train count lines.txt --column 0", "--column: expected a whole number from 1 to 9"),
        ("train count lines.txt --kind huge", "--kind: expected one of small, large, got 'huge'"),
        ("train count lines.txt --sise 3", "--sise"),
        ("train count --resume count-run --size 3", "--size: cannot be changed with --resume"),
        ("train count x.txt --resume count-run", "FILE, --out or --overwrite: cannot be changed"),
        ("train plain --resume count-run", "count-run: expected a run of plain, got one of count"),
        ("train --resume nowhere", "nowhere: no such run"),
        ("train --resume count-run --max-time soon", "--max-time: expected a duration"),
        ("predict", "predict: expected the folder of a run first: unrolled predict RUN"),
        ("predict --least 3", "predict: expected the folder of a run first"),
        ("predict nowhere", "nowhere: no such run"),
        ("sing plain-run", "sing: plain-run is a run of the task plain, which has predict, eval"),
        ("sing count-run --times -1", "--times: expected a whole number from 0 to 99, got -1"),
        ("sing count-run --tims 1", "unknown option '--tims'; did you mean --times?"),
        ("sing count-run --format csv", "--format csv: the output is text and has no columns"),
        ("sing count-run --threads 300", "--threads: expected a whole number from 0 to 256"),
        ("dance count-run", "dance"),
        ("evaluate count-run", "--data: expected at least one file to measure on, got none"),
        ("predict count-run lines.txt --out no/where", "--out no/where: expected a file in an ex"),
        ("predict count-run lines.txt --out count-run", "count-run: expected a file, got a folder"),
        ("predict count-run lines.txt --out /dev/null", "/dev/null: expected a file, got a device"),
        ("predict count-run lines.txt --out lines.txt", "expected another file than those that"),
    ],
)
def test_mistakes_are_one_line(words: str, line: str, fails: Fails) -> None:
    assert line in fails(*words.split())


# Verbs -----------------------------------------------------------------------------------------


def test_predict_writes_a_line_of_json_for_each_item(capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "predict", "count-run", "lines.txt", "--least", "4")
    assert [json.loads(line) for line in out.splitlines()] == [
        {"text": "one two", "words": 0, "share": {"long": 0}, "order": [1, 2]},
        {"text": "나는 학교에 간다", "words": 0, "share": {"long": 0}, "order": [1, 2]},
        {"text": "", "words": 0, "share": {"long": None}, "order": [1, 2]},
    ]
    assert "나는" in out  # not as escapes
    first = said(capsys, "predict", "--least", "4", "count-run", "lines.txt")
    assert first == out == said(capsys, "predict", "lines.txt", "--least=4", "--run", "count-run")


def test_predict_reads_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in (["predict", "count-run"], ["predict", "count-run", "-"]):
        monkeypatch.setattr(sys, "stdin", io.StringIO("a b c\n"))
        assert json.loads(said(capsys, *words))["words"] == 3


def test_a_flag_of_the_task_comes_before_the_usual_one(capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "predict", "count-run", "lines.txt", "--format", "upper")
    assert json.loads(out.splitlines()[0])["text"] == "ONE TWO"


def test_records_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "sing", "count-run", "--table", "--format", "csv")
    assert list(csv.reader(io.StringIO(out))) == [["verse"], ["0"], ["1"]]


def test_a_file_takes_its_name_when_all_is_written(fails: Fails) -> None:
    assert cli.run(["predict", "count-run", "lines.txt", "--out", "out.jsonl"]) == 0
    whole = Path("out.jsonl").read_bytes()
    assert len(whole.decode().splitlines()) == 3
    Path("bad.txt").write_text("good\nbroken\n")
    assert "line 2: broken" in fails("predict", "count-run", "bad.txt", "--out", "out.jsonl")
    assert Path("out.jsonl").read_bytes() == whole
    assert "line 2: broken" in fails("predict", "count-run", "bad.txt", "--out", "new.jsonl")
    assert not [*Path().glob("*new.jsonl*"), *Path().glob(".out*")]


def test_items_are_written_as_soon_as_they_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input and output are pipes; the second line comes after the first one's result."""
    (into, enter), (leave, out) = os.pipe(), os.pipe()
    found: list[bytes] = []

    def other_side() -> None:
        with os.fdopen(enter, "wb", 0) as lines, os.fdopen(leave, "rb", 0) as results:
            for line in (b"a b\n", b"c\n"):
                lines.write(line)
                ready, _, _ = select.select([results], [], [], 60)  # the input is still open
                found.append(results.read(1000) if ready else b"")

    with (
        os.fdopen(into, encoding="utf-8") as stdin,
        os.fdopen(out, "w", encoding="utf-8") as stdout,
        ThreadPoolExecutor(1) as pool,
    ):
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(sys, "stdout", stdout)
        done = pool.submit(other_side)
        assert cli.run(["predict", "count-run"]) == 0
        done.result()
    assert [json.loads(line)["words"] for line in found] == [2, 1]


def test_evaluate(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(said(capsys, "evaluate", "count-run", "--data", "lines.txt", "--json"))
    assert list(found) == ["task", "metrics", "baseline", "lines", "classes"]
    assert found["task"] == "count"
    assert found["metrics"] == {
        "accuracy": {"value": 0.75, "low": 0.5, "high": 1.0},
        "loss": {"value": 5.0, "low": None, "high": None},
    }
    assert found["baseline"]["accuracy"]["value"] == 0.5
    assert said(capsys, "evaluate", "count-run", "lines.txt", "--strict").splitlines() == [
        "accuracy  0.7500 (0.5000 to 1.0000)  baseline 0.5000",
        "loss      10.0000",
        "lines: 3",
        "classes:",
        "            f1  count",
        "  좋음  0.5000  1,200",
        "  bad   1.0000      3",
        "A line is one item.",
    ]


def test_text_is_written_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "sing", "count-run", "--times", "3") == "라 라 라 "


def test_help_of_a_verb_with_a_run_and_without(capsys: pytest.CaptureFixture[str]) -> None:
    page = said(capsys, "predict", "count-run", "--help")
    assert "Count the words of each line." in page
    assert "Shortest word that is counted." in page
    page = said(capsys, "predict", "--help")
    assert "--out" in page
    assert "Shortest" not in page
    lines = [line.strip() for line in page.splitlines()]
    assert "count: --least --format" in lines
    assert "plain: --least --format" in lines
    page = said(capsys, "--help")
    for name in ("train", "check", "predict", "evaluate", "sing", "bench", "lens"):
        assert f"│ {name} " in page


def test_commands_hold_no_word_of_any_task() -> None:
    """A task is added without a change here."""
    for path in Path(cli.__file__).parent.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        for module in ("tasks.text", "tasks.classify", "tasks.tag", "generate"):
            assert module not in text, f"{path.name} knows {module}"
