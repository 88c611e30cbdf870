"""The text task on the command line: what is printed, how it exits, a line for every mistake."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from unrolled import cli
from unrolled.cli import entry

from .conftest import Fails

TEXT = "나는 학교에 간다. the cell remembers what came before.\n" * 60
SMALL = [
    "--hidden-size",
    "8",
    "--num-layers",
    "1",
    "--embedding-size",
    "4",
    "--batch-size",
    "4",
    "--seq-len",
    "16",
    "--max-steps",
    "12",
    "--threads",
    "1",
    "--sample-length",
    "10",
    "--quiet",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    book = folder / "book.txt"
    book.write_text(TEXT, encoding="utf-8")
    assert cli.run(["train", "text", str(book), "--out", str(folder / "run"), *SMALL]) == 0
    return folder / "run"


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(trained, tmp_path / "copy"))


# Doing the job ----------------------------------------------------------------------------------


def test_train_prints_what_came_out_and_how_to_go_on(
    book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["train", "text", "book.txt", *SMALL]) == 0
    out = capsys.readouterr().out
    assert re.search(
        r"Best validation \(step \d+\):\n"
        r"  nats +\d+\.\d{4} +baseline \d+\.\d{4}\n"
        r"  bits +\d+\.\d{4} +baseline \d+\.\d{4}\n",
        out,
    )
    assert "minutes" in out
    for line in ("unrolled generate runs/book", "unrolled evaluate runs/book", "report.html"):
        assert line in out
    names = {p.name for p in Path("runs/book").iterdir()}
    assert names >= {
        "options.toml",
        "vocabulary.json",
        "weights.safetensors",
        "checkpoint.safetensors",
        "log.csv",
        "tensorboard",
        "samples",
        "summary.json",
        "report.html",
        "baseline.npz",
        "mixture.json",
        "lines.npy",
    }
    assert [p.name for p in Path("runs").iterdir()] == ["book"]


def test_json_summary_is_the_exact_score_of_the_kept_weights(
    book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = len(TEXT) // 2
    Path("a.txt").write_text(TEXT[:half], encoding="utf-8")
    Path("b.txt").write_text(TEXT[half:], encoding="utf-8")
    command = ["train", "text", "--data", "a.txt", "--val-data", "b.txt", "--out", "r", "--json"]
    assert cli.run([*command, *SMALL]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["steps"] == 12
    assert cli.run(["evaluate", "r", "--data", "b.txt", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    nats = result["metrics"]["nats"]["value"]
    assert nats == pytest.approx(summary["metrics"]["nats"]["value"], rel=1e-9)
    assert result["characters"] == len(TEXT) - half - 1
    assert result["streams"] == 1


def test_flags_come_before_the_file_before_the_defaults(
    book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("c.toml").write_text(
        '[data]\ndata = ["book.txt"]\n[model]\ncell = "gru"\nhidden_size = 6\nreset_after = false\n'
        "[training]\nrandom_boundaries = false\nlr = 0.5\n"
    )
    assert (
        cli.run(["train", "text", "--config", "c.toml", "--lr", "0.25", "--out", "r", *SMALL]) == 0
    )
    from unrolled.tasks.text.options import TextOptions
    from unrolled.training.options import read_options

    options = read_options(TextOptions, Path("r/options.toml"))
    assert options.data.data == ("book.txt",)
    assert (options.model.cell, options.model.hidden_size) == ("gru", 8)
    assert options.model.reset_after is False
    assert options.training.random_boundaries is False
    assert options.training.lr == 0.25
    # A run's own options make the same run.
    assert cli.run(["train", "text", "--config", "r/options.toml", "--out", "s", "--quiet"]) == 0
    assert read_options(TextOptions, Path("s/options.toml")) == options
    one, other = (load_file(Path(name) / "weights.safetensors") for name in "rs")
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_overwrite_replaces_a_run(book: Path, fails: Fails) -> None:
    command = ["train", "text", "book.txt", "--out", "r", *SMALL]
    assert cli.run(command) == 0
    Path("r/mark").touch()
    assert "already exists" in fails(*command)
    assert cli.run([*command, "--overwrite"]) == 0
    assert not Path("r/mark").exists()
    Path("precious").mkdir()
    Path("precious/photo").touch()
    message = fails("train", "text", "book.txt", "--out", "precious", "--overwrite", *SMALL)
    assert "not a run" in message
    assert Path("precious/photo").exists()


def test_resume_extends(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", "--resume", str(copy), "--max-steps", "15", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 15
    command = ["train", "text", "--resume", str(copy), "--max-steps", "18", "--json", "--quiet"]
    assert cli.run(command) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 18


def test_generate(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["generate", str(trained), "--prompt", "나는", "--length", "30", "--seed", "3"]
    assert cli.run(command) == 0
    first = capsys.readouterr().out
    assert first.startswith("나는")
    assert len(first) == 2 + 30 + 1
    assert cli.run(command) == 0
    assert capsys.readouterr().out == first
    assert cli.run([*command, "--temperature", "0", "--top-k", "3"]) == 0


def test_predict_continues_every_line_of_standard_input(
    trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def enter(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    enter("나는 학\r\nthe cell".encode())
    assert cli.run(["predict", str(trained), "--length", "5"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["prompt"] for one in found] == ["나는 학", "the cell"]
    assert [len(one["text"]) for one in found] == [5, 5]
    enter(b"the\n\xff\n")
    assert cli.run(["predict", str(trained), "--length", "5"]) == 2
    assert capsys.readouterr().err == "unrolled: standard input:2: not text in UTF-8\n"


def test_standard_input_is_trained_on_and_its_test_part_measured_again(
    book: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
    assert cli.run(["train", "text", "-", "--test-fraction", "0.1", *SMALL]) == 0
    said = capsys.readouterr().out
    (nats,) = re.findall(r"measured on the test part:\n  test_nats +(\d+\.\d{4}) ", said)
    assert re.search(rf"training \d\.\d+, validation \d\.\d+, test {nats} ", said)
    assert cli.run(["evaluate", "runs/text"]) == 0
    assert re.search(rf"^nats +{nats} ", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize(("name", "run"), [("book.txt", "book"), ("*.txt", "text")])
def test_a_run_is_named_after_the_first_file(book: Path, name: str, run: str) -> None:
    assert cli.run(["train", "text", name, *SMALL]) == 0
    assert [path.name for path in Path("runs").iterdir()] == [run]


def test_check(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["check", "text", "book.txt", "--json", *SMALL[:-3]]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["facts"]["characters"] == len(TEXT)
    assert 0 < found["facts"]["minutes of training to be expected"] < 600
    assert list(found) == ["task", "facts", "warnings"]


def test_evaluate_counts_unknown_characters(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.txt"
    other.write_text("the cell ΩΩ\n", encoding="utf-8")
    assert cli.run(["evaluate", str(trained), "--data", str(other)]) == 0
    assert "2 characters are not in the vocabulary" in capsys.readouterr().out
    assert cli.run(["evaluate", str(trained), "--data", str(other), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["unknown"] == 2
    nats, bits = (result["metrics"][name]["value"] for name in ("nats", "bits"))
    assert bits == pytest.approx(nats / 0.6931472)


FIRST_LINES = {
    "train text book.txt": "reading book.txt (loading PyTorch …)",
    "train --resume RUN": "going on with RUN (loading PyTorch …)",
    "generate RUN": "reading RUN (loading PyTorch …)",
    "evaluate RUN --data book.txt": "reading RUN (loading PyTorch …)",
    "lens lag --out lag": "training in lag (loading PyTorch …)",
}


def test_a_terminal_shows_a_line_before_torch_is_loaded(book: Path) -> None:
    """What is asked for is said at once; importing torch may take four seconds."""
    Path("RUN").mkdir()
    Path("RUN/options.toml").write_text('task = "text"\n')
    script = (
        "import sys\nfrom unrolled import cli\n"
        "class Found(BaseException): pass\n"
        "class Finder:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name in ('torch', 'sympy', 'matplotlib', 'lightning_fabric'): raise Found\n"
        "sys.meta_path.insert(0, Finder())\n"
        "sys.stderr.isatty = lambda: True\n"
        "for command in sys.argv[1:]:\n"
        "    try: cli.run(command.split())\n"
        "    except Found: sys.stderr.write('torch\\n')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *FIRST_LINES],
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.stderr.splitlines() == [
        said for line in FIRST_LINES.values() for said in (line, "torch")
    ]


# Mistakes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "book.txt: the file is empty"),
        (b"\x89PNG\r\n", "book.txt: not text in UTF-8: byte 0 is 0x89"),
        (b"ab\0\0", "byte 2 is zero"),
        (b"too short", "--batch-size 4 × --seq-len 16 needs 65 characters to train on, got 8"),
    ],
)
def test_texts_that_cannot_be_used(fails: Fails, content: bytes, message: str) -> None:
    Path("book.txt").write_bytes(content)
    assert message in fails("train", "text", "book.txt", *SMALL)
    assert not Path("runs").exists() or list(Path("runs").iterdir()) == []


def test_files_and_folders_that_are_not_there(fails: Fails, book: Path, trained: Path) -> None:
    assert "no data given" in fails("train", "text", *SMALL)
    assert "nowhere.txt: no such file" in fails("train", "text", "nowhere.txt", *SMALL)
    Path("folder").mkdir()
    assert "folder: expected files *.txt in this folder" in fails("train", "text", "folder", *SMALL)
    message = fails("train", "text", "book.txt", "--out", "book.txt/run", *SMALL)
    assert "book.txt/run: cannot create the folder" in message
    assert "/proc/run: cannot create" in fails("train", "text", book, "--out", "/proc/run", *SMALL)
    for command in (
        ["generate"],
        ["evaluate", "--data", "book.txt", "--run"],
        ["train", "--resume"],
    ):
        assert "none: no such run" in fails(*command, "none")
        assert "folder: not a run" in fails(*command, "folder")
        assert "book.txt: expected the folder of a run" in fails(*command, "book.txt")
    assert "no such file" in fails("evaluate", trained, "--data", "nowhere.txt")
    assert "no such file" in fails("train", "text", "book.txt", "--config", "nowhere.toml")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--hidden-size -3", "--hidden-size: expected a whole number from 1 to 65536, got -3"),
        ("--hidden-size many", "--hidden-size"),
        ("--num-layers 0", "--num-layers: expected a whole number from 1 to 1000, got 0"),
        ("--dropout 1.0", "--dropout: expected a number from 0 to below 1, got 1"),
        ("--batch-size 0", "--batch-size: expected a whole number from 1"),
        ("--lr -1", "--lr: expected a number above 0"),
        ("--max-time soon", "--max-time: expected a duration such as 90s, 2m or 1h30m, got 'soon'"),
        ("--max-time 0", "--max-time"),
        ("--cell gro", "--cell"),
        ("--val-fraction 1", "--val-fraction"),
        ("--cell lstm --no-reset-after", "--no-reset-after: only for --cell gru"),
        ("--nonsense 3", "--nonsense"),
        ("--seed -1", "--seed"),
        ("--config", "--config"),
    ],
)
def test_options_out_of_range(fails: Fails, book: Path, arguments: str, message: str) -> None:
    assert message in fails("train", "text", "book.txt", *arguments.split())
    assert not Path("runs").exists()


def test_other_mistakes_in_commands(fails: Fails, trained: Path) -> None:
    assert "tran" in fails("tran")
    assert "--resume" in fails("train", "--max-steps", "3")
    assert "--data" in fails("evaluate", trained)
    assert "--lr: cannot be changed" in fails("train", "text", "--resume", trained, "--lr", "1")
    if not torch.cuda.is_available():
        assert "--device cuda: not available" in fails("generate", trained, "--device", "cuda")


def test_prompts_with_characters_the_model_never_saw(fails: Fails, trained: Path) -> None:
    message = fails("generate", trained, "--prompt", "the Ω\nß")
    assert "'Ω' (U+03A9)" in message
    assert "'ß' (U+00DF)" in message
    assert "U+DCFF" in fails("generate", trained, "--prompt", "\udcff")
    assert "--length: expected a whole number from 0" in fails(
        "generate", trained, "--length", "-1"
    )


@pytest.mark.parametrize("name", ["options.toml", "vocabulary.json", "weights.safetensors"])
@pytest.mark.parametrize("harm", ["cut", "empty", "flip", "gone"])
def test_a_corrupt_run(fails: Fails, copy: Path, name: str, harm: str) -> None:
    path = copy / name
    content = path.read_bytes()
    if harm == "gone":
        path.unlink()
        (copy / "checkpoint.safetensors").unlink()
    elif harm == "flip":
        middle = len(content) * 2 // 3
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 0x80]) + content[middle + 1 :])
    else:
        path.write_bytes(content[: len(content) // 2 if harm == "cut" else 0])
    if name == "options.toml" and harm in ("empty", "cut"):
        return  # absent keys are defaults; what then does not fit is found with the weights
    assert str(copy) in fails("generate", copy, "--length", "1")


@pytest.mark.parametrize("harm", ["cut", "empty", "flip", "other"])
def test_a_corrupt_checkpoint(fails: Fails, copy: Path, harm: str) -> None:
    path = copy / "checkpoint.safetensors"
    content = bytearray(path.read_bytes())
    if harm == "flip":
        content[-3] ^= 1
    elif harm == "other":
        content = bytearray((copy / "weights.safetensors").read_bytes())
    else:
        del content[len(content) // 2 if harm == "cut" else 0 :]
    path.write_bytes(content)
    message = fails("train", "--resume", copy, "--max-steps", "20", "--quiet")
    assert "checkpoint.safetensors" in message


def test_weights_of_another_model(fails: Fails, copy: Path) -> None:
    options = copy / "options.toml"
    options.write_text(options.read_text().replace("hidden_size = 8", "hidden_size = 9"))
    assert "has shape" in fails("generate", copy)
    options.write_text(options.read_text().replace("num_layers = 1", "num_layers = 2"))
    assert "lacks" in fails("generate", copy)
    options.write_text(options.read_text().replace("hidden_size = 9", "hidden_size = 65536"))
    options.write_text(options.read_text().replace("num_layers = 2", "num_layers = 1000"))
    assert "does not fit into memory: its weights take" in fails("generate", copy)


def test_a_full_disk(fails: Fails, copy: Path, book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = (copy / "checkpoint.safetensors").read_bytes()

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    message = fails("train", "--resume", copy, "--max-steps", "20", "--quiet", code=1)
    assert "options.toml: no space left on device" in message
    assert (copy / "checkpoint.safetensors").read_bytes() == kept
    assert "no space left" in fails("train", "text", "book.txt", *SMALL, code=1)
    assert list(Path("runs").iterdir()) == []


@pytest.mark.parametrize("of", ["Python", "torch"])
def test_short_memory(
    of: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch raises an error of its own, in whose many words the user is not interested."""

    def command(*_: object, **__: object) -> None:
        if of == "Python":
            raise MemoryError
        torch.empty(2**55, dtype=torch.int8, device="cpu")

    monkeypatch.setattr(entry, "application", lambda *_: command)
    assert cli.run(["train"]) == 1
    assert capsys.readouterr().err == "unrolled: out of memory\n"
