"""Every option says of itself what layers, the command line and the docs show."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

import pytest

from unrolled import cells
from unrolled.compiler.trace import trace
from unrolled.layers import GRU, LSTM, RNN, Options, Recurrent
from unrolled.options import OPTIONS, Option, Variant, variant_of, vary
from unrolled.ranges import fits, hints
from unrolled.tasks.recurrent import RecurrentOptions

each = pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS)


@each
def test_it_is_documented(option: Option) -> None:
    assert option.doc.endswith(".")
    assert option.equation
    assert f"{option.name}: {option.doc}" in (Options.__doc__ or "")


@each
@pytest.mark.parametrize("kind", [LSTM, GRU, RNN, Recurrent])
def test_signatures_have_it(kind: Any, option: Option) -> None:
    parameter = inspect.signature(kind).parameters[option.name]
    assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
    assert parameter.default == option.default
    assert parameter.annotation == option.hint


@each
def test_its_flag_asks_for_nothing_by_default(option: Option) -> None:
    assert getattr(RecurrentOptions(), option.name) == option.flag_default
    assert fits(option.flag_default, hints(RecurrentOptions)[option.name])
    assert option.of_flag(option.flag_default) == option.default


@each
def test_the_default_changes_no_program(option: Option) -> None:
    for training in (True, False):
        variant = variant_of(cells.LSTM(), {option.name: option.default}, training)
        assert variant == Variant()
        assert vary(trace(cells.LSTM()), variant) == trace(cells.LSTM())


def test_options_are_printed_and_compared_as_listed() -> None:
    assert [field.name for field in fields(Options)] == list(OPTIONS)
    assert str(Options(zoneout=0.1, forget_bias=1.0)) == ", forget_bias=1.0, zoneout=0.1"
    assert Options() == Options()
    assert hash(Options(zoneout=(0.1, 0.2))) == hash(Options(zoneout=(0.1, 0.2)))
    with pytest.raises(TypeError, match="unexpected keyword argument 'zonout'"):
        Options(zonout=0.1)


def test_variants_are_compared_by_value() -> None:
    assert Variant(zoneout=("h",)) == Variant(zoneout=("h",), cell_clip=None, layer_norm=False)
    assert hash(Variant(cell_clip=1.0)) == hash(Variant(cell_clip=1.0))
    assert Variant(cell_clip=1.0) != Variant(cell_clip=2.0)
    assert Variant().zoneout is None
    assert "cell_clip=1.0" in repr(Variant(cell_clip=1.0))
