import math
import re
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from unrolled.training.report.charts import Line, line_chart, number
from unrolled.training.report.report import write_report
from unrolled.training.run_folder.folder import RunFolder
from unrolled.training.run_folder.logs import CsvLog, read_log
from unrolled.training.task import Estimate, Evaluation, Metric, Section


class Page(HTMLParser):
    """Collects what a browser would run or fetch, and checks that elements close."""

    void = ("meta", "br", "line", "polyline", "circle")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.fetched: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.fetched += [f"{k}={v}" for k, v in attrs if k in ("src", "href", "xlink:href")]
        assert not any(k.startswith("on") for k, _ in attrs)
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.void:
            assert self.open.pop() == tag


EVIL = "<script>alert('x')</script> & \"quoted\" 한글"


NATS = Metric("nats", "nats per character", "lower")
SHARE = Metric("right_words", "", "higher")


def opened(*metrics: Metric, window: int | None = 64) -> Any:
    """What a report asks of a run that is open."""
    batches = SimpleNamespace(window=window)
    return SimpleNamespace(objective=NATS, metrics=metrics, item="character", batches=batches)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run <b>&")
    folder.path.mkdir()
    log = CsvLog(folder.log, ("step", "epoch", "seconds", "train_nats", "val_nats"), 0)
    for step in range(1, 40):
        row = {"step": step, "epoch": 0, "seconds": step, "train_nats": 3 / step, "lr": 1e-3}
        row |= {"grad_norm": 1, "grad_norm_max": 2, "clipped": 0.5, "per_second": 1e5}
        log.append(row)
        if step % 10 == 0:
            log.append({"step": step, "epoch": 0, "seconds": step, "val_nats": 4 / step})
    log.flush()
    folder.samples.mkdir()
    for step in range(10):
        (folder.samples / f"{step:08d}.txt").write_text(EVIL, encoding="utf-8")
    return folder


def test_report_is_self_contained_and_escapes(folder: RunFolder) -> None:
    options = {"task": "text", "data": {"data": (EVIL,), "val_data": ()}, "model": {"cell": EVIL}}
    evaluation = Evaluation(
        {"nats": Estimate(1.2345), "bits": Estimate(1.7810), EVIL: Estimate(0.5, 0.4, 0.6)},
        notes=[EVIL],
        sections=[Section(EVIL, "<table><tr><td>a part</td></tr></table>", EVIL)],
    )
    write_report(folder, options, opened(NATS), evaluation=evaluation, parameters=1234)
    page = folder.report.read_text(encoding="utf-8")
    parsed = Page(page)
    assert parsed.open == []
    assert "svg" in parsed.tags
    assert not parsed.tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert parsed.fetched == []
    assert "http" not in page
    assert "url(" not in page
    assert "@import" not in page
    assert "&lt;script&gt;" in page
    assert "한글" in page
    assert "prefers-color-scheme: dark" in page
    assert "1.2345" in page
    assert "1.7810" in page
    assert "bits per character" in page
    assert "95 %: 0.400 to 0.600" in page
    assert "<td>a part</td>" in page
    assert page.count(escape(EVIL)) >= 5  # name, note, title and caption, options, samples
    assert "50.0% of the updates were clipped" in page
    assert page.count("<article>") == 6
    assert "after 0 updates" in page
    assert "after 9 updates" in page


def test_report_of_a_run_that_has_only_begun(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    write_report(folder, {}, opened(NATS))
    assert "Nothing to draw yet" in folder.report.read_text()


def test_every_metric_has_a_chart_and_the_best_is_the_first_ones(folder: RunFolder) -> None:
    log = CsvLog(folder.log, (), 1000)
    for step, value in ((10, 0.5), (20, 0.75), (30, 0.7)):
        log.append({"step": step, "val_right_words": value})
    write_report(folder, {}, opened(SHARE, NATS, window=None))
    page = folder.report.read_text(encoding="utf-8")
    headings = re.findall(r"<h2>([^<]*)</h2>", page)
    assert headings.count("Loss") == headings.count("Right words") == 1
    assert "<strong>0.7500</strong><span>right words</span>" in page
    # the weights that are kept are those of the first metric: its chart has the mark
    assert page.index("upright line") > page.index("<h2>Right words</h2>")
    write_report(folder, {}, opened(NATS, SHARE))
    page = folder.report.read_text(encoding="utf-8")
    assert "<strong>0.1333</strong><span>nats per character</span>" in page
    assert page.index("upright line") < page.index("<h2>Right words</h2>")


def test_a_task_that_measures_nothing_has_its_loss_alone(folder: RunFolder) -> None:
    write_report(folder, {}, opened())
    page = folder.report.read_text(encoding="utf-8")
    assert "<h2>Loss</h2>" in page
    assert "validation" not in page


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    "points",
    [
        [(1.0, 2.0)],
        [(1.0, 2.0), (2.0, 2.0)],
        [(1.0, 0.0), (2.0, 1e-9)],
        [(float(x), 1e6 / (x + 1)) for x in range(5000)],
        [(1.0, float("nan")), (2.0, float("inf")), (3.0, 1.0)],
        [(1.0, -5.0), (2.0, 7.0)],
    ],
)
def test_charts_of_odd_data_stay_inside(points: list[tuple[float, float]], log: bool) -> None:
    chart = line_chart(
        [Line("a <b>", points, dots=True)], unit="nats", log=log, right=(1.4, "bits")
    )
    assert "nan" not in chart.replace("nats", "")
    assert "a &lt;b&gt;" in chart
    for line in re.findall(r'polyline class="\w+" points="([^"]*)"', chart):
        values = [tuple(map(float, pair.split(","))) for pair in line.split()]
        assert len(values) <= 800
        assert all(0 <= x <= 720 and 0 <= y <= 260 for x, y in values)


def test_numbers_on_axes() -> None:
    values = [0, 1.5, 1500, 25000, 2e6, 0.002, 2e-5, -0.5]
    assert [number(v) for v in values] == [
        "0", "1.5", "1500", "25k", "2M", "0.002", "2e-5", "-0.5",
    ]  # fmt: skip


def test_log_drops_what_came_after_the_checkpoint_and_broken_lines(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    columns = ("step", "seconds", "train_nats")
    log = CsvLog(path, columns, 0)
    for step in range(1, 6):
        log.append({"step": step, "train_nats": step / 3, "seconds": 0.123456789})
    log.flush()
    before = path.read_text().splitlines()
    with path.open("a") as file:
        file.write("6,0,1")
    log = CsvLog(path, columns, 3)
    log.append({"step": 4, "train_nats": 4 / 3, "seconds": 0.123456789})
    log.flush()
    assert path.read_text().splitlines() == before[:5]
    assert [row["step"] for row in read_log(path)] == [1, 2, 3, 4]


def test_a_point_that_cannot_be_drawn_is_a_gap() -> None:
    points = [(1.0, 1.0), (2.0, 2.0), (3.0, math.nan), (4.0, 4.0), (5.0, -1.0), (6.0, 6.0)]
    chart = line_chart([Line("a", points)], unit="steps", log=True)
    lines = re.findall(r'polyline class="a" points="([^"]*)"', chart)
    assert [len(line.split()) for line in lines] == [2, 1, 1]
    assert chart.count("<circle") == 2
