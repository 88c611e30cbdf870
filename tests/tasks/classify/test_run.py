"""A run from files to predictions, as the command line and Python make it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import unrolled
from unrolled.tasks import TASKS
from unrolled.tasks.classify.options import EvaluateOptions, PredictOptions

from .conftest import reviews


def test_a_run_from_files_to_predictions(tmp_path: Path) -> None:
    file, out = tmp_path / "reviews.tsv", tmp_path / "run"
    rows = reviews(150)
    file.write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
    found = unrolled.train(
        "classify",
        file,
        out=out,
        quiet=True,
        hidden_size=8,
        max_epochs=20,
        lr=0.02,
        dropout=0.0,
        threads=1,
        lens_every=50,
        device="cpu",
    )
    assert [one["label"] for one in found.predict(["so good", "so bad"])] == ["good", "bad"]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["metrics"]["f1"]["value"] > 0.9
    report = (out / "report.html").read_text()
    for title in ("How good it is", "Worst mistakes", "Which steps matter", "Calibration"):
        assert title in report or (title == "Worst mistakes" and "1.0000" in report)
    loaded = unrolled.load(out)
    verbs = TASKS["classify"].verbs
    predictions: Any = verbs["predict"].run(loaded, [str(file)], PredictOptions(probabilities=True))
    first = next(predictions)
    assert first["place"] == f"{file}:2"
    assert set(first["probabilities"]) == {"good", "bad"}
    evaluation: Any = verbs["evaluate"].run(loaded, [str(file)], EvaluateOptions())
    assert evaluation.metrics["f1"].value > 0.9


def test_the_help_page_loads_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, unrolled.tasks.classify.task\n"
        "print([name for name in ('torch', 'numpy', 'sklearn') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
