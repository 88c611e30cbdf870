"""What docs/vanishing.md says is what its figures were drawn from; none is missing."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "lens_figures.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lens_figures", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["lens_figures"] = module  # dataclasses look for it there
    spec.loader.exec_module(module)
    return module


def value(text: str) -> float:
    text = re.sub(r"·10<sup>(.*?)</sup>", r"e\1", text).replace("−", "-").replace(",", "")
    return float(text.replace("none", "inf"))


def test_the_page_gives_the_numbers_of_its_figures(tool: ModuleType) -> None:
    """To the second digit: its last place may differ on another machine."""
    page = tool.PAGE.read_text(encoding="utf-8")
    lens = (tool.DOCS / "lens.md").read_text(encoding="utf-8")
    given = {match[1]: match[2] for match in tool.MARK.finditer(page)}
    found = tool.arithmetic()
    for name, make in tool.FIGURES.items():
        assert f"(figures/{name}.svg)" in page + lens
        assert (tool.DOCS / "figures" / f"{name}.svg").exists()
        found |= make().numbers
    assert given.keys() <= found.keys()
    assert {name: value(text) for name, text in given.items()} == {
        name: pytest.approx(value(found[name]), rel=0.11) for name in given
    }


def test_a_number_that_nobody_computes_is_an_error(tool: ModuleType) -> None:
    assert tool.fill("<!--a-->?<!--/--> b", {"a": "1"}) == "<!--a-->1<!--/--> b"
    with pytest.raises(KeyError, match="other"):
        tool.fill("<!--other-->1<!--/-->", {"a": "1"})
