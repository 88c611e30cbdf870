"""``unrolled lens``: past steps that still reach the loss, and the lag experiment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from unrolled.page.launch import PORT, PORTS
from unrolled.tasks.lag.options import PROCESSES, LagOptions

from .flags import CASES, RUN
from .output import loading


def lens_app() -> App:
    """``unrolled lens`` and ``unrolled lens lag``."""
    app = App(name="lens", help="See which past steps still reach the loss, in a browser.")
    app.default(open_lens)
    app.command(lag)
    return app


def open_lens(
    *runs: Annotated[Path, Parameter(name="RUN")],
    port: Annotated[int, PORTS] = PORT,
    host: str = "127.0.0.1",
    open: bool = True,  # noqa: A002
) -> int:
    """Open the lens: the worked example and, with RUN, what a model that was trained remembers.

    A page in the browser, served by this machine to itself; it needs no network. Ctrl-C ends it.

    Args:
        runs: Folders of runs to inspect; one called lag as ./lag, since `lens lag` is a command.
        port: Where the page is served; 0 for any free port.
        host: Address to bind to; with another than loopback, other machines can reach the page.
        open: Open the browser.
    """
    from unrolled.page.launch import launch

    launch(runs, host=host, port=port, open_browser=open)
    return 0


def lag(
    *,
    options: Annotated[LagOptions, Parameter(name="*", group=CASES)] = LagOptions(),  # noqa: B008
    no_clip: Annotated[bool, Parameter(group=CASES, negative=())] = False,
    out: Annotated[Path, Parameter(group=RUN)] = Path("runs/lag"),
    overwrite: Annotated[bool, Parameter(group=RUN, negative=())] = False,
    processes: Annotated[int | None, PROCESSES, Parameter(group=RUN)] = None,
    quiet: Annotated[bool, Parameter(group=RUN, negative=())] = False,
) -> int:
    """Show how far back cells can learn to remember: success and influence against the lag.

    Trains small models on problems whose lag is a dial, and writes lag.svg, lag.png, report.html
    and results.json. Ctrl-C loses nothing: the same command goes on with what is missing, and one
    with more cells or lags adds them.

    Args:
        options: What to train.
        no_clip: Leave the gradient as it is; the same as --clip 0.
        out: Folder of the results.
        overwrite: Train everything anew.
        processes: Models trained at a time. [default: one for each processor]
        quiet: Show no progress.
    """
    with loading(f"training in {out}", quiet=quiet):
        from unrolled.tasks.lag import command

    if no_clip:
        options = replace(options, clip=0)
    return command.run(options, out, overwrite=overwrite, processes=processes, quiet=quiet)
