"""The table of options in the docs is what their declarations say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

TOOL = Path(__file__).parents[2] / "tools" / "options_table.py"


def test_the_committed_table_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("options_table", TOOL)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    page = tool.PAGE.read_text(encoding="utf-8")
    assert tool.written(page) == page, "docs/options.md: run `make docs`"
    assert tool.written(page.replace("clamp(s", "clip(s")) == page
