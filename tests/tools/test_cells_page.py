"""The page of cells is what the registry says today, and its figures are those of real layers."""

from __future__ import annotations

import importlib.util
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import unrolled
from unrolled.cells import BUILTIN, Cell, sigmoid
from unrolled.compiler.formulas import latex

TOOL = Path(__file__).parents[2] / "tools" / "cells_page.py"
CLASSES = list(dict.fromkeys(type(cell) for cell in BUILTIN))


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cells_page", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_page_is_up_to_date(tool: ModuleType) -> None:
    for path, text in tool.pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run `make docs`"


class Sparse(Cell):
    """Gates and products of different numbers, and weights of every kind."""

    def step(W: Any, U: Any, V: Any, s: Any, x: Any, h: Any) -> Any:  # noqa: N805
        return V.a * sigmoid(W.a(x) + W.b(x) + U.c(h)) + V.b * h + s.q


@pytest.mark.parametrize("cell", [*CLASSES, Sparse], ids=lambda cell: cell.__name__)
def test_parameters_are_those_of_a_layer(tool: ModuleType, cell: type[Cell]) -> None:
    formula, number = tool.parameters(cell())
    size = tool.SIZE
    layer = unrolled.Recurrent(cell, size, size)
    counted = sum(parameter.numel() for parameter in layer.parameters()) / size
    assert float(number.replace(",", "")) == pytest.approx(counted, rel=1e-5)
    products = re.sub(r"(\d) (?=\(|I|H)", r"\1 * ", formula)
    assert eval(products, {"I": size, "H": size}) == pytest.approx(counted)


def test_a_formula_of_unequal_parts(tool: ModuleType) -> None:
    assert tool.parameters(Sparse()) == ("2 (I + 1) + H + 1 + 2 + 1/H", "773.004")
    assert tool.multiply_adds(Sparse()) == ("2 I + H", "768")


def test_speeds_are_ratios_to_the_lstm_the_loop_and_torch(tool: ModuleType) -> None:
    speed = {
        "unrolled_ms": 4.0,
        "lstm_ms": 6.0,
        "eager_ms": 50.0,
        "torch_nn": "GRU",
        "torch_nn_ms": 10.0,
    }
    page = tool.Page({"cells": {"GRU": speed}})
    cells = {type(cell).__name__: cell for cell in page.cells}
    assert page.relative(cells["GRU"]) == "1.50"
    assert page.relative(cells["RNN"]) == "–"
    text = dict(page.facts(cells["GRU"]))["training"]
    assert "12.5 times as fast as the same equations" in text
    assert "2.5 times as fast as torch.nn.GRU (1,536 multiply-adds beside its 1,536)" in text


def test_every_class_has_its_paper_and_its_equations(tool: ModuleType) -> None:
    text = tool.markdown(tool.Page({}))
    for cell in CLASSES:
        assert f"\n## {cell.__name__}\n" in text
        assert re.search(r"\(.*\d{4}", tool.Page({}).text(cell())[0]), f"{cell}: no paper"
        assert latex(cell) in text


def test_the_web_page_is_well_formed(tool: ModuleType) -> None:
    html = tool.web(tool.Page({}))
    assert "<script" not in html
    body = html[html.index("<body>") : html.index("</html>")]
    root = ElementTree.fromstring(body)
    assert len(root.findall(".//{http://www.w3.org/1998/Math/MathML}math")) == len(CLASSES)
