import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from unrolled.training.report.charts import Line, line_chart, number
from unrolled.training.report.report import write_report
from unrolled.training.run_folder.folder import RunFolder
from unrolled.training.run_folder.logs import CsvLog, read_log


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


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run <b>&")
    folder.path.mkdir()
    log = CsvLog(folder.log, 0)
    for step in range(1, 40):
        row = {"epoch": 0, "seconds": step, "train_nats": 3 / step, "lr": 1e-3, "grad_norm": 1}
        log.log_metrics(row | {"grad_norm_max": 2, "clipped": 0.5, "per_second": 1e5}, step)
        if step % 10 == 0:
            log.log_metrics({"epoch": 0, "seconds": step, "val_nats": 4 / step}, step)
    log.finalize("")
    folder.samples.mkdir()
    for step in range(10):
        (folder.samples / f"{step:08d}.txt").write_text(EVIL, encoding="utf-8")
    return folder


def test_report_is_self_contained_and_escapes(folder: RunFolder) -> None:
    options = {"task": "text", "data": {"data": (EVIL,), "val_data": ()}, "model": {"cell": EVIL}}
    write_report(folder, options, unit="character", exact=1.2345, parameters=1234)
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
    assert "1.7810" in page  # bits
    assert "50.0% of the updates were clipped" in page
    assert page.count("<article>") == 6
    assert "after 0 updates" in page
    assert "after 9 updates" in page


def test_report_of_a_run_that_has_only_begun(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    write_report(folder, {}, unit="character")
    assert "Nothing to draw yet" in folder.report.read_text()


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
    log = CsvLog(path, 0)
    for step in range(1, 6):
        log.log_metrics({"train_nats": step / 3, "seconds": 0.123456789}, step)
    log.finalize("")
    before = path.read_text().splitlines()
    with path.open("a") as file:
        file.write("6,0,1")
    log = CsvLog(path, 3)
    log.log_metrics({"train_nats": 4 / 3, "seconds": 0.123456789}, 4)
    log.finalize("")
    assert path.read_text().splitlines() == before[:5]
    assert [row["step"] for row in read_log(path)] == [1, 2, 3, 4]


def test_a_point_that_cannot_be_drawn_is_a_gap() -> None:
    points = [(1.0, 1.0), (2.0, 2.0), (3.0, math.nan), (4.0, 4.0), (5.0, -1.0), (6.0, 6.0)]
    chart = line_chart([Line("a", points)], unit="steps", log=True)
    lines = re.findall(r'polyline class="a" points="([^"]*)"', chart)
    assert [len(line.split()) for line in lines] == [2, 1, 1]
    assert chart.count("<circle") == 2
