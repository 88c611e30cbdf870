"""Ranges of numeric options, declared where the option is declared and checked in one place.

An option's annotation carries its range: ``hidden_size: Annotated[int, Range(1, 65536)]``. The same
check serves flags, TOML files and Python functions. A range ends where a number stops making sense,
so that a slip of the keyboard is told from a wish: the machine's memory may end earlier.
"""

from __future__ import annotations

import reprlib
import types
import typing
from dataclasses import dataclass, fields
from typing import Any, Literal


@dataclass(frozen=True)
class Range:
    """Numbers that an option takes.

    Attributes:
        least: Smallest number.
        most: Largest number.
        open_below: Whether ``least`` itself is excluded.
        open_above: Whether ``most`` itself is excluded.
        or_zero: Whether zero is taken besides.
    """

    least: float
    most: float
    open_below: bool = False
    open_above: bool = False
    or_zero: bool = False

    def __contains__(self, value: float) -> bool:
        if self.or_zero and value == 0:
            return True
        above = self.least < value if self.open_below else self.least <= value
        return above and (value < self.most if self.open_above else value <= self.most)

    def __str__(self) -> str:
        below = "above" if self.open_below else "from"
        above = "below " if self.open_above else ""
        return f"{below} {_number(self.least)} to {above}{_number(self.most)}"


class NamesCode:
    """Marks an option whose value may name code, as ``file.py:MyCell``.

    Such a value is taken as a flag or from Python, never from a file of options: files come from
    anywhere, and reading one must not execute anything.
    """


def names_code(hint: Any, value: object) -> bool:
    """Whether a value of an option names code."""
    marked = any(isinstance(one, NamesCode) for one in getattr(hint, "__metadata__", ()))
    return marked and isinstance(value, str) and ".py" in value


SIZE = Range(1, 65536)
"""Units, characters of a vector, streams: sizes of one dimension of a tensor."""

COUNT = Range(1, 10**12)
"""Updates, epochs: what is counted while time passes."""

COUNT_OR_NONE = Range(0, 10**12)
"""The same where 0 stands for never."""

SHARE = Range(0, 1, open_above=True)
"""A share that is not the whole."""

SEED = Range(0, 2**63 - 1)
"""Seeds of torch's generators."""

THREADS = Range(0, 256)
"""Threads for the CPU, 0 for as many as PyTorch chooses.

The kernels never share a call among more than 256. It is a fixed number, not one of this machine's
processors: the options of a run stay valid where the run is moved to.
"""


def fits(value: object, hint: Any) -> bool:
    """Whether a value has the type and the range of an annotation; a list stands for a tuple."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        kind, bounds = arguments[0], range_of(hint)
        if not fits(value, kind):
            return False
        return bounds is None or not isinstance(value, int | float) or value in bounds
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, choice) for choice in arguments)
    if origin is Literal:
        return isinstance(value, str) and value in arguments
    if origin is tuple:
        return isinstance(value, list | tuple) and all(fits(one, arguments[0]) for one in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is str:
        return isinstance(value, str) and "\0" not in value
    return isinstance(value, hint)


def expected(hint: Any) -> str:
    """An annotation in words, for errors: ``a whole number from 1 to 65536``."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        bounds = range_of(hint)
        if bounds is None:
            return expected(arguments[0])
        return f"{'0 or ' if bounds.or_zero else ''}{expected(arguments[0])} {bounds}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(expected(one) for one in arguments if one is not types.NoneType)
    if origin is Literal:
        return "one of " + ", ".join(arguments)
    if origin is tuple:
        return f"a list of {expected(arguments[0])}"
    return _NAMES[hint]


_NAMES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text without zero bytes",
}


def shown(value: object) -> str:
    """A value as an error shows it: short, whatever it is."""
    try:
        return f"{value:g}" if isinstance(value, float) else _SHORT.repr(value)
    except ValueError:  # Python writes no integer of more than 4300 digits
        return "a number of thousands of digits"


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxlong = 60


def read(text: str, hint: Any) -> object:
    """A word of the command line as its annotation has it, where that is one number.

    Returns:
        The number, or the text itself: where the annotation is no number's, and where the text is
        no number; `fits` then tells whether it will do.
    """
    kind = number_kind(hint)
    try:
        return text if kind is None else kind(text)
    except ValueError:
        return text


def is_choice(hint: Any) -> bool:
    """Whether an annotation lists the words that it takes, if any is given."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return is_choice(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return all(is_choice(one) for one in arguments if one is not types.NoneType)
    return origin is Literal


def number_kind(hint: Any) -> type[int] | type[float] | None:
    """``int`` or ``float`` where an annotation is one number's, if any is given."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return number_kind(arguments[0])
    if origin in (typing.Union, types.UnionType):
        kinds = {number_kind(one) for one in arguments if one is not types.NoneType}
        return kinds.pop() if len(kinds) == 1 else None
    return hint if hint in (int, float) else None


def flag(name: str) -> str:
    """The command line's spelling of an option: ``hidden_size`` is ``--hidden-size``."""
    return "--" + name.replace("_", "-")


def complaint(options: object) -> str | None:
    """The first value of a dataclass of options that does not fit its annotation, in one line."""
    for name, hint in hints(type(options)).items():
        if wrong := complaint_about(name, getattr(options, name), hint):
            return wrong
    return None


def complaint_about(name: str, value: object, hint: Any) -> str | None:
    """One line about a value that does not fit an annotation."""
    if fits(value, hint):
        return None
    return f"{flag(name)}: expected {expected(hint)}, got {shown(value)}"


def hints(kind: type) -> dict[str, Any]:
    """Annotations of a dataclass's fields, ranges included."""
    found = typing.get_type_hints(kind, include_extras=True)
    return {field.name: found[field.name] for field in fields(kind)}


def range_of(hint: Any) -> Range | None:
    """The range that an annotation carries."""
    return next((one for one in getattr(hint, "__metadata__", ()) if isinstance(one, Range)), None)


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"
