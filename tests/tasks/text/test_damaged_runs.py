"""Whatever is found in a run's folder, every use of it is a success or one clear line."""

import json
import os
import random
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

import pytest
import torch
from tests.tasks.conftest import write_prose

from unrolled.errors import UserError
from unrolled.page.subject import TextSubject
from unrolled.tasks import load, resume, train
from unrolled.training.run_folder.checkpoint import read_tensors, write_tensors
from unrolled.training.run_folder.folder import RunFolder

Damage = Callable[[Path], None]

FILES = (
    "options.toml",
    "vocabulary.json",
    "baseline.npz",
    "mixture.json",
    "lines.npy",
    "weights.safetensors",
    "checkpoint.safetensors",
    "log.csv",
    "lens.jsonl",
    "summary.json",
    "report.html",
    "samples/00000010.txt",
    "cache/train.npy",
    "cache/validation.npy",
    ".lock",
    "samples",
    "tensorboard",
    "cache",
)


# What is done to a file -------------------------------------------------------------------------


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def pipe(path: Path) -> None:
    remove(path)
    os.mkfifo(path)


def folder(path: Path) -> None:
    remove(path)
    path.mkdir()


def unix_socket(path: Path) -> None:
    remove(path)
    before = Path.cwd()
    os.chdir(path.parent)  # an address holds a hundred bytes only
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(path.name)
    os.chdir(before)


def linked(target: str) -> Damage:
    def damage(path: Path) -> None:
        remove(path)
        path.symlink_to(target)

    return damage


def filled(content: bytes) -> Damage:
    def damage(path: Path) -> None:
        remove(path)
        path.write_bytes(content)

    return damage


def sparse(path: Path) -> None:
    """A file of 200 GB, without a byte on the disk."""
    if path.is_file():
        os.truncate(path, 200 << 30)


def cut(share: float) -> Damage:
    def damage(path: Path) -> None:
        if path.is_file():
            os.truncate(path, int(path.stat().st_size * share))

    return damage


def flipped(seed: int) -> Damage:
    def damage(path: Path) -> None:
        if path.is_file() and (content := bytearray(path.read_bytes())):
            draw = random.Random(seed)
            for _ in range(draw.choice([1, 1, 3, 30])):
                content[draw.randrange(len(content))] = draw.randrange(256)
            path.write_bytes(content)

    return damage


def replaced(old: str, new: str) -> Damage:
    def damage(path: Path) -> None:
        content = path.read_text(encoding="utf-8", errors="surrogateescape")
        path.write_text(content.replace(old, new), encoding="utf-8", errors="surrogateescape")

    return damage


DEEP = 100_000
DAMAGES: dict[str, Damage] = {
    "gone": remove,
    "pipe": pipe,
    "folder": folder,
    "socket": unix_socket,
    "device": linked("/dev/zero"),
    "loop": lambda path: linked(path.name)(path),
    "nowhere": linked("nowhere"),
    "empty": filled(b""),
    "sparse": sparse,
    "half": cut(0.5),
    "nearly": cut(0.99),
    "zeros": filled(bytes(5000)),
    "noise": filled(random.Random(1).randbytes(5000)),
    "newlines": filled(b"\n" * 5000),
    "not UTF-8": filled(b"\xff\xfe" * 100),
    "list": filled(b"[]"),
    "null": filled(b"null"),
    "deep lists": filled(b"[" * DEEP),
    "deep tables": filled(b'{"a":' * DEEP),
    "deep TOML": filled(b"a = " + b"[" * DEEP),
    "dotted TOML": filled(b'task = "text"\na' + b".a" * 5000 + b" = 1"),
    "long number": filled(b"9" * DEEP),
    "long cell": filled(b"step,epoch\n1," + b"x" * 1_000_000 + b"\n"),
}

