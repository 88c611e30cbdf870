"""A user's own cell: loaded from a file, kept with a run, and never executed for a stranger."""

import os
import pickle
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from unrolled.cells import LSTM
from unrolled.engine.choice import using
from unrolled.errors import UserError
from unrolled.tasks import own_cell
from unrolled.tasks.model_memory import check_memory, weight_count
from unrolled.tasks.recurrent import (
    RecurrentOptions,
    build_recurrent,
    cell_class,
    keep_cell,
)
from unrolled.training.options import read_options, write_options

HEAD = "from unrolled.cells import LSTM, Cell, sigmoid, tanh\n"
MINE = """
class Mine(Cell):
    gates_of_memory = {"f": 1}

    def step(W, U, x, h, *, function=tanh):
        f = sigmoid(W.f(x) + U.f(h))
        return f * h + (1 - f) * function(W.n(x) + U.n(h))
"""

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test is a user of its own, who trusts nothing yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("UNROLLED_CACHE", str(folder))
    return folder


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str = MINE, name: str = "mine.py", head: str = HEAD) -> Path:
        path = tmp_path / name
        # What tells apart the sources of two tests, which one process would execute once.
        path.write_text(f"{head}{text}\nPLACE = {str(tmp_path)!r}\n")
        return path

    return written


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


def options(cell: str, **values: object) -> RecurrentOptions:
    return RecurrentOptions(cell=cell, hidden_size=6, dropout=0.0, **values)  # type: ignore[arg-type]


def test_an_own_cell_is_trained_kept_and_used_again(write: Write, run: Path) -> None:
    path = write()
    given = options(f"{path}:Mine", layer_norm=True, forget_bias=1.0)
    kept = keep_cell(given, run)
    assert (run / "cell.py").read_bytes() == path.read_bytes()
    assert kept.cell.startswith("cell.py:Mine@")
    write_options(kept, run / "options.toml")
    path.unlink()
    again = read_options(RecurrentOptions, run / "options.toml")
    assert again == kept
    cell = cell_class(again, run)
    check_memory(again, 3, cell=cell)
    module = build_recurrent(again, 3, cell)
    assert weight_count(again, 3, cell) == sum(p.numel() for p in module.parameters())
    with using("reference"):
        output, _ = module(torch.zeros(4, 2, 3, dtype=torch.float32, device="cpu"))
    output.sum().backward()


def test_options_of_the_librarys_cells_are_kept_as_they_are(run: Path) -> None:
    assert keep_cell(options("lstm"), run) == options("lstm")
    assert list(run.iterdir()) == []
    assert cell_class(options("lstm"), run) is LSTM


def test_one_source_is_one_class(write: Write, run: Path) -> None:
    given = options(f"{write()}:Mine")
    assert cell_class(given) is cell_class(keep_cell(given, run), run)


def test_a_cell_is_pickled_with_its_source(write: Write) -> None:
    given = options(f"{write()}:Mine")
    module: Any = build_recurrent(given, 3, cell_class(given))
    assert pickle.loads(pickle.dumps(module)).cell == module.cell
    code = (
        "import pickle, sys\n"
        "cell = pickle.load(sys.stdin.buffer)\n"
        "print(cell.name, cell.choices['function'], 'torch' in sys.modules)\n"
    )
    relu = pickle.dumps(type(module.cell)(function="relu"))
    other = subprocess.run(
        [sys.executable, "-c", code], input=relu, capture_output=True, check=True
    )
    assert other.stdout.split() == [b"mine,function=relu", b"relu", b"False"]


# What strangers send


