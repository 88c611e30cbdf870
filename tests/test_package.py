"""The package as a whole: quick to import, and its rooms in order."""

from __future__ import annotations

import ast
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import unrolled

SOURCE = Path(unrolled.__file__).parent

# Imports go down this list only.
ROOMS = (
    "errors",
    "files",
    "cells",
    "compiler",
    "options",
    "engine",
    "layers",
    "lens",
    "training",
    "tasks",
    "page",
    "cli",
)
BESIDE_LENS = ("bench",)  # may import layers and below
TORCH_FREE = ("errors", "files", "cells", "compiler")


def room_of(module: Path) -> str:
    return module.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(module: Path) -> set[str]:
    """Absolute names of all modules that a file imports, at its top or inside."""
    package = ["unrolled", *module.relative_to(SOURCE).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*start, *([node.module] if node.module else [])])
            found |= {name, *(f"{name}.{alias.name}" for alias in node.names)}
    return found


MODULES = sorted(path for path in SOURCE.rglob("*.py") if room_of(path) in (*ROOMS, *BESIDE_LENS))


def test_there_are_modules() -> None:
    assert {room_of(path) for path in MODULES} >= set(ROOMS)


def test_imports_go_down_only() -> None:
    """Nothing lower knows anything higher."""
    for module in MODULES:
        room = room_of(module)
        lower = ROOMS[: ROOMS.index("layers" if room in BESIDE_LENS else room) + 1]
        allowed = {*lower, room}
        path = module.relative_to(SOURCE).as_posix()
        for name in imports(module):
            parts = name.split(".")
            ours = parts[0] == "unrolled" and len(parts) > 1
            if room == "cli" and parts[1:2] == ["bench"]:
                continue  # the command line is above everything
            if ours and parts[1] in (*ROOMS, *BESIDE_LENS):
                assert parts[1] in allowed, f"{path} imports {name}"


def test_equations_and_compiler_know_no_torch() -> None:
    """The build runs them before torch is there."""
    for module in MODULES:
        if room_of(module) in TORCH_FREE:
            assert "torch" not in {name.split(".")[0] for name in imports(module)}, module


def imported_by(statement: str) -> set[str]:
    """Top-level modules that a statement loads, in a process of its own."""
    command = f"{statement}; import sys; print(*sorted({{n.split('.')[0] for n in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = {"torch", "sympy", "numpy", "lightning_fabric", "lightning", "matplotlib"}
    assert not imported_by("import unrolled") & heavy


def test_equations_load_no_torch() -> None:
    assert not imported_by("import unrolled.cells") & {"torch", "sympy"}
    assert not imported_by("import unrolled as u; u.mathml(u.cells.GRU)") & {"torch", "sympy"}
    assert "torch" not in imported_by("import unrolled.compiler.build")


def test_equations_load_no_compiler() -> None:
    """The step up is taken when a method is called, not before."""
    command = "import sys, unrolled.cells; assert 'unrolled.compiler' not in sys.modules"
    subprocess.run([sys.executable, "-c", command], check=True)


def test_running_a_layer_needs_no_sympy_of_ours() -> None:
    """Kernels of built-in cells are ready made: the engine does not differentiate anything."""
    run = "import torch, unrolled; unrolled.LSTM(3, 4)(torch.zeros(9, 2, 3)).__class__"
    assert not imported_by(run) & {"unrolled.compiler.differentiate", "sympy"}


def test_the_version_is_the_distributions() -> None:
    assert unrolled.__version__ == importlib.metadata.version("unrolled")


@pytest.mark.parametrize("name", unrolled.__all__)
def test_public_names_exist(name: str) -> None:
    assert getattr(unrolled, name) is not None
    assert name in dir(unrolled)


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'unrolled' has no attribute 'Lstm'"):
        unrolled.Lstm  # noqa: B018


def test_the_package_is_typed() -> None:
    assert (SOURCE / "py.typed").exists()