OPTIONS = {
    f"{key} = {value[:30]}": (key, value)
    for key, values in {
        "hidden_size": ["0", "-1", "7", "1.5", "'x'", "nan", "9" * 12, "9" * 30, "0x" + "f" * 9000],
        "num_layers": ["2", "9" * 30, "[1]"],
        "embedding_size": ["3", "9" * 18],
        "dropout": ["nan", "-inf", "1", "true"],
        "cell": ["'lstm'", "'gro'", "3", "'" + "x" * 100_000 + "'"],
        "batch_size": ["3", "9" * 18, "60000"],
        "seq_len": ["7", "9" * 18],
        "lr": ["nan", "1e400", "'1'", "9" * 400, "2020-01-01"],
        "clip": ["inf", "1e308"],
        "max_steps": ["9" * 18, "9" * 40, "1e3"],
        "max_time": ["'soon'", "1e-320", "'" + "9" * 400 + "'"],
        "log_every": ["9" * 18],
        "lens_every": ["1"],
        "sample_length": ["9" * 30, "-1"],
        "seed": ["1", "9" * 30],
        "threads": ["-1", "9" * 30],
        "optimizer": ["'sgd'", "'adam'", "'adagrad'"],
        "precision": ["'64'", "'bf16-mixed'", "'16'"],
        "device": ["'tpu'"],
        "ema": ["0.5", "nan"],
        "val_fraction": ["2.0", "nan"],
        "task": ["'lag'", "{a = 1}"],
        "unknown": ["1"],
        "data": ["'x'", "[1]", "{}"],
    }.items()
    for value in values
}  # fmt: skip


def with_option(key: str, value: str) -> Damage:
    def damage(path: Path) -> None:
        lines = path.read_text(encoding="utf-8").splitlines()
        found = [line for line in lines if line.startswith(f"{key} = ")]
        if found:
            lines = [f"{key} = {value}" if line in found else line for line in lines]
        else:  # not in the file: these belong to its last section, [training]
            lines = [*lines, f"{key} = {value}"]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    return damage


def rewritten(change: Callable[[dict[str, torch.Tensor], dict[str, object]], object]) -> Damage:
    """A file of tensors with other content and a checksum that fits."""

    def damage(path: Path) -> None:
        tensors, record = read_tensors(path)
        change(tensors, record)
        write_tensors(path, tensors, record)

    return damage


def position(**values: object) -> Damage:
    return rewritten(lambda tensors, record: record["position"].update(values))  # type: ignore[attr-defined]


CHECKPOINTS: dict[str, Damage] = {
    "step is text": position(step="x"),
    "step is negative": position(step=-5),
    "step is huge": position(step=10**30),
    "step is infinite": position(step=float("inf")),
    "seconds are no number": position(seconds=float("nan")),
    "batch is beyond": position(index=10**6),
    "batch is negative": position(index=-3),
    "epoch is huge": position(epoch=10**15),
    "window is missing": position(window=None),
    "window is a list": position(window=[]),
    "best is text": position(best="x"),
    "unknown key": position(unknown=1),
    "no position": rewritten(lambda tensors, record: record.pop("position")),
    "position is a list": rewritten(lambda tensors, record: record.update(position=[])),
    "no optimizer": rewritten(lambda tensors, record: record.pop("optimizer")),
    "optimizer is text": rewritten(lambda tensors, record: record.update(optimizer="x")),
    "optimizer of others": rewritten(
        lambda tensors, record: record.update(optimizer={"999": {"a": 1}})
    ),
    "moment gone": rewritten(lambda tensors, record: tensors.pop("optimizer.0.exp_avg")),
    "moment of another shape": rewritten(
        lambda tensors, record: tensors.update({"optimizer.0.exp_avg": torch.ones(1)})
    ),
    "state of another shape": rewritten(
        lambda tensors, record: tensors.update({"carry.0.0": torch.ones(1, 2, 3)})
    ),
    "state of another kind": rewritten(
        lambda tensors, record: tensors.update({"carry.0.0": tensors["carry.0.0"].long()})
    ),
    "state left out": rewritten(
        lambda tensors, record: tensors.update({"carry.0.2": tensors["carry.0.0"]})
    ),
    "random state cut": rewritten(
        lambda tensors, record: tensors.update({"random.0.cpu": tensors["random.0.cpu"][:7]})
    ),
    "random state is noise": rewritten(
        lambda tensors, record: tensors.update({"random.0.cpu": torch.ones(5056)})
    ),
    "a weight gone": rewritten(lambda tensors, record: tensors.pop("model.readout.weight")),
    "a weight too many": rewritten(
        lambda tensors, record: tensors.update({"model.x": torch.ones(1)})
    ),
    "a weight is whole": rewritten(
        lambda tensors, record: tensors.update(
            {"model.readout.bias": tensors["model.readout.bias"].long()}
        )
    ),
    "a weight is not finite": rewritten(
        lambda tensors, record: tensors["model.readout.bias"].fill_(float("nan"))
    ),
}  # fmt: skip