@pytest.fixture
def stranger(write: Write, run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A run of somebody else's; when its cell is executed a file ``executed`` appears beside it."""
    marks = f"open({str(tmp_path / 'executed')!r}, 'w').close()\n"
    path = write(marks + MINE)
    source = path.read_bytes()
    own = own_cell.OwnCell("cell.py", "Mine", own_cell.digest(source))
    (run / "cell.py").write_bytes(source)
    write_options(options(str(own)), run / "options.toml")
    return run


def refused(run: Path, tmp_path: Path, trusted: str | None = None) -> str:
    """The error of opening a run in which nothing is executed."""
    with pytest.raises(UserError) as error:
        cell_class(read_options(RecurrentOptions, run / "options.toml"), run, trusted)
    assert not (tmp_path / "executed").exists()
    return str(error.value)


def test_a_strangers_cell_is_not_executed(stranger: Path, tmp_path: Path) -> None:
    said = refused(stranger, tmp_path)
    assert said == (
        f"{stranger}/cell.py: this run's cell is code of somebody else; read it, and then give "
        f"--cell {stranger}/cell.py:Mine to run it"
    )
    given = read_options(RecurrentOptions, stranger / "options.toml")
    for use in (build_recurrent, check_memory, weight_count):
        with pytest.raises(ValueError, match="expected the class of"):
            use(given, 3)
    with pytest.raises(UserError, match="kept with a run"):
        cell_class(given)
    with pytest.raises(UserError, match="kept with a run"):
        keep_cell(given, tmp_path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("named", ["cell.py:Mine", "../mine.py:Mine", "{tmp_path}/mine.py:Mine"])
def test_a_stranger_cannot_name_another_file(stranger: Path, tmp_path: Path, named: str) -> None:
    write_options(options(named.format(tmp_path=tmp_path)), stranger / "options.toml")
    assert "code of somebody else" in refused(stranger, tmp_path)
    (stranger / "cell.py").unlink()
    assert f"{stranger}/cell.py: no such file" in refused(stranger, tmp_path)


def test_a_stranger_cannot_use_the_digest_of_a_trusted_cell(
    stranger: Path, write: Write, tmp_path: Path
) -> None:
    kept = keep_cell(options(f"{write(name='trusted.py')}:Mine"), tmp_path)
    write_options(kept, stranger / "options.toml")
    assert "not the cell that" in refused(stranger, tmp_path)


def test_links_pipes_and_huge_files_are_refused(stranger: Path, tmp_path: Path) -> None:
    cell = stranger / "cell.py"
    cell.rename(tmp_path / "elsewhere.py")
    cell.symlink_to(tmp_path / "elsewhere.py")
    assert "expected a file, got a symbolic link" in refused(stranger, tmp_path)
    cell.unlink()
    os.mkfifo(cell)
    assert "expected a file, got a pipe" in refused(stranger, tmp_path)
    cell.unlink()
    cell.mkdir()
    assert "expected a file, got a folder" in refused(stranger, tmp_path)
    cell.rmdir()
    with cell.open("wb") as file:
        file.truncate(1 << 40)
    assert "expected at most 1,048,576 bytes" in refused(stranger, tmp_path)


def test_a_cell_that_the_user_names_is_executed(stranger: Path, tmp_path: Path) -> None:
    given = read_options(RecurrentOptions, stranger / "options.toml")
    assert "is called Mine, got Other" in refused(stranger, tmp_path, f"{stranger}/cell.py:Other")
    (tmp_path / "other.py").write_text(HEAD + MINE)
    assert "not the cell that" in refused(stranger, tmp_path, f"{tmp_path}/other.py:Mine")
    found = cell_class(given, stranger, f"{stranger}/cell.py:Mine")
    assert (tmp_path / "executed").exists()
    assert cell_class(given, stranger, found) is found
    with pytest.raises(UserError, match="called Mine, got LSTM"):
        cell_class(given, stranger, LSTM)
    with pytest.raises(UserError, match="code of somebody else"):  # once is not for ever
        cell_class(given, stranger)


def test_trust_is_the_users_own(
    stranger: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (stranger / "cell.py").read_bytes()
    old = os.umask(0)
    try:
        own_cell.trust(source)
    finally:
        os.umask(old)
    assert own_cell.is_trusted(source)
    (entry,) = (cache / "trusted_cells").iterdir()
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    entry.chmod(0o622)  # others could have written it
    assert not own_cell.is_trusted(source)
    entry.write_bytes(b"# another\n")
    entry.chmod(0o600)
    assert not own_cell.is_trusted(source)
    entry.rename(tmp_path / "moved")
    entry.symlink_to(tmp_path / "moved")
    assert not own_cell.is_trusted(source)
    (cache / "trusted_cells").chmod(0o777)
    assert "expected a folder that only you can write to" in refused(stranger, tmp_path)
    monkeypatch.setenv("UNROLLED_CACHE", "/dev/null/none")
    assert "Name another folder in $UNROLLED_CACHE" in refused(stranger, tmp_path)


# Mistakes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = [", ":2: while the file was executed: SyntaxError: '[' was never closed"),
        ("\n\n1 / 0", ":4: while the file was executed: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit()", ":3: while the file was executed: SystemExit"),
        ("class Mine(Cell):\n    def step(x): ...", ":2: while the file was executed: TypeError:"),
        ("", ": Mine: there is no such class; it defines no cell"),
        (
            MINE.replace("Mine", "Other"),
            ": Mine: there is no such class; the cells there are Other",
        ),
        ("Mine = LSTM", ": Mine: it is not a cell that is defined there; it defines no cell"),
        ("Mine = 3", ": Mine: it is not a cell that is defined there; it defines no cell"),
        ("class Mine(Cell): pass", ": the equations of Mine cannot be read: TypeError: Mine: a"),
        (MINE.replace("f * h", "f @ h"), ":8: "),
        (MINE.replace("f * h", "boom"), ":8: the equations of Mine cannot be read: NameError"),
        ("\0", ": while the file was executed: "),
    ],
)
def test_mistakes_in_the_file_are_named_in_one_line(
    write: Write, run: Path, cache: Path, text: str, said: str
) -> None:
    path = write(text)
    with pytest.raises(UserError) as error:
        keep_cell(options(f"{path}:Mine"), run)
    assert str(error.value).startswith(f"{path}{said}")
    assert list(run.iterdir()) == []
    assert not (cache / "trusted_cells").exists()


def test_mistakes_in_what_is_asked_for(write: Write, run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.py: no such file"):
        keep_cell(options("absent.py:Mine"), run)
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(UserError, match="expected a file, got a folder"):
        cell_class(options(f"{tmp_path}/folder.py:Mine"))
    with pytest.raises(UserError, match=r"--candidate-dropout: --cell .*mine\.py:Mine cannot"):
        keep_cell(options(f"{write()}:Mine", candidate_dropout=0.1), run)
    path = write(MINE.replace('"f": 1', '"k": 1'))
    wrong = options(f"{path}:Mine", forget_bias=1.0)
    with pytest.raises(UserError, match="there is no gate 'k'"):
        build_recurrent(wrong, 3, cell_class(wrong))
    assert list(run.iterdir()) == []
