"""``unrolled bench``: the layers' speed beside other libraries."""

from __future__ import annotations

import json as jsonlib
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from unrolled.bench.options import Options
from unrolled.errors import RUNTIME, UserError
from unrolled.files import write_file
from unrolled.ranges import Range

from .flags import CASES, RUN
from .output import line as print_line


def bench(
    *,
    options: Annotated[Options, Parameter(name="*", group=CASES)] = Options(),  # noqa: B008
    check: Annotated[float | None, Range(0, 1e12), Parameter(group=RUN)] = None,
    out: Annotated[Path, Parameter(group=RUN)] = Path("runs/bench"),
    json: Annotated[bool, Parameter(group=RUN, negative=())] = False,
) -> int:
    """Measure the layers' speed beside other libraries.

    Writes bench.json and bench.svg to a folder, and prints tables.

    Args:
        options: What to measure.
        check: Exit with 1 if a ratio to the best peer is below this, or cannot be told.
        out: Folder for the results; those of an earlier run are replaced.
        json: Print the results as JSON.
    """
    from rich.console import Console

    from unrolled.bench import Report, Result, run
    from unrolled.bench.picture import picture
    from unrolled.bench.table import line, tables

    out.mkdir(parents=True, exist_ok=True)

    def as_json(report: Report) -> str:
        return jsonlib.dumps(report.as_json(), allow_nan=False)

    def progress(report: Report, result: Result, total: int) -> None:
        sys.stderr.write(f"[{len(report.results)}/{total}] {line(result)}\n")
        # whatever ends the run leaves what was measured
        write_file(out / "bench.json", as_json(report).encode())
        write_file(out / "bench.svg", picture(report).encode())

    report = run(options, progress)
    if json:
        print_line(as_json(report))
    else:
        console = Console(width=None if sys.stdout.isatty() else 120)
        console.print(tables(report))
    if check is not None and (low := report.below(check)):
        raise UserError(
            f"--check {check:g}: {len(low)} of {len(report.results)} cases are below: "
            + "; ".join(line(result) for result in low),
            code=RUNTIME,
        )
    return 0
