"""The run: one process for each number of threads, its results collected."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from unrolled.bench.cases import Case
from unrolled.bench.machine import describe_machine, installed
from unrolled.bench.options import Options, available_processors
from unrolled.bench.report import Report, Result

# Confined before any library is loaded, since they count the processors then.
_PROGRAM = """
import os, sys
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, [int(word) for word in sys.argv[1:]])
from unrolled.bench.worker import main
main()
"""

Progress = Callable[[Report, Result, int], None]


def run(options: Options | None = None, progress: Progress | None = None) -> Report:
    """Measure.

    Args:
        options: What to measure; None: everything.
        progress: Called after each case with the report so far, the new result, and the number of
            cases in all.

    Returns:
        The report, which also names what could not be measured.
    """
    options = options or Options()
    start = time.monotonic()
    report = Report(describe_machine(), {peer: installed(peer) for peer in options.peers})
    groups = [options.cases(threads) for threads in options.thread_counts()]
    total = sum(map(len, groups))
    for cases in groups:
        for result in _measure_group(cases, options, report):
            report.results.append(result)
            report.elapsed = time.monotonic() - start
            if progress is not None:
                progress(report, result, total)
    return report


def _measure_group(cases: list[Case], options: Options, report: Report) -> Iterator[Result]:
    """Results of cases with one number of threads; one that kills the process is left out."""
    missing = {peer: "not installed" for peer, version in report.peers.items() if version is None}
    while cases:
        rates: dict[str, float] = {}
        running: Case | None = None
        words = _Worker(cases, options, report)
        for message in words:
            if "rate" in message:
                dtype = message["dtype"]
                rates[dtype] = max(message["rate"], rates.get(dtype, 0.0))
            elif "begin" in message:
                running = Case(**message["begin"])
            elif "machine" in message:
                report.machine["kernels"] = message["machine"]["instruction_set"]
            else:
                found = message["result"]
                case = cases.pop(0)
                absent = {**missing, **found["absent"]}
                yield Result(
                    case, found["times"], absent, rates[case.dtype], found.get("disturbance")
                )
                running = None
        if cases:
            if running is None:
                raise RuntimeError(f"the measuring process ended early: {words.last_words}")
            cases.pop(0)
            yield Result(running, failure=words.last_words)


class _Worker:
    """A measuring process; iterating over it gives its messages."""

    def __init__(self, cases: list[Case], options: Options, report: Report) -> None:
        self._told = json.dumps(
            {
                "threads": cases[0].threads,
                "cases": [case.asdict() for case in cases],
                "peers": [peer for peer, version in report.peers.items() if version is not None],
                "rounds": options.rounds,
                "seconds": options.seconds,
            }
        )
        self._threads = cases[0].threads
        self.last_words = ""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        # The last ones: the first processor of a machine serves its interrupts.
        processors = available_processors()[-self._threads :]
        environment = os.environ | {
            "OMP_NUM_THREADS": str(self._threads),
            "JAX_PLATFORMS": "cpu",
        }
        environment.pop("GOMP_SPINCOUNT", None)  # the command's own; the peers run as they are
        command = [sys.executable, "-c", _PROGRAM, *map(str, processors)]
        with (
            tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors,
            subprocess.Popen(  # noqa: S603 (our own words, no shell)
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                text=True,
            ) as process,
        ):
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(self._told)
                process.stdin.close()
                for line in process.stdout:
                    yield json.loads(line)
            finally:
                process.kill()  # if it has ended, nothing
            code = process.wait()
            errors.seek(0)
            said = errors.read().strip().splitlines()
            self.last_words = f"exit status {code}" + (f", {said[-1]}" if said else "")
