"""Commands of the tasks that there are: every option documented, every page quick and whole."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from unrolled import cli
from unrolled.cli.flags import documented, sections
from unrolled.ranges import hints
from unrolled.tasks import TASKS


def kinds(name: str) -> Iterator[type]:
    """The dataclasses of a task's flags."""
    task = TASKS[name]
    yield from (section.kind for section in sections(task.options))
    yield from (verb.options for verb in task.verbs.values())


@pytest.mark.parametrize("name", TASKS)
def test_every_option_is_documented(name: str) -> None:
    for kind in kinds(name):
        missing = hints(kind).keys() - documented(kind).keys()
        assert not missing, f"{kind.__name__} does not say what {missing} are"


@pytest.mark.parametrize("name", TASKS)
def test_every_page_can_be_shown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("run").mkdir()
    Path("run/options.toml").write_text(f'task = "{name}"\n')
    pages = [["train", name], ["check", name], *([verb, "run"] for verb in TASKS[name].verbs)]
    for words in pages:
        assert cli.run([*words, "--help"]) == 0, capsys.readouterr().err
        page = capsys.readouterr().out
        assert f"Usage: unrolled {words[0]}" in page
        if words[0] == "train":
            assert "─ Model ─" in page
            assert "─ Training ─" in page
        assert "--device" in page


def test_pages_load_nothing_heavy() -> None:
    script = (
        "import sys\nfrom unrolled import cli, tasks\n"
        "verbs = {verb for task in tasks.TASKS.values() for verb in task.verbs}\n"
        "for words in ([], *([verb] for verb in verbs),\n"
        "              *(['train', name] for name in tasks.TASKS)):\n"
        "    assert cli.run([*words, '--help']) == 0\n"
        "names = {'torch', 'numpy', 'sympy', 'lightning_fabric', 'matplotlib', 'sklearn'}\n"
        "heavy = names & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
