"""From C++ to a kernel that can be called: compiled, or taken from the cache, and loaded."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from .. import _cpu
from .library_cache import (
    UnavailableError,
    cache_folder,
    cached,
    forget,
    is_whole,
    keep,
    workshop,
)

_INCLUDE = Path(_cpu.__file__).parent / "include"
"""The headers that the module was built with, which are installed beside it."""

_COMPILERS = ("c++", "g++", "clang++")
_INSTALL = (
    "Install one (apt install g++, dnf install gcc-c++, xcode-select --install) or name one in $CXX"
)
_PATIENCE = 600
"""Seconds after which a compiler is taken to hang; a kernel takes about one."""


class Library(NamedTuple):
    """A compiled library.

    Attributes:
        path: its file, in the cache.
        symbol: its one function.
        fresh: whether it was compiled just now.
    """

    path: Path
    symbol: str
    fresh: bool


def load_kernel(target: str, name: str, source: str, flags: str) -> None:
    """Make the kernel of a translation unit known; its library stays open for ever.

    Args:
        target: what it is compiled for.
        name: the name that it is to be called by.
        source: C++, as `library_source` writes it.
        flags: of the compiler, for the target.

    Raises:
        UnavailableError: if it cannot be compiled, kept or loaded.
    """
    library = compiled(source, flags)
    try:
        _cpu.add_kernel(target, name, str(library.path), library.symbol)
        return
    except RuntimeError as error:
        forget(library.path)
        if library.fresh:
            raise UnavailableError(
                f"a compiled kernel cannot be loaded: {error}",
                "If the cache's file system forbids to execute files, name another folder in "
                "$UNROLLED_CACHE",
            ) from None
    load_kernel(target, name, source, flags)  # what was in the cache is gone: compile anew


def compiled(source: str, flags: str) -> Library:
    """The library of a translation unit: from the cache, or compiled now.

    Raises:
        UnavailableError: if it cannot be compiled or kept.
    """
    compiler = _compiler()
    command = [*compiler, *shlex.split(flags), "-fPIC", "-shared"]
    key = _digest([source, *_headers(), shlex.join(command), _identity(compiler)])
    symbol = f"unrolled_{key}"
    folder = cache_folder()
    if (kept := cached(folder, key)) is not None:
        return Library(kept, symbol, fresh=False)
    with workshop(folder) as place:
        text, made = place / "kernel.cpp", place / "kernel.so"
        text.write_text(source, encoding="utf-8")
        names = [f"-DUNROLLED_SYMBOL={symbol}", f"-I{_INCLUDE}", str(text), "-o", str(made)]
        _run([*command, *names], place)
        if not is_whole(made):
            raise UnavailableError(
                f"the C++ compiler {compiler[0]} made no library, and said nothing", _INSTALL
            )
        return Library(keep(folder, key, made), symbol, fresh=True)


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