LOGS: dict[str, Damage] = {
    "zeros in it": replaced("\n", "\0\n"),
    "columns gone": replaced("step,epoch,seconds", "step,a,b"),
    "step gone": replaced("step,", "a,"),
    "quoted": replaced(",", '","'),
    "open quotes": replaced("\n", '\n"'),
    "infinite": replaced("0.", "1e999"),
    "no numbers": replaced("0.", "nan"),
    "negative": replaced("0.", "-"),
    "header twice": replaced("step", "step,step"),
    "header alone": replaced("0", ""),
    "a lone surrogate": replaced(",", "\udcff,"),
}
LENSES: dict[str, Damage] = {
    "infinite": replaced("0.", "1e999"),
    "no layers": replaced('"layers": {', '"layers": {}, "x": {'),
    "text": replaced("[0.", '["'),
    "infinite steps": replaced('"step": ', '"step": 1e999, "x": '),
    "deep": lambda path: filled(path.read_bytes() + b"[" * DEEP + b"\n")(path),
}
WORDS: dict[str, Damage] = {
    "fewer": lambda path: filled(
        json.dumps({"format": 1, "characters": "abc"}).encode()
    )(path),
    "others": replaced("t", "ʇ"),
    "surrogates": replaced("t", "\\ud800"),
    "summary is text": replaced("1", '"x"'),
}  # fmt: skip

EVERY: list[tuple[str, str, Damage]] = [
    *((name, f"{name}: {how}", damage) for name in FILES for how, damage in DAMAGES.items()),
    *(
        (name, f"{name}: flipped {seed}", flipped(seed))
        for name in FILES[:15]
        for seed in range(int(os.environ.get("UNROLLED_FLIPS", "0")))
    ),
    *(("options.toml", name, with_option(*pair)) for name, pair in OPTIONS.items()),
    *(("checkpoint.safetensors", name, damage) for name, damage in CHECKPOINTS.items()),
    *(("log.csv", f"log: {name}", damage) for name, damage in LOGS.items()),
    *(("lens.jsonl", f"lens: {name}", damage) for name, damage in LENSES.items()),
    *(("vocabulary.json", f"vocabulary: {name}", damage) for name, damage in WORDS.items()),
    (
        "cache/train.npy",
        "tokens: header cut",
        filled(b"\x93NUMPY\x01\0v\0" + b"{'descr': (".ljust(118)),
    ),
    *(("summary.json", f"summary: {name}", damage) for name, damage in WORDS.items()),
]


# What is done with the run ----------------------------------------------------------------------


def go_on(run: Path) -> None:
    resume(run, max_steps=22, quiet=True)


def evaluate(run: Path) -> None:
    load(run).compare(run.parent / "prose.txt")


def write(run: Path) -> None:
    load(run).generate("the", length=3)


def inspect(run: Path) -> None:
    subject = TextSubject(RunFolder.existing(run), "run")
    subject.facts()
    subject.samples()


USES = {"resume": go_on, "evaluate": evaluate, "generate": write, "lens": inspect}


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Fails what hangs."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"still not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(run: Path, name: str, damage: Damage, use: str) -> str:
    """Damage a copy of a run and use it; "" for a success, else the one line."""
    copy = run.parent / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(run, copy, symlinks=True)
    damage(copy / name)
    with within(60):
        try:
            USES[use](copy)
        except UserError as error:
            line = str(error)
            assert "\n" not in line
            assert line
            assert len(line) < 1500
            return line
    return ""


def small_run(parent: Path) -> Path:
    """A finished run with everything in it."""
    prose = write_prose(parent / "prose.txt", words=400)
    train(
        "text",
        prose,
        out=parent / "run",
        quiet=True,
        hidden_size=6,
        embedding_size=4,
        cell="lstm",
        seq_len=8,
        batch_size=4,
        log_every=2,
        lens_every=1,
        max_steps=20,
        val_every=10,
        sample_length=10,
        threads=1,
        precision="32",
        max_time="1h",
    )
    return parent / "run"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unrolled.training.probe.monitor.BUDGET", 1e9)
        return small_run(tmp_path_factory.mktemp("damaged"))


