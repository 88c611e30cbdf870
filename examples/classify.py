"""Code or prose? A classifier learns to tell lines of Python from lines of its documentation.

Nothing is downloaded: the lines are those of modules and help texts that ship with Python.
"""

from __future__ import annotations

import inspect
import json
import textwrap
from pathlib import Path
from pydoc_data.topics import topics

import unrolled

FOLDER = Path("runs")
LINES = [
    "for name in sorted(names):",
    "The names are sorted before they are used.",
    "if x is not None and x > 0: return x",
    "If x is given, it must be greater than zero.",
    "import json",
]


def write_lines(path: Path) -> None:
    """Write some thousand lines with their kinds, one JSON object each."""
    code = "\n".join(inspect.getsource(module) for module in (inspect, json, textwrap))
    prose = "\n".join(topics[name] for name in sorted(topics)[:60])
    rows = [
        {"text": line.strip(), "label": label}
        for label, text in (("code", code), ("prose", prose))
        for line in text.splitlines()
        if len(line.strip()) > 10
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def main(max_time: str = "40s") -> None:
    """Write the lines, train, and ask about new ones."""
    FOLDER.mkdir(exist_ok=True)
    data = FOLDER / "lines.jsonl"
    write_lines(data)
    kinds = unrolled.train(
        "classify",
        data,
        out=FOLDER / "lines",
        overwrite=True,
        hidden_size=32,
        ngrams=3,
        ngram_vectors=2**12,
        max_time=max_time,
    )
    for line, found in zip(LINES, kinds.predict(LINES), strict=True):
        print(f"{found['label']:6} {found['probability']:.2f}  {line}")
    print(f"Its report: {(FOLDER / 'lines' / 'report.html').resolve().as_uri()}")


if __name__ == "__main__":
    main()
