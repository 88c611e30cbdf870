"""The process: signals, encodings, exit codes, and one line for every problem."""

from __future__ import annotations

import codecs
import gc
import io
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any, NoReturn

from cyclopts import CycloptsError

from unrolled import tasks
from unrolled.bench.options import OptionsError
from unrolled.errors import RUNTIME, USAGE, UserError, reason
from unrolled.training.interruption import ending_signals

from .application import application


def run(arguments: Sequence[str]) -> int:
    """Run one command.

    Every problem a user can put right becomes one line on stderr.

    Returns:
        The exit code: 0, 2 for a mistake in what was asked, 1 for what went wrong on the way,
        128 + N after signal N.
    """
    words = list(arguments)
    try:
        code: Any = application(tasks.TASKS, words)(
            words, exit_on_error=False, print_error=False, result_action="return_value"
        )
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except UserError as error:
        return _fail(str(error), error.code)
    except (CycloptsError, OptionsError) as error:
        return _fail(str(UserError(str(error))), USAGE)
    except KeyboardInterrupt:
        return _fail("interrupted", 128 + signal.SIGINT)
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{reason(error)}", RUNTIME)
    except MemoryError:
        return _fail("out of memory", RUNTIME)
    except RuntimeError as error:
        if not _is_short_of_memory(error):
            raise
        return _fail("out of memory", RUNTIME)


def _is_short_of_memory(error: RuntimeError) -> bool:
    """Whether torch could not allocate; of the CPU's memory it says so in words only."""
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"unrolled: {message}\n")
    return code


SPINS = "GOMP_SPINCOUNT"
"""The variable with the number of times that an idle thread of torch looks for work."""


def main() -> NoReturn:
    """Entry point of the ``unrolled`` command."""
    # Without this they look for milliseconds, and where another program wants a processor as well,
    # each of torch's operations takes as long. It is read when torch is loaded.
    os.environ.setdefault(SPINS, "5000")
    # Like Ctrl-C, so that a half-built run is cleared away; training has its own way.
    for number in ending_signals():
        if number != signal.SIGINT:
            signal.signal(number, _terminate)
    write_any_character()
    code = run(sys.argv[1:])
    gc.freeze()  # or Python would look through all that torch made once more, for half a second
    sys.exit(code)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def write_any_character() -> None:
    """Let standard output replace what its encoding lacks, unless the user chose otherwise."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            # in UTF-8 only lone surrogates are lacking: bytes of a file's name that is not UTF-8
            utf8 = codecs.lookup(stream.encoding).name == "utf-8"
            stream.reconfigure(errors="backslashreplace" if utf8 else "replace")
