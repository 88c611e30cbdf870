"""Training, what is kept of it, and the command as a whole."""

import dataclasses
import json
import math
import os
import signal
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from torch import Generator, Tensor

from unrolled import cli
from unrolled.errors import UserError
from unrolled.page import launch
from unrolled.tasks.lag import picture, run
from unrolled.tasks.lag.options import LagOptions
from unrolled.tasks.lag.problems import Adding
from unrolled.tasks.lag.results import Results, load, save
from unrolled.tasks.lag.training import SOLVED, Job, Outcome, ramped, train
from unrolled.tasks.lag.words import findings, lag_of, share
from unrolled.training.updates import Updates

TINY: dict[str, Any] = {
    "tasks": ("copy", "adding"),
    "cells": ("rnn", "gru+chrono"),
    "lags": (3, 6),
    "hidden": 6,
    "updates": 4,
    "batch": 3,
}
FLAGS = "--tasks copy,adding --cells rnn,gru+chrono --lags 3,6 --hidden 6 --updates 4 --batch 3"


def sketch(results: Results, folder: Path) -> None:
    """In place of the pictures, which take longer than the training; test_the_command has them."""
    (folder / "lag.svg").write_text("<svg/>")


@pytest.fixture
def sketched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "write_pictures", sketch)


def outcome(task: str = "copy", cell: str = "rnn", lag: int = 3, **changed: Any) -> Outcome:
    values: dict[str, Any] = {
        "success": 0.5,
        "loss": 1.0,
        "updates": 4,
        "ended": "updates",
        "seconds": 0.1,
        "left_before": 3e-7,
        "left_after": 0.25,
        "half_before": 2.0,
        "half_after": math.inf,
        "clipped": 0.25,
    }
    return Outcome(task, cell, lag, **(values | changed))


def job(task: str = "adding", cell: str = "gru", lag: int = 4, **options: Any) -> Job:
    return Job(task, cell, lag, LagOptions(**(TINY | {"cells": (cell,)} | options)))


def test_training_stops_when_the_problem_is_solved() -> None:
    found = train(job(hidden=24, batch=64, updates=3000, lr=0.02))
    assert found.ended == "solved"
    assert 20 <= found.updates < 3000
    assert found.success > SOLVED - 0.05
    assert found.loss < TOLERATED


TOLERATED = 0.01  # squared error of sums, a sixth without memory


def test_a_loss_may_be_asked_for_instead_of_right_answers() -> None:
    """A sum that is within the tolerance may still be far from the right one."""
    fine: dict[str, Any] = {"hidden": 24, "batch": 64, "updates": 3000, "lr": 0.02}
    found = train(job(**fine, stop_loss=5e-4, schedule="linear"))
    assert found.ended == "solved"
    assert found.updates > train(job(**fine)).updates
    assert found.loss < 1e-3
    never = train(job(**(fine | {"updates": 300}), stop_loss=0.0))
    assert (never.ended, never.updates) == ("updates", 300)


def test_the_learning_rate_follows_its_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    monkeypatch.setattr(Updates, "set_rate", lambda loop, rate: rates.append(rate))
    train(job(updates=4, lr=0.4, schedule="linear"))
    assert rates == pytest.approx([0.4, 0.3, 0.2, 0.1])
    rates.clear()
    train(job(updates=4, lr=0.4, schedule="cosine"))
    assert rates == pytest.approx([0.2 * (1 + math.cos(math.pi * k / 4)) for k in range(4)])
    rates.clear()
    train(job(updates=2, lr=0.4))
    assert rates == [0.4, 0.4]


