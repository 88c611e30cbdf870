"""Values that are none, names in any encoding: one line each, and nothing is made or lost."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from unrolled import cli
from unrolled.cli.application import application
from unrolled.cli.entry import write_any_character
from unrolled.ranges import is_choice, number_kind
from unrolled.tasks import TASKS

TEXT = "나는 학교에 간다. the cell remembers what came before.\n" * 60
SMALL = ["--hidden-size", "8", "--batch-size", "4", "--seq-len", "16"]
SMALL += ["--max-steps", "4", "--threads", "1", "--quiet"]

COMMANDS = {
    ("train", "text"): ("book.txt",),
    ("train",): ("--resume", "run"),
    ("predict",): ("run",),
    ("generate",): ("run",),
    ("evaluate",): ("run", "--data", "book.txt"),
    ("bench",): (),
    ("lens",): ("--no-open",),
    ("lens", "lag"): (),
}

NONSENSE = ("nan", "many", "", "9" * 5000, "-99999999999999999999", "a\0b", "\udcff")
"""None is a value of any option that takes a number or one of some words."""


def options(command: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Options of a command that take a number or one of some words, each with a wrong value.

    Of options of one type the first has all wrong values, the others one.
    """
    seen = set()
    app = application(TASKS, [*command, *COMMANDS[command]])
    for word in command:
        app = app[word]
    for argument in app.assemble_argument_collection():
        hint = argument.field_info.annotation
        if number_kind(hint) is not None or is_choice(hint):
            kind = (number_kind(hint), is_choice(hint))
            for value in NONSENSE if kind not in seen else NONSENSE[:1]:
                yield argument.name, value
            seen.add(kind)


@pytest.fixture(autouse=True)
def run(tmp_path: Path) -> None:
    """A run by its options: nothing more is read before the words are."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run/options.toml").write_text('task = "text"\n')


@pytest.mark.parametrize("command", COMMANDS, ids="-".join)
def test_nonsense_is_refused_in_one_line_that_names_the_option(
    command: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = [*options(command)]
    assert len(tried) >= len(NONSENSE)
    for name, value in tried:
        assert cli.run([*command, *COMMANDS[command], f"{name}={value}"]) == 2, (name, value)
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith(f"unrolled: {name}: expected ")
        assert ", got " in said.err
        assert said.err.count("\n") == 1
        assert len(said.err) < 1100
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            "generate run --temperature 1e-320",
            "0 or a number from 1e-06 to 1e+06, got 9.99989e-321",
        ),
        ("generate run --temperature 1e300", "0 or a number from 1e-06 to 1e+06, got 1e+300"),
        ("generate run --temperature -0.1", "0 or a number from 1e-06 to 1e+06, got -0.1"),
        ("generate run --length -1", "a whole number from 0 to 1000000000, got -1"),
        ("generate run --seed 9223372036854775808", "9223372036854775807, got 9223372036854775808"),
        ("train text book.txt --hidden-size 1.5", "a whole number from 1 to 65536, got '1.5'"),
        ("train text book.txt --hidden-size 100000000000000000000", "got 100000000000000000000"),
        ("train text book.txt --max-steps 100000000000000000000000", "--max-steps: expected"),
        ("train text book.txt --max-time 1e23", "--max-time: expected a duration above 0, at most"),
        ("train text book.txt --max-time 99999999d", "--max-time: expected a duration above 0, at"),
        ("train text book.txt --threads 257", "--threads: expected a whole number from 0 to 256"),
        ("evaluate run --data book.txt --threads 2147483648", "0 to 256, got 2147483648"),
        ("lens --no-open --port 65536", "--port: expected a whole number from 0 to 65535"),
        ("lens lag --lags 1", "--lags: expected whole numbers from 2 to 10000, got '1'"),
        ("lens lag --processes 100000", "--processes: expected a whole number from 1 to 256"),
        ("lens lag --minutes inf", "--minutes: expected a number above 0 to 1000000, got inf"),
        ("bench --seconds 1e300", "--seconds: expected a number from 0 to 1000000, got 1e+300"),
        ("bench --threads 100000", "--threads: expected all or a number from 1 to"),
    ],
)
def test_numbers_beyond_an_options_range(
    words: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(words.split()) == 2
    said = capsys.readouterr()
    assert line in said.err
    assert said.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_model_larger_than_the_machine_is_refused_before_its_run_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("book.txt").write_text(TEXT, encoding="utf-8")
    large = ["--hidden-size", "65536", "--num-layers", "1000"]
    assert cli.run(["train", "text", "book.txt", *SMALL[2:], *large]) == 2
    assert "the model does not fit into memory: its weights take" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} - {"run", "runs"} == {"book.txt"}
    assert not [*Path("runs").iterdir()]


FOREIGN = {
    ("train", "text", "--help"): 0,
    ("train", "text", "학교.txt", *SMALL[:-1], "--out", "학교"): 0,
    ("generate", "학교", "--prompt", "나는 학교에", "--length", "20"): 0,
    ("evaluate", "학교", "--data", "학교.txt"): 0,
    ("bench", "--out", "학교", "--shapes", "없음"): 2,
    ("lens", "없음"): 2,
}
"""Commands about a text whose name and characters are Korean, and how each ends."""


def test_what_an_encoding_lacks_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output that goes to a terminal, or a file, in Latin-1."""
    Path("학교.txt").write_text(TEXT, encoding="utf-8")
    written = {name: io.BytesIO() for name in ("stdout", "stderr")}
    for name, buffer in written.items():
        monkeypatch.setattr(sys, name, io.TextIOWrapper(buffer, "latin-1", write_through=True))
    write_any_character()
    assert [cli.run(command) for command in FOREIGN] == [*FOREIGN.values()]
    assert b"Traceback" not in written["stderr"].getvalue()
    assert b"Best validation" in written["stdout"].getvalue()
    assert b"???" in written["stdout"].getvalue()
    assert Path("학교/weights.safetensors").exists()


