"""What the kernels are made of is watched whole: a change anywhere in it builds them anew."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "unrolled"
CPU = PACKAGE / "engine" / "cpu"


@cache
def generator() -> frozenset[Path]:
    """Modules that write the C++ of the built-in cells."""
    script = (
        "import sys, unrolled.compiler.build as build\n"
        "build.builtin_source()\n"
        "names = ('unrolled.cells', 'unrolled.compiler')\n"
        "print(*(m.__file__ for n, m in sys.modules.items() if n.startswith(names)), sep='\\n')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return frozenset(Path(line).relative_to(ROOT) for line in done.stdout.split("\n") if line)


def test_the_generator_has_folders_within_folders() -> None:
    assert Path("src/unrolled/compiler/transforms/project.py") in generator()


def test_cmake_watches_all_of_the_generator() -> None:
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    found = re.search(r"file\(GLOB_RECURSE equations CONFIGURE_DEPENDS([^)]*)\)", text)
    assert found is not None
    patterns = [Path(p.replace("${package}", "src")) for p in found.group(1).split()]
    watched = {p for pattern in patterns for p in (ROOT / pattern.parent).rglob(pattern.name)}
    assert generator() <= {path.relative_to(ROOT) for path in watched}


@pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")
def test_make_watches_all_of_the_generator_and_of_the_engine() -> None:
    database = subprocess.run(
        ["make", "--print-data-base", "--dry-run", "setup"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rule = next(line for line in database.splitlines() if re.match(r"\.venv/\.ready-\d+:", line))
    engine = {p.relative_to(ROOT) for suffix in ("h", "cpp") for p in CPU.rglob(f"*.{suffix}")}
    assert engine
    assert generator() | engine <= {Path(word) for word in rule.partition(":")[2].split()}


def test_cells_of_ones_own_find_all_headers_that_they_include() -> None:
    """They are compiled where the package is installed, with the headers installed beside it."""
    installed = set(re.findall(r"\$\{cpu\}/(\w+\.h)", (ROOT / "CMakeLists.txt").read_text("utf-8")))
    needed, waiting = set[str](), ["functions.h", "row.h"]  # as compiler/cpp.py includes them
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += re.findall(r'#include "(\w+\.h)"', (CPU / name).read_text("utf-8"))
    assert needed <= installed