def test_the_lag_is_ramped_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [ramped(1000, progress, 0.5) for progress in (0, 0.25, 0.5, 1)] == [10, 100, 1000, 1000]
    assert [ramped(lag, 0.1, 0.2) for lag in (5, 10, 40)] == [5, 10, 20]
    assert ramped(1000, 0, 0.0) == 1000
    lags: list[int] = []
    draw = Adding.draw

    def noted(self: Adding, lag: int, rows: int, generator: Generator) -> tuple[Tensor, Tensor]:
        lags.append(lag)
        return draw(self, lag, rows, generator)

    monkeypatch.setattr(Adding, "draw", noted)
    train(job(updates=4, lag=40, lags=(40,), ramp=0.5))
    assert set(lags[:1] + lags[5:]) == {40}  # of both decays and the test
    assert lags[1:5] == [10, 20, 40, 40]


def test_every_step_of_copy_memory_counts_for_the_loss() -> None:
    """Most of them are "nothing", which is learned first: chance is 2 · ln 8 / 40."""
    found = train(job("copy", lag=36, word=2, every_step=True, updates=150, lags=(36,), lr=0.02))
    assert found.loss == pytest.approx(2 * math.log(8) / 40, rel=0.2)
    assert found.success == pytest.approx(1 / 8, abs=0.05)


def test_the_same_job_gives_the_same_numbers() -> None:
    first, again = (dataclasses.replace(train(job()), seconds=0) for _ in range(2))
    assert first == again
    other = train(job(seed=1))
    assert other.success != first.success or other.loss != first.loss


def test_clipping() -> None:
    assert train(job(clip=1e-9)).clipped == 1
    assert train(job(clip=0.0)).clipped == 0
    assert train(job(clip=1e-9)).loss != train(job(clip=0.0)).loss


def test_without_updates_nothing_changes() -> None:
    found = train(job(updates=0))
    assert found.updates == 0
    assert found.left_before == pytest.approx(found.left_after, rel=0.5)  # of other sequences


def test_numbers_that_run_away_end_the_training() -> None:
    found = train(job(cell="rnn+identity+relu", lag=60, lr=1e6, clip=0.0, updates=50, lags=(60,)))
    assert found.ended == "diverged"
    assert found.success <= 1


def test_stopping() -> None:
    found = train(job(updates=1000), stop=lambda: True)
    assert (found.ended, found.updates) == ("stopped", 0)


def test_results_come_back(tmp_path: Path) -> None:
    options = LagOptions(**TINY)
    results = Results(options, (outcome(), outcome(lag=6, left_before=math.nan)), 2.5)
    save(results, tmp_path)
    json.loads((tmp_path / "results.json").read_text(), parse_constant=pytest.fail)
    back = load(tmp_path, options)
    assert repr(back) == repr(results)  # NaN is not equal to itself


def test_what_is_missing() -> None:
    options = LagOptions(**TINY)
    results = Results(options).with_outcome(outcome()).with_outcome(outcome(lag=6, ended="stopped"))
    missing = [(j.task, j.cell, j.lag) for j in results.missing()]
    assert len(missing) == 7
    assert ("copy", "rnn", 3) not in missing
    assert [lag for *_, lag in missing] == sorted((lag for *_, lag in missing), reverse=True)
    results = results.with_outcome(outcome(lag=6))
    assert len(results.missing()) == 6
    assert len(results.outcomes) == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"settings": 1}',
        '{"settings": 1, "outcomes": [], "seconds": 1}',
        '{"settings": {}, "outcomes": [], "seconds": Infinity}',
        '{"outcomes": [{}]}',
        "[" * 100_000,
        "9" * 100_000,
        "\udcff",
    ],
)
def test_a_file_that_is_something_else(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=r"results.json: (corrupt|not results of this command)"):
        load(tmp_path, LagOptions(**TINY))


def test_results_of_other_settings_are_not_mixed(tmp_path: Path) -> None:
    save(Results(LagOptions(**TINY), (outcome(),)), tmp_path)
    with pytest.raises(UserError, match="trained with hidden 6, now it is 7; choose another --out"):
        load(tmp_path, LagOptions(**(TINY | {"hidden": 7})))
    more = load(tmp_path, LagOptions(**(TINY | {"lags": (3, 9), "cells": ("rnn", "lstm")})))
    assert len(more.outcomes) == 1