@dataclass
class Process:
    """A process that has run several commands, one after another, without a locale.

    Attributes:
        folder: Where it was started.
        code: Its exit code.
        codes: Exit codes of the commands.
        out: Standard output of all commands but the last.
        err: Standard error, without the codes.
    """

    folder: Path
    code: int
    codes: list[int]
    out: bytes
    err: str


LONG = ("generate", "학교", "--length", "20000")
"""The last command; its reader goes away as `head` does."""


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Process:
    folder = tmp_path_factory.mktemp("locale")
    (folder / "학교.txt").write_text(TEXT, encoding="utf-8")
    # as arguments: they are decoded as the locale has it
    script = (
        "import sys\nfrom unrolled import cli\n"
        "words = sys.argv[1:]\n"
        "while words:\n"
        "    end = words.index('.')\n"
        "    sys.argv[1:], words = words[:end], words[end + 1 :]\n"
        "    if not words: print('last', flush=True)\n"
        "    try: cli.main()\n"
        "    except SystemExit as error: sys.stderr.write(f'[{error.code}]\\n')\n"
    )
    words = [word for command in (*FOREIGN, LONG) for word in (*command, ".")]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG"))}
    with (
        (folder / "err").open("w+b") as errors,
        subprocess.Popen(
            [sys.executable, "-c", script, *words],
            env={**environment, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=errors,
        ) as child,
    ):
        assert child.stdout is not None
        out = b""
        while (line := child.stdout.readline()) not in (b"last\n", b""):
            out += line
        child.stdout.read(5)
        child.stdout.close()
        code = child.wait(timeout=120)
        errors.seek(0)
        said = errors.read().decode("latin-1")
    lines = said.splitlines(keepends=True)
    codes = [int(line.strip("[]\n")) for line in lines if line.startswith("[")]
    return Process(
        folder, code, codes, out, "".join(line for line in lines if not line.startswith("["))
    )


def test_what_a_locale_lacks_is_replaced(process: Process) -> None:
    """Without a locale the words of the command line are not Unicode either."""
    assert process.codes[:-1] == [*FOREIGN.values()], process.err
    assert "Traceback" not in process.err
    assert b"Best validation" in process.out
    assert (process.folder / "학교" / "weights.safetensors").exists()


def test_a_reader_that_goes_away_is_no_error(process: Process) -> None:
    assert process.codes[-1] == 128 + signal.SIGPIPE
    assert process.code == 0
    after = process.err.rpartition("unrolled: ")[2]  # the last mistake before
    assert after.count("\n") == 1, after


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are Unicode there")
def test_names_of_files_that_are_not_utf8(capsys: pytest.CaptureFixture[str]) -> None:
    """Bytes in another encoding, as old archives have them, arrive as lone surrogates."""
    book, run = os.fsdecode(b"b\xff\xfek.txt"), os.fsdecode(b"r\xffn")
    Path(book).write_text(TEXT, encoding="utf-8")
    for command in (
        ["train", "text", book, "--out", run, "--json", *SMALL],
        ["train", "--resume", run, "--max-steps", "6", "--json", "--quiet"],
        ["generate", run, "--length", "3"],
        ["evaluate", run, "--data", book],
    ):
        assert cli.run(command) == 0, capsys.readouterr().err
    (Path(run) / "weights.safetensors").write_bytes(b"")
    capsys.readouterr()
    assert cli.run(["evaluate", run, "--data", book]) == 2
    assert r"r\udcffn/weights.safetensors" in capsys.readouterr().err
