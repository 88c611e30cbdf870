"""Set up .venv: everything that the project needs to run, build and test.

Run by `make`, with any Python ≥ 3.11; needs a C++ compiler and a package index. Where no NVIDIA GPU
is present it takes the CPU build of PyTorch, which is a tenth of the size of the default one. With
the name of an extra it adds that extra's packages to what is there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
CONSTRAINTS = ROOT / "constraints.txt"
PYTHON = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def attempt(*command: str) -> bool:
    """Run quietly; whether it worked."""
    return subprocess.run([str(PYTHON), "-m", *command], capture_output=True).returncode == 0


def pip(*arguments: str) -> None:
    """Install, at the constraints' versions."""
    command = [str(PYTHON), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]  # errors
    if subprocess.run([*command, "--constraint", str(CONSTRAINTS), *arguments]).returncode:
        sys.exit(f"setup: pip could not install {' '.join(arguments)}; its message is above")


def install_torch() -> None:
    """PyTorch for this machine."""
    if attempt("torch.version"):
        return
    if sys.platform != "linux" or shutil.which("nvidia-smi"):
        pip("torch")
        return
    pinned = next(
        line for line in CONSTRAINTS.read_text().splitlines() if line.startswith("torch==")
    )
    # CPU builds carry a label of their own where an index or folder offers them beside the others;
    # else uv knows where PyTorch keeps them.
    if attempt("pip", "install", f"{pinned}+cpu"):
        return
    pip("uv")
    if attempt("uv", "pip", "install", "--python", str(PYTHON), "--torch-backend=cpu", pinned):
        return
    print("No CPU build of PyTorch was found; taking the default one, which is large.", flush=True)
    pip("torch")


def install_extra(extra: str) -> None:
    """The packages of an extra, each by itself: who asks for many may do with some."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    print(f"Installing what {extra} needs (once) …", flush=True)
    command = ("pip", "install", "--disable-pip-version-check", "--constraint", str(CONSTRAINTS))
    packages = project["project"]["optional-dependencies"][extra]
    missing = [package for package in packages if not attempt(*command, package)]
    if missing:
        sys.exit(f"setup: pip could not install {', '.join(missing)}; going on without")


def main() -> None:
    """Create the environment, or complete it."""
    if sys.version_info < (3, 11):
        sys.exit(f"setup: Python 3.11 or newer is needed, this is {sys.version.split()[0]}")
    if not any(shutil.which(name) for name in ("c++", "g++", "clang++")):
        sys.exit("setup: a C++ compiler is needed, and none of c++, g++, clang++ was found")
    print("Setting up .venv (once; a few minutes where packages must be fetched) …", flush=True)
    if not PYTHON.exists():
        venv.create(ENVIRONMENT, with_pip=True)
    install_torch()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pip(*project["build-system"]["requires"], "cmake", "ninja")
    # Without isolation the build keeps its folder, and a second one takes seconds.
    pip("--no-build-isolation", "-Cbuild-dir=build/editable", "--editable", f"{ROOT}[dev]")


if __name__ == "__main__":
    if sys.argv[1:]:
        install_extra(sys.argv[1])
    else:
        main()
