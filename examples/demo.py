"""The first minute: a character model learns the documentation that ships inside Python.

Nothing is downloaded: the text is what ``help()`` shows. Afterwards the model writes some itself.
"""

from __future__ import annotations

import shlex
import sys
import webbrowser
from pathlib import Path
from pydoc_data.topics import topics

from unrolled import cli

FOLDER = Path("runs")
RUN = FOLDER / "demo"
TIME = "60s"


def run(*words: str) -> None:
    """Do what the command line would, and show what one would type."""
    print(f"\n$ unrolled {shlex.join(words)}", flush=True)
    code = cli.run(words)
    if code:
        sys.exit(code)


def main() -> None:
    """Write the text, train, generate."""
    FOLDER.mkdir(exist_ok=True)
    book = FOLDER / "python.txt"
    book.write_text("\n\n".join(topics[name] for name in sorted(topics)), encoding="utf-8")
    size = ["--cell", "gru", "--hidden-size", "320", "--num-layers", "1", "--batch-size", "32"]
    pace = ["--seq-len", "64", "--lr", "0.005", "--max-time", TIME]
    run("train", "text", str(book), *size, *pace, "--out", str(RUN), "--overwrite")
    run("generate", str(RUN), "--prompt", "The object ", "--length", "400", "--temperature", "0.6")
    report = (RUN / "report.html").resolve()
    print(f"\nIts report: {report.as_uri()}")
    if sys.stdout.isatty():
        webbrowser.open(report.as_uri())


if __name__ == "__main__":
    main()