KNOWN = [
    ("options.toml: pipe", "generate", "not a run"),
    ("vocabulary.json: pipe", "evaluate", "expected a file, got a pipe"),
    ("weights.safetensors: pipe", "generate", "expected a file, got a pipe"),
    ("weights.safetensors: socket", "lens", "expected a file, got a socket"),
    ("weights.safetensors: device", "evaluate", "expected a file, got a device"),
    ("weights.safetensors: folder", "generate", "expected a file, got a folder"),
    ("weights.safetensors: loop", "generate", "too many levels of symbolic links"),
    ("checkpoint.safetensors: pipe", "resume", "expected a file, got a pipe"),
    ("cache/train.npy: pipe", "resume", "expected a file, got a pipe"),
    ("log.csv: pipe", "resume", "expected a file, got a pipe"),
    ("log.csv: sparse", "resume", "expected at most"),
    ("lens.jsonl: pipe", "resume", "expected a file, got a pipe"),
    (".lock: pipe", "resume", "expected a file, got a pipe"),
    ("vocabulary.json: loop", "lens", "vocabulary.json"),
    ("vocabulary.json: deep lists", "generate", "nested too deeply"),
    ("vocabulary.json: long number", "generate", "corrupt or truncated"),
    ("options.toml: deep TOML", "generate", "nested too deeply"),
    ("options.toml: dotted TOML", "generate", "unknown key 'a'"),
    ("options.toml: noise", "generate", "not a valid TOML file"),
    ("options.toml: newlines", "resume", "task: expected one of"),
    ("batch_size = 60000", "resume", "text too short"),
    ("vocabulary: fewer", "resume", "it holds token 24, and there are 4"),
    ("optimizer = 'sgd'", "resume", "it is of another optimizer"),
    ("batch_size = 3", "resume", "does not fit the run's options"),
    ("lr = " + "9" * 30, "resume", "lr: expected a number"),
    ("max_steps = " + "9" * 30, "resume", "max_steps: expected a whole number"),
    ("step is infinite", "resume", "corrupt: it names no step"),
    ("seconds are no number", "resume", "position: seconds is nan"),
    ("batch is beyond", "resume", "there is no batch 1000000"),
    ("window is missing", "resume", "position [window]: expected a table, got None"),
    ("tokens: header cut", "resume", "train.npy: corrupt or truncated"),
    ("moment gone", "resume", "it is of another optimizer"),
    ("moment of another shape", "resume", "exp_avg of parameter 0 has another shape"),
    ("a weight is not finite", "resume", "not finite"),
    ("baseline.npz: half", "evaluate", "baseline.npz: corrupt or truncated"),
    ("baseline.npz: device", "resume", "expected a file, got a device"),
    ("mixture.json: deep lists", "evaluate", "nested too deeply"),
    ("lines.npy: noise", "evaluate", "lines.npy: corrupt or truncated"),
    ("baseline.npz: noise", "generate", None),
    # what is only shown, or can be had again, is no reason to stop
    ("log.csv: long cell", "resume", None),
    ("log: columns gone", "resume", None),
    ("log: zeros in it", "resume", None),
    ("lens: deep", "resume", None),
    ("lens: infinite steps", "resume", None),
    ("summary.json: deep tables", "lens", None),
    ("summary.json: pipe", "lens", None),
    ("report.html: gone", "resume", None),
    ("tensorboard: pipe", "resume", None),
]


@pytest.mark.parametrize(("label", "use", "message"), KNOWN, ids=[f"{k[0]}-{k[1]}" for k in KNOWN])
def test_a_damage_that_is_known(run: Path, label: str, use: str, message: str | None) -> None:
    (case,) = (every for every in EVERY if every[1] == label)
    line = outcome(run, case[0], case[2], use)
    if message is None:
        assert line == ""
    else:
        assert message in line


def test_any_damage_is_one_line_or_none(run: Path) -> None:
    """A part of what `UNROLLED_FLIPS=100` and a loop over all of EVERY and USES go through."""
    draw = random.Random(0)
    for name, label, damage in [*draw.sample(EVERY, 25), ("log.csv", "flipped", flipped(1))]:
        use = draw.choice(list(USES))
        try:
            outcome(run, name, damage, use)
        except Exception as error:
            raise AssertionError(f"{label}, then {use}") from error
