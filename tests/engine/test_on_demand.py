# ruff: noqa: N805 - a step has no self
"""Kernels compiled on first use: when they are, where they are kept, and what if they cannot be."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from unrolled.cells import Cell, tanh
from unrolled.compiler.program import Program
from unrolled.engine import cpu
from unrolled.engine.choice import Choice, choose, using
from unrolled.engine.cpu import (
    FLOAT32_SETS,
    INSTRUCTION_SETS,
    KernelWarning,
    library,
    library_cache,
    on_demand,
)
from unrolled.engine.weights import program_of

from .cases import Shape, by_kernels, case, exact, largest, numbers, request_of

X = torch.zeros(2, 2, 3)
ISA = "baseline"  # compiles in a third of the time
TIME_LIMIT = 90  # seconds, for a process that takes three on an idle machine


class Mine(Cell):
    """A user's cell."""

    def step(W: Any, U: Any, x: Any, h: Any) -> Any:
        return tanh(W.a(x) + U.a(h)) + 0.25 * h


class Yours(Cell):
    """The same equations under another name."""

    def step(W: Any, U: Any, x: Any, h: Any) -> Any:
        return tanh(W.a(x) + U.a(h)) + 0.25 * h


MINE, YOURS = program_of(Mine()), program_of(Yours())


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache, for a process that has not compiled anything yet."""
    found = tmp_path / "cache" / "unrolled"
    monkeypatch.setenv("UNROLLED_CACHE", str(found))
    monkeypatch.setattr(on_demand, "_settled", {})
    monkeypatch.setattr(on_demand, "_warned", set())
    return found


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The places where the compiler has been run."""
    places: list[Path] = []
    run = library._run

    def spy(command: Any, place: Path | None = None) -> str:
        if place is not None:
            places.append(place)
        return run(command, place)

    monkeypatch.setattr(library, "_run", spy)
    return places


def forget() -> None:
    """As if the process had just begun."""
    on_demand._settled.clear()
    on_demand._warned.clear()


def only(folder: Path) -> Path:
    """The one library of a cache that holds nothing else."""
    (found,) = folder.iterdir()
    assert found.suffix == ".so"
    return found


def test_compiled_once_and_kept(folder: Path, compiled: list[Path]) -> None:
    """Once a process it is looked for, once a machine it is compiled."""
    for _ in range(2):
        assert cpu.ensure(MINE, ISA) is None
    assert len(compiled) == 1
    forget()
    assert cpu.ensure(MINE, ISA) is None
    assert len(compiled) == 1
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(only(folder).stat().st_mode) == 0o700


def test_a_name_is_no_part_of_a_library(folder: Path, compiled: list[Path]) -> None:
    assert cpu.ensure(MINE, ISA) is None
    assert cpu.ensure(YOURS, ISA) is None
    assert len(compiled) == 1
    only(folder)


def test_two_classes_of_one_name(folder: Path) -> None:
    """Each has its own kernels."""

    class Mine(Cell):
        def step(W: Any, U: Any, x: Any, h: Any) -> Any:
            return tanh(W.a(x) - U.a(h))

    other = program_of(Mine())
    assert other.name != MINE.name
    shape = Shape(3, 2, 5)
    for program in (MINE, other):
        outputs, _ = numbers(case(program, shape), by_kernels(ISA), torch.float32)
        assert largest(outputs, exact(program, shape)[0]) < 1e-5
    assert len(list(folder.iterdir())) == 2


def test_one_library_for_each_target(folder: Path, compiled: list[Path]) -> None:
    """Instruction sets that differ in products only share it."""
    for isa in INSTRUCTION_SETS:
        assert cpu.ensure(MINE, isa) is None
    assert len(compiled) == len(FLOAT32_SETS)


def chosen(program: Program, x: torch.Tensor = X) -> Choice:
    return choose(request_of(program, [x]))


def test_the_choice(folder: Path, compiled: list[Path]) -> None:
    """The kernels, where they would run; nothing is compiled for nothing."""
    for engine in ("reference", "torch"):
        with using(engine):
            assert chosen(MINE).engine.name == "reference"
    assert chosen(MINE, X.double()).engine.name == "reference"
    assert not compiled
    with using(ISA):
        found = chosen(MINE)
    assert (found.engine.name, found.reasons) == ("kernels", ())
    assert len(compiled) == 1


def test_threads_wait_for_one_compilation(folder: Path, compiled: list[Path]) -> None:
    found: list[str | None] = []
    threads = [
        threading.Thread(target=lambda: found.append(cpu.ensure(MINE, ISA))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [None] * 4
    assert len(compiled) == 1


# What a library in the cache may have become.


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:5000])


def changed(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def opened(file: Path) -> None:
    file.chmod(0o722)


def linked(file: Path) -> None:
    elsewhere = file.parent.parent / "elsewhere.so"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)