def test_results_from_before_an_option_was_there_go_on(tmp_path: Path) -> None:
    save(Results(LagOptions(**TINY), (outcome(),)), tmp_path)
    path = tmp_path / "results.json"
    old = json.loads(path.read_text())
    for name in ("word", "every_step", "ramp", "schedule", "stop_loss"):
        del old["settings"][name]
    path.write_text(json.dumps(old))
    assert len(load(tmp_path, LagOptions(**TINY)).outcomes) == 1
    with pytest.raises(UserError, match="trained with word 3, now it is 4"):
        load(tmp_path, LagOptions(**(TINY | {"word": 4})))


def lag(out: Path, *more: str) -> int:
    given = [*FLAGS.split(), "--processes", "1"]
    for name, value in zip(given[::2], given[1::2], strict=True):
        if name not in more:
            more = (*more, name, value)
    return cli.run(["lens", "lag", "--out", str(out), *more])


def test_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert lag(out) == 0
    printed = capsys.readouterr()
    assert "[8/8]" in printed.err
    assert "report.html" in printed.out
    assert (out / "lag.png").read_bytes().startswith(b"\x89PNG")
    ET.parse(out / "lag.svg")
    page = (out / "report.html").read_text()
    assert "src=" not in page
    assert "<link" not in page
    for words in ("Copy memory", "gru+chrono", "by chance 12.5%", "What it says"):
        assert words in page
    # again: nothing is left to do; and one lag more is added
    drawn = (out / "lag.png").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(run, "write_pictures", sketch)
        assert lag(out) == 0
    assert "[" not in capsys.readouterr().err
    assert lag(out, "--lags", "3,6,8") == 0
    assert "[12/12]" in (err := capsys.readouterr().err)
    assert err.count("lag 8") == 4 == err.count("[")
    assert (out / "lag.png").read_bytes() != drawn
    assert lag(out, "--no-clip") == 2
    assert "trained with clip 1.0, now it is 0" in capsys.readouterr().err
    monkeypatch.setattr(run, "write_pictures", sketch)
    assert lag(out, "--no-clip", "--overwrite", "--quiet") == 0
    assert json.loads((out / "results.json").read_text())["settings"]["clip"] == 0
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("sketched")
def test_ctrl_c_loses_nothing(tmp_path: Path) -> None:
    options = LagOptions(**TINY)

    def interrupt(outcome: Outcome, done: int, total: int) -> None:
        if done == 3:
            os.kill(os.getpid(), signal.SIGINT)

    results, number = run.run(options, tmp_path, processes=1, progress=interrupt)
    assert number == signal.SIGINT
    assert len(results.outcomes) == len(load(tmp_path, options).outcomes) == 3
    assert (tmp_path / "report.html").exists()
    done: list[Outcome] = []
    run.run(options, tmp_path, processes=1, progress=lambda outcome, *_: done.append(outcome))
    assert len(done) == 5


@pytest.mark.usefixtures("sketched")
def test_one_process_at_a_time(tmp_path: Path) -> None:
    options = LagOptions(**TINY)
    refused: list[str] = []

    def again(outcome: Outcome, done: int, total: int) -> None:
        for overwrite in (False, True):
            with pytest.raises(UserError, match=f"held by process {os.getpid()} on") as caught:
                run.run(options, tmp_path, overwrite=overwrite, processes=1)
            refused.append(str(caught.value))

    (tmp_path / ".results.json.abc.tmp").touch()  # of one that was killed
    results, _ = run.run(options, tmp_path, processes=1, progress=again)
    assert len(results.missing()) == 0
    assert len(refused) == 2 * len(results.outcomes)
    assert not (tmp_path / ".results.json.abc.tmp").exists()


