"""An option is one file and one line: the one of CONTRIBUTING.md is in all that knows options.

In a process of its own, whose `unrolled.options` is a copy with that file and that line.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import unrolled

ROOT = Path(__file__).parents[2]
OPTIONS = Path(unrolled.__file__).parent / "options"

BEFORE = """
import sys
from importlib.machinery import PathFinder
from pathlib import Path

where = Path(sys.argv[1])

class Copy:
    # before all other finders: that of an editable install knows where each module lies
    def find_spec(name, path=None, target=None):
        if name == "unrolled.options":
            return PathFinder.find_spec(name, [str(where.parent)])
        if name.startswith("unrolled.options."):
            return PathFinder.find_spec(name, [str(where)])

sys.meta_path.insert(0, Copy)
"""

SCRIPT = """
import contextlib, inspect, io, json, pickle
import torch, unrolled
from unrolled.engine.names import parse
from unrolled.options import vary
from unrolled.compiler.trace import trace
from unrolled import cells, cli
from unrolled.layers import GRU, LSTM, RNN, Options, Recurrent
from unrolled.ranges import hints
from unrolled.tasks.recurrent import RecurrentOptions, build_recurrent
from unrolled.tasks.model_memory import weight_count

def error(call):
    try:
        call()
    except Exception as found:
        return f"{type(found).__name__}: {found}"

class Leaky(cells.Cell):
    def step(W, x, h):
        return 0.5 * h + W.a(x)

layer, plain, x = LSTM(3, 4, recurrent_scale=0.5), LSTM(3, 4), torch.randn(5, 2, 3)
plain.load_state_dict(layer.state_dict(), strict=False)
with torch.no_grad():
    plain.weight_hh_l0 *= 0.5
    plain.bias_hh_l0 *= 0.5
with unrolled.using("reference"):
    same = torch.allclose(layer(x)[0], plain(x)[0])
name = layer.program.name
cell, variant = parse(name)
page = io.StringIO()
with contextlib.redirect_stdout(page):
    cli.run(["train", "text", "--help"])
given = RecurrentOptions(cell="gru", hidden_size=6, recurrent_scale=2.0)
built = build_recurrent(given, 3)
print(json.dumps({
    "arguments": [
        "recurrent_scale" in inspect.signature(kind).parameters
        for kind in (LSTM, GRU, RNN, Recurrent, Options, unrolled.Classifier)
    ],
    "documented": "recurrent_scale: Factor of every recurrent product." in Options.__doc__,
    "repr": repr(layer),
    "same": same,
    "state_dict": list(layer.state_dict()),
    "name": name,
    "parsed": vary(trace(cell), variant).name == name,
    "copied": repr(pickle.loads(pickle.dumps(layer))) == repr(layer),
    "kind": error(lambda: GRU(3, 4, recurrent_scale="much")),
    "need": error(lambda: Recurrent(Leaky, 3, 4, recurrent_scale=2.0)),
    "unknown": error(lambda: Recurrent(Leaky, 3, 4, scale=2.0)),
    "page": page.getvalue(),
    "range": error(lambda: RecurrentOptions(recurrent_scale=1000.0)),
    "flag need": error(lambda: RecurrentOptions(cell="sru", recurrent_scale=2.0)),
    "built": repr(built),
    "counted": weight_count(given, 3) == sum(p.numel() for p in built.parameters()),
}))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    told = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## A new option")[1]
    file, line = re.findall(r"```python\n(.*?)```", told, re.DOTALL)[:2]
    options = tmp_path_factory.mktemp("copy") / "options"
    shutil.copytree(OPTIONS, options, ignore=shutil.ignore_patterns("__pycache__"))
    (options / "recurrent_scale.py").write_text(file, encoding="utf-8")
    listed = (options / "keywords.py").read_text(encoding="utf-8")
    first, last = "from .activation import", "    zoneout: Annotated"
    listed = listed.replace(first, f"from .recurrent_scale import RecurrentScale\n{first}")
    (options / "keywords.py").write_text(listed.replace(last, line + last), encoding="utf-8")
    command = [sys.executable, "-c", BEFORE + SCRIPT, str(options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_it_is_an_argument_of_every_layer(found: dict[str, Any]) -> None:
    assert all(found["arguments"])
    assert found["documented"]


def test_it_computes(found: dict[str, Any]) -> None:
    assert found["same"]
    assert found["counted"]


def test_it_has_a_name_everywhere(found: dict[str, Any]) -> None:
    assert found["repr"] == "LSTM(3, 4, recurrent_scale=0.5)"
    assert found["name"] == "lstm,recurrent_scale=0.5"
    assert found["parsed"]
    assert found["copied"]
    assert "unrolled_equations(lstm,recurrent_scale=0_5)" in found["state_dict"]


def test_a_bad_value_is_refused_in_one_line(found: dict[str, Any]) -> None:
    assert found["kind"] == "TypeError: GRU: recurrent_scale must be a number, got str"
    assert found["need"] == (
        "ValueError: Recurrent(Leaky): recurrent_scale needs a recurrent matrix U; there is none"
    )
    assert "recurrent_scale" in found["unknown"]


def test_it_is_a_flag_of_the_tasks(found: dict[str, Any]) -> None:
    assert "--recurrent-scale" in found["page"]
    assert "Factor of every" in found["page"]  # its help, which goes on in the next line
    assert found["range"] == (
        "UserError: --recurrent-scale: expected a number from -100 to 100, got 1000"
    )
    assert found["flag need"] == (
        "UserError: --recurrent-scale: --cell sru cannot take it: it has no recurrent matrix"
    )
    assert "recurrent_scale=2.0" in found["built"]