def test_what_is_not_whole_or_not_ours_is_made_again(folder: Path, compiled: list[Path]) -> None:
    assert cpu.ensure(MINE, ISA) is None
    good = only(folder).read_bytes()
    for count, spoil in enumerate([truncated, changed, emptied, opened, linked], 2):
        # not the file that this process runs: it may not be cut under its feet
        file = only(folder)
        file.unlink()
        file.write_bytes(good)
        file.chmod(0o700)
        spoil(file)
        forget()
        assert cpu.ensure(MINE, ISA) is None, spoil
        assert len(compiled) == count, spoil
        status = only(folder).lstat()
        assert stat.S_ISREG(status.st_mode), spoil
        assert stat.S_IMODE(status.st_mode) == 0o700, spoil
        assert only(folder).read_bytes() == good, spoil


def other_libraries(good: bytes) -> dict[str, bytes]:
    """Files that a crash, a full disk or a mistake leaves where a library should be."""
    return {
        "nothing": b"",
        "no library": b"not a library",
        "its first half": good[: len(good) // 2],
        "all but its end": good[:-1],
        "its header": good[:64],
    }


def test_what_cannot_be_loaded_does_not_stay(folder: Path) -> None:
    """Under the right name, its digest included: it gives way to one that can."""
    assert cpu.ensure(MINE, ISA) is None
    good = only(folder).read_bytes()
    key = only(folder).name.split(".", 1)[0]
    for what, bad in other_libraries(good).items():
        for file in folder.iterdir():
            file.unlink()
        (folder / library_cache._name(key, bad)).write_bytes(bad)
        forget()
        assert cpu.ensure(MINE, ISA) is None, what
        assert library_cache.cached(folder, key) == only(folder), what


def test_a_library_of_another_kernel_does_not_stay(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library proves by its symbol that it is what its name says; else it is compiled anew."""
    assert cpu.ensure(MINE, ISA) is None
    file = only(folder)
    key, rest = file.name.split(".", 1)
    other = folder / f"{'0' * len(key)}.{rest}"
    file.rename(other)
    monkeypatch.setattr(library, "_digest", lambda parts: "0" * len(key))
    forget()
    assert cpu.ensure(MINE, ISA) is None
    assert not other.exists()
    assert only(folder).name.startswith("0" * len(key))


def test_a_compiler_that_makes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exit status is 0, and there is no library: the reference runs, and nothing is kept."""
    monkeypatch.setenv("CXX", "true")
    with pytest.warns(KernelWarning, match="made no library"):
        assert cpu.ensure(MINE, ISA) is not None
    assert list(folder.glob("*.so")) == []


# Why there may be no kernels, and what is then said.


@pytest.fixture
def unwritable(folder: Path) -> Iterator[Path]:
    """A folder of ours in which nothing can be written; root can write everywhere but in /proc."""
    if os.geteuid() == 0:
        yield Path("/proc")
    else:
        folder.mkdir(mode=0o500, parents=True)
        yield folder


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return str(path)


def refused(program: Any = MINE) -> str:
    """The reason for which the reference runs a call, which one warning has told."""
    with using(ISA):
        with pytest.warns(KernelWarning) as caught:
            found = chosen(program)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert chosen(program) == found
    assert found.engine.name == "reference"
    (warning,) = caught
    reason, *_ = found.reasons
    said = str(warning.message)
    assert said.startswith(f"{reason}: {program.name} runs on the reference, 10-100 times slower")
    return said


def test_without_a_compiler(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    said = refused()
    assert said.startswith("no C++ compiler was found (tried $CXX, c++, g++, clang++): mine runs")
    assert "apt install g++" in said
    with warnings.catch_warnings():  # what was said of one cell is not said of the next
        warnings.simplefilter("error")
        assert chosen(YOURS).engine.name == "reference"


def test_with_a_compiler_that_is_not_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler -O2")
    assert refused().startswith("there is no C++ compiler no-such-compiler, which $CXX names: ")


def test_with_a_cxx_that_is_no_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "'g++")
    assert refused().startswith("$CXX is no command: No closing quotation: ")


def test_with_a_compiler_that_fails(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The warning has its first error, and nothing is left behind."""
    text = 'case "$*" in *--version*) exit 0;; esac; echo note >&2; echo "x: error: no" >&2; exit 1'
    compiler = script(tmp_path / "failing", text)
    monkeypatch.setenv("CXX", compiler)
    assert refused().startswith(f"the C++ compiler {compiler} failed: x: error: no: ")
    assert list(folder.iterdir()) == []


def test_with_a_compiler_that_does_not_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compiler = script(tmp_path / "broken", "")
    Path(compiler).write_bytes(b"\x7fELF nothing")
    monkeypatch.setenv("CXX", compiler)
    assert refused().startswith(f"the C++ compiler {compiler} does not run: ")


def test_with_a_cache_that_cannot_be_written(
    unwritable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNROLLED_CACHE", str(unwritable))
    said = refused()
    assert said.startswith("compiled kernels cannot be kept: ")
    assert str(unwritable) in said
    assert "Name another folder in $UNROLLED_CACHE" in said


def test_with_a_cache_that_cannot_be_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("UNROLLED_CACHE", str(tmp_path / "file" / "cache"))
    assert refused().startswith("there is no folder for compiled kernels: ")


def test_with_a_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(library, "keep", full)
    assert "cannot be kept: [Errno 28] No space left on device: " in refused()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("mode", [0o777, 0o720], ids=["all", "group"])
def test_with_a_cache_that_others_can_write_in(folder: Path, mode: int) -> None:
    """What they put there would run as this user."""
    assert cpu.ensure(MINE, ISA) is None
    folder.chmod(mode)
    forget()
    assert refused().startswith(f"others can write in {folder}, where compiled kernels are kept: ")


def test_with_somebody_elses_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cpu.ensure(MINE, ISA) is None
    forget()
    somebody = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: somebody)
    assert refused().startswith(f"others can write in {folder}, where compiled kernels are kept: ")


def test_with_more_vectors_than_a_kernel_holds(folder: Path) -> None:
    names = ", ".join(f"h{k}" for k in range(70))
    namespace: dict[str, Any] = {"tanh": tanh}
    exec(
        f"def step(W, U, x, {names}):\n"
        f"    return tanh(W.a(x) + U.a(h0) + {names.replace(', ', ' + ')}), {names[:-5]}",
        namespace,
    )
    program = program_of(type("Wide", (Cell,), {"step": namespace["step"]})())
    assert "wide cannot be written as a kernel (a stage of the step names" in refused(program)
    assert not folder.exists()


# Where the cache is.


def test_the_users_own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("UNROLLED_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert library_cache.cache_folder() == tmp_path / "xdg" / "unrolled"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says its specification
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert library_cache.cache_folder() == tmp_path / ".cache" / "unrolled"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert library_cache.cache_folder() == tmp_path / "Library" / "Caches" / "unrolled"


def test_what_a_killed_process_left_is_swept_away_in_time(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o700)
    old, young = folder / "making-old", folder / "making-young"
    for place in (old, young):
        place.mkdir()
        (place / "kernel.cpp").touch()
    yesterday = time.time() - 2 * 86400
    os.utime(old, (yesterday, yesterday))
    assert cpu.ensure(MINE, ISA) is None
    assert not old.exists()
    assert young.exists()  # somebody may be at work in it


# Processes of their own.

CHILD = """
import sys
from unrolled.cells import Cell, tanh
from unrolled.engine import cpu
from unrolled.engine.weights import program_of

class Mine(Cell):
    def step(W, U, x, h):
        return tanh(W.a(x) + U.a(h)) + 0.25 * h

PROGRAM = program_of(Mine())
"""
ENSURE = f'assert cpu.ensure(PROGRAM, "{ISA}") is None'
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def run(code: str, **environment: str) -> int:
    """Exit status of a process; a hang is a failure."""
    command = [sys.executable, "-c", CHILD + code]
    return subprocess.run(command, env=os.environ | environment, timeout=TIME_LIMIT).returncode


@needs_fork
def test_several_processes_at_once(folder: Path) -> None:
    """Each compiles for itself, and one file comes out."""
    code = f"""
import os
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        {ENSURE}
        os._exit(0)
    children.append(child)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""
    assert run(code) == 0
    only(folder)


@needs_fork
def test_forked_while_another_thread_compiles(folder: Path) -> None:
    """The child does not wait for a lock that nobody will release."""
    code = f"""
import os, signal
from unrolled.engine.cpu import on_demand
on_demand._lock.acquire()
child = os.fork()
if child == 0:
    signal.alarm({TIME_LIMIT // 2})
    {ENSURE}
    os._exit(0)
sys.exit(os.waitpid(child, 0)[1] != 0)
"""
    assert run(code) == 0


def test_killed_while_it_compiles(folder: Path, tmp_path: Path) -> None:
    """What it had written by then is nobody's kernel."""
    real = library._compiler()[0]
    compiler = script(
        tmp_path / "killer",
        f'case "$*" in *--version*) exec {real} --version;; esac\n'
        'for made; do :; done; echo half > "$made"; kill -9 $PPID',
    )
    assert run(ENSURE, CXX=compiler) == -9
    (left,) = folder.iterdir()
    assert left.name.startswith("making-")
    assert [file.suffix for file in left.glob("*.so")] == [".so"]
    assert cpu.ensure(MINE, ISA) is None
    assert len(list(folder.glob("*.so"))) == 1
