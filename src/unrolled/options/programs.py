"""Programs with options: the transforms in the order in which they make sense."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..cells import Cell
from ..compiler.program import Program
from ..compiler.transforms import expose, project
from .keywords import OPTIONS
from .option import Place
from .variant import Variant


def variant_of(cell: Cell, values: Mapping[str, Any], training: bool, **more: Any) -> Variant:
    """The variant of a cell with options.

    Args:
        cell: the equations.
        values: options by name.
        training: whether dropout is part of it.
        **more: arguments of `Variant` that are no options.
    """
    settings = {
        name: OPTIONS[name].setting(value, cell, training) for name, value in values.items()
    }
    return Variant(**more, **settings)


def vary(program: Program, variant: Variant) -> Program:
    """The program of a cell with a variant's options, place by place, and as they are listed.

    Raises:
        ValueError: if the cell has not what an option needs.
    """
    for place in Place:
        if place is Place.PROJECTION and variant.projected:
            program = project(program)
        for option in OPTIONS.values():
            if option.place is place and getattr(variant, option.name) is not None:
                program = option.transform(program, variant)
    return expose(program, variant.returns) if variant.returns else program
