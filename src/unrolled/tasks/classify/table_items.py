"""Items of a table, once it is known what its columns are for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from unrolled.errors import UserError
from unrolled.tasks.tables import Broken, Table, number_in, refuse

from .columns import Columns
from .items import Item, label_of, numbers
from .options import DataOptions


def read_table(
    table: Table, columns: Columns, options: DataOptions, labels: bool, broken: Broken | None
) -> Iterator[Item]:
    """Items of a table, in constant memory.

    Args:
        table: The table.
        columns: Use of its columns.
        options: Separator of several labels.
        labels: Whether each item must have a label.
        broken: Called with one line about each item that is left out because it is broken; without
            it the first stops the reading.

    Raises:
        UserError: The table cannot be read, or an item is broken.
    """
    if columns.kind == "step":
        yield from _of_steps(table, columns, options, labels, broken)
        return
    named = [] if columns.label is None else [columns.label]
    if columns.kind == "row":
        rows = table.rows(None, broken)
        at = [table.columns.index(name) for name in (*named, *columns.values)]
    else:
        rows = table.rows([*named, *columns.values], broken)
        at = list(range(len(named) + 1))
    straight = at == list(range(len(at)))
    for row in rows:
        cells = row.cells if straight else [row.cells[place] for place in at]
        try:
            found = _labels(cells[0], row.place, columns.label, options, labels) if named else ()
            content = cells[len(named) :]
            if columns.kind == "text":
                yield Item(_text(content[0], row.place, columns), None, found, row.place)
            elif columns.kind == "list":
                yield Item(None, _list(content[0], row.place, columns), found, row.place)
            else:
                while content and (content[-1] is None or not str(content[-1]).strip()):
                    content.pop()  # a shorter series
                if not content:
                    raise UserError(f"{row.place}: the series is empty")
                values = numbers(content, row.place, columns.values)
                yield Item(None, values[:, None], found, row.place)
        except UserError as error:
            refuse(str(error), broken)


def _text(cell: Any, place: str, columns: Columns) -> str:
    if cell is None:
        return ""
    if not isinstance(cell, str):
        raise UserError(f"{place}: column {columns.values[0]}: expected a text, got {cell!r:.20}")
    try:
        cell.encode()
    except UnicodeEncodeError as error:  # JSON may hold halves of characters
        raise UserError(
            f"{place}: column {columns.values[0]}: not valid Unicode: half of a character pair"
        ) from error
    return cell


def _list(cell: Any, place: str, columns: Columns) -> Any:
    name = columns.values[0]
    if not isinstance(cell, list) or not cell:
        raise UserError(f"{place}: column {name}: expected a list of numbers, got {cell!r:.20}")
    where = f"{place}: column {name}"
    if not isinstance(cell[0], list):
        return numbers(cell, where)[:, None]
    width = len(cell[0])
    for step, values in enumerate(cell, 1):
        if not isinstance(values, list) or len(values) != width or not width:
            raise UserError(f"{where}: step {step}: expected {width} numbers as before")
    return np.stack([numbers(values, f"{where}: step {at}") for at, values in enumerate(cell, 1)])


def _labels(
    cell: Any, place: str, name: str | None, options: DataOptions, labels: bool
) -> tuple[str, ...]:
    where = f"{place}: column {name}"
    if isinstance(cell, list):
        return tuple(dict.fromkeys(label_of(one, where) for one in cell))
    if options.labels_separator and isinstance(cell, str):
        parts = (part.strip() for part in cell.split(options.labels_separator))
        return tuple(dict.fromkeys(part for part in parts if part))
    if not labels and (cell is None or not str(cell).strip()):
        return ()
    return (label_of(cell, where),)


def _of_steps(
    table: Table, columns: Columns, options: DataOptions, labels: bool, broken: Broken | None
) -> Iterator[Item]:
    """Series of a table in which each row is one step; the rows of a series stand together."""
    assert columns.series is not None
    named = [name for name in (columns.label, columns.time) if name is not None]
    seen: set[str] = set()
    current: str | None = None
    steps: list[Any] = []
    labels_of: tuple[str, ...] = ()
    place, before = "", -float("inf")
    wrong = ""

    def finished() -> Iterator[Item]:
        if wrong:
            refuse(wrong, broken)
        elif steps:
            yield Item(None, np.stack(steps), labels_of, place)

    for row in table.rows([columns.series, *named, *columns.values]):
        key = str(row.cells[0])
        if key != current:
            yield from finished()
            if key in seen:
                raise UserError(
                    f"{row.place}: series {key} begins a second time; its rows must stand together"
                )
            seen.add(key)
            current, steps, place, before, wrong = key, [], row.place, -float("inf"), ""
            labels_of = ()
        try:
            if columns.label is not None:
                found = _labels(row.cells[1], row.place, columns.label, options, labels)
                if steps and found != labels_of:
                    raise UserError(
                        f"{row.place}: column {columns.label}: expected {', '.join(labels_of)} as "
                        f"in the rest of series {key}, got {', '.join(found)}"
                    )
                labels_of = found
            if columns.time is not None:
                before = _later(row.cells[len(named)], before, row.place, columns.time)
            steps.append(numbers(row.cells[1 + len(named) :], row.place, columns.values))
        except UserError as error:
            wrong = wrong or str(error)
    yield from finished()


def _later(cell: Any, before: float, place: str, name: str) -> float:
    """A row's time, which must be later than the one before; times in words are taken as sorted."""
    time = number_in(cell)
    if time is None:
        return before
    if not time > before:
        raise UserError(
            f"{place}: column {name}: expected a time later than {before:g}, got {cell}"
        )
    return time