@pytest.mark.usefixtures("sketched")
def test_the_clock_stops_it(tmp_path: Path) -> None:
    options = LagOptions(**(TINY | {"updates": 10**6, "minutes": 0.01}))
    results, number = run.run(options, tmp_path, processes=1)
    assert number is None
    assert results.outcomes[-1].ended == "stopped"
    assert len(results.missing()) > 0


@pytest.mark.usefixtures("sketched")
def test_processes_side_by_side_give_the_same(tmp_path: Path) -> None:
    options = LagOptions(**(TINY | {"tasks": ("copy",)}))
    alone, _ = run.run(options, tmp_path / "one", processes=1)
    beside, _ = run.run(options, tmp_path / "two", processes=2)
    for cell in options.cells:
        for one, two in zip(alone.line("copy", cell), beside.line("copy", cell), strict=True):
            assert dataclasses.replace(one, seconds=0) == dataclasses.replace(two, seconds=0)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--cells", "foo"], "--cells: expected some of"),
        (["--cells", "qrnn+orthogonal"], "--cells: qrnn+orthogonal: "),
        (["--processes", "0"], "--processes: expected a whole number from 1 to 256, got 0"),
        (["--clip", "nan"], "--clip: expected a number from 0 to 1e+38, got nan"),
        (["--hidden", "many"], "hidden"),
    ],
)
def test_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    out = tmp_path / "out"
    assert lag(out, *arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("unrolled: ")
    assert err.count("\n") == 1
    assert line in err
    assert not out.exists()


def test_a_run_called_lag_is_opened_by_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    monkeypatch.setattr(launch, "launch", lambda runs, **_: opened.extend(runs))
    assert cli.run(["lens", "./lag"]) == 0
    assert opened == [Path("lag")]


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(picture, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs matplotlib: pip install 'unrolled\[lens\]'"):
        run.run(LagOptions(**TINY), tmp_path)


def test_the_words() -> None:
    options = LagOptions(**(TINY | {"lags": (3, 6, 9, 12)}))
    outcomes = [
        outcome(lag=lag, success=success)
        for lag, success in ((3, 0.99), (6, 0.95), (9, 0.5), (12, 0.13))
    ]
    (sentence,) = findings(Results(options, tuple(outcomes)), "copy")
    assert sentence == (
        "rnn bridges 3 and 6 steps, is part of the way (50% at 9), does no better than chance at "
        "12 steps; at lag 12, 3e-05 % of its influence arrives before training and 25 % after it."
    )


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (math.nan, "nothing"),
        (0.0, "nothing"),
        (2e-30, "10^-30"),
        (3.1e-7, "3.1e-05 %"),
        (0.0123, "1.2 %"),
        (0.5, "50 %"),
        (1.24, "124 %"),
        (350.0, "350 times"),
        (8.7e24, "10^24 times"),
        (math.inf, "∞ times"),
    ],
)
def test_shares_as_words(left: float, words: str) -> None:
    assert share(left) == words


@pytest.mark.parametrize(
    ("half", "words"), [(math.inf, "none"), (math.nan, "–"), (3.0, "3"), (1234.0, "1,234")]
)
def test_lags_as_words(half: float, words: str) -> None:
    assert lag_of(half) == words


def test_results_of_an_earlier_version_are_refused_in_a_line(tmp_path: Path) -> None:
    """Their half-lives were those of a fit."""
    options = LagOptions(**TINY)
    save(Results(options, (outcome(),)), tmp_path)
    path = tmp_path / "results.json"
    old = json.loads(path.read_text()) | {"format": 1}
    for one in old["outcomes"]:
        for name in ("left_before", "left_after", "half_before", "half_after"):
            one[name.removeprefix("left_").replace("half", "fit")] = one.pop(name)
    path.write_text(json.dumps(old))
    with pytest.raises(UserError, match=r"expected results of format 2, got 1, .* or --overwrite$"):
        load(tmp_path, options)
