"""From C++ to a kernel in memory: compiled, or taken from the cache, and loaded."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from .. import _cpu
from .library_cache import UnavailableError, cache_folder, cached, keep, workshop

_INCLUDE = Path(_cpu.__file__).parent / "include"
"""The headers that the module was built with, which are installed beside it."""

_COMPILERS = ("c++", "g++", "clang++")
_INSTALL = (
    "Install one (apt install g++, dnf install gcc-c++, xcode-select --install) or name one in $CXX"
)
_PATIENCE = 600
"""Seconds after which a compiler is taken to hang; a kernel takes about one."""


def kernel_address(source: str, flags: str) -> int:
    """Where in memory the kernel of a translation unit lies; its library stays open for ever.

    Args:
        source: C++, as `library_source` writes it.
        flags: of the compiler, for the target that is to run it.

    Raises:
        UnavailableError: if it cannot be compiled, kept or loaded.
    """
    compiler = _compiler()
    command = [*compiler, *shlex.split(flags), "-fPIC", "-shared"]
    key = _digest([source, *_headers(), shlex.join(command), _identity(compiler)])
    symbol = f"unrolled_{key}"
    folder = cache_folder()
    library = cached(folder, key)
    if library is None:
        with workshop(folder) as place:
            text, made = place / "kernel.cpp", place / "kernel.so"
            text.write_text(source, encoding="utf-8")
            names = [f"-DUNROLLED_SYMBOL={symbol}", f"-I{_INCLUDE}", str(text), "-o", str(made)]
            _run([*command, *names], place)
            library = keep(folder, key, made)
    try:
        # By its symbol a library proves that it is what the key stands for.
        function = getattr(ctypes.CDLL(str(library)), symbol)
    except (OSError, AttributeError) as error:
        raise UnavailableError(
            f"a compiled kernel cannot be loaded: {error}",
            "If the cache's file system forbids to execute files, name another folder in "
            "$UNROLLED_CACHE",
        ) from error
    function.restype = ctypes.c_void_p
    return int(function())


def _compiler() -> tuple[str, ...]:
    """$CXX, which may bring options, or the first compiler on the path."""
    try:
        given = shlex.split(os.environ.get("CXX", ""))
    except ValueError as error:
        raise UnavailableError(f"$CXX is no command: {error}", _INSTALL) from None
    if given:
        found = shutil.which(given[0])
        if found is None:
            raise UnavailableError(
                f"there is no C++ compiler {given[0]}, which $CXX names", _INSTALL
            )
        return found, *given[1:]
    for name in _COMPILERS:
        found = shutil.which(name)
        if found is not None:
            return (found,)
    raise UnavailableError(
        f"no C++ compiler was found (tried $CXX, {', '.join(_COMPILERS)})", _INSTALL
    )


@cache
def _identity(compiler: tuple[str, ...]) -> str:
    """What the compiler says of itself."""
    return _run([*compiler, "--version"])


@cache
def _headers() -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted(_INCLUDE.iterdir())]


def _run(command: Sequence[str], temporary: Path | None = None) -> str:
    """Run the compiler, which puts its own temporary files where told."""
    environment = os.environ if temporary is None else os.environ | {"TMPDIR": str(temporary)}
    try:
        done = subprocess.run(  # noqa: S603 - the user's own compiler
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(
            f"the C++ compiler {command[0]} does not run: {error}", _INSTALL
        ) from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        first = next((line for line in said if "error" in line.lower()), said[-1])
        if temporary is not None:  # the same fault is the same words
            first = first.replace(f"{temporary}{os.sep}", "")
        raise UnavailableError(f"the C++ compiler {command[0]} failed: {first.strip()}", _INSTALL)
    return done.stdout


def _digest(parts: Sequence[str]) -> str:
    """One name for all parts; where one ends and the next begins matters."""
    found = hashlib.sha256()
    for part in parts:
        data = part.encode()
        found.update(len(data).to_bytes(8, "little") + data)
    return found.hexdigest()[:32]
