"""Flags from dataclasses: each field of a dataclass of options is a parameter of a command.

A task declares an option once, with its type, range, default and documentation; from that come its
flag, its line on the help page and the check of its value.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from typing import Annotated, Any

from cyclopts import Group, Parameter

from unrolled.ranges import hints

RUN = Group("Run", sort_key=0)
"""Flags for the results of a command: where they go, and in which form."""

ARGUMENTS = Group("Arguments", sort_key=-2)
"""Words of a command that are no flags."""

OPTIONS = Group("Options", sort_key=-1)
"""Flags of a command that has few."""

CASES = Group("What to measure", sort_key=5)
"""Flags for the cases of an experiment."""

_SECTIONS = ("data", "model", "training")
"""Sections of options in the order of the help page; others follow."""

REQUIRED = inspect.Parameter.empty
"""Default of a parameter that has none."""

Call = Callable[..., int]


@dataclass(frozen=True)
class Section:
    """One section of a task's options.

    Attributes:
        name: Its name in the options.
        kind: Its dataclass.
        default: Its options where nothing is given.
    """

    name: str
    kind: type
    default: Any

    def flags(self) -> list[inspect.Parameter]:
        """A parameter for each of its options."""
        return flags(self.kind, group=group_of(self.name), default=self.default)

    def built(self, given: Mapping[str, Any]) -> Any:
        """Its dataclass from the values of those flags that were given.

        Raises:
            UserError: A value is outside its range.
        """
        return replace(self.default, **given_of(self.kind, given))


def sections(options: type) -> list[Section]:
    """The sections of a task's options: fields that are dataclasses themselves."""
    defaults = {field.name: _default(field) for field in fields(options)}
    return [
        Section(name, kind, kind() if defaults[name] is REQUIRED else defaults[name])
        for name, kind in hints(options).items()
        if isinstance(kind, type) and is_dataclass(kind)
    ]


def given_of(kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the given values that are fields of a dataclass."""
    return {field.name: given[field.name] for field in fields(kind) if field.name in given}


def group_of(section: str) -> Group:
    """The panel of a section on the help page."""
    place = _SECTIONS.index(section) if section in _SECTIONS else len(_SECTIONS)
    return Group(section.replace("_", " ").capitalize(), sort_key=1 + place)


def flags(kind: type, *, group: Group = OPTIONS, default: object = None) -> list[inspect.Parameter]:
    """A keyword parameter for each field of a dataclass, documented by its ``Attributes:``.

    Args:
        kind: The dataclass.
        group: Panel of the help page.
        default: An instance whose values are the defaults; None for the fields' own.
    """
    described, known = documented(kind), hints(kind)
    return [
        flag(
            field.name,
            known[field.name],
            described.get(field.name, ""),
            default=_default(field) if default is None else getattr(default, field.name),
            group=group,
        )
        for field in fields(kind)
    ]


def flag(
    name: str,
    hint: Any,
    text: str,
    *,
    default: object = REQUIRED,
    group: Group = OPTIONS,
    switch: bool = False,
) -> inspect.Parameter:
    """A keyword parameter: ``--name``.

    Args:
        name: Its name in Python.
        hint: Its annotation, with its range.
        text: Its line on the help page.
        default: Its value where it is not given.
        group: Panel of the help page.
        switch: Whether it can only be switched on, without a ``--no-name``.
    """
    shown = False if switch or default == () else None  # None: where there is a default
    how = Parameter(help=text, group=group, negative=() if switch else None, show_default=shown)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[hint, how]
    )


def words(
    label: str,
    text: str = "",
    *,
    group: Group = ARGUMENTS,
    hyphen: bool = False,
    show: bool = True,
) -> inspect.Parameter:
    """A parameter for the words that are no flags.

    Args:
        label: Their name on the help page.
        text: Their line there.
        group: Panel of the help page.
        hyphen: Whether a single hyphen may be one of them.
        show: Whether the help page has them.
    """
    how = Parameter(name=label, help=text, group=group, allow_leading_hyphen=hyphen, show=show)
    return inspect.Parameter(
        "words", inspect.Parameter.VAR_POSITIONAL, annotation=Annotated[str, how]
    )


def command(call: Call, parameters: Iterable[inspect.Parameter]) -> Call:
    """A function with a signature made from parameters, in the order that Python wants.

    Args:
        call: Takes ``*words`` and those keywords that were given; it returns the exit code.
        parameters: Its parameters.
    """

    def function(*positional: str, **keywords: object) -> int:
        return call(*positional, **keywords)

    function.__annotations__ = {}  # the signature has them
    signature = inspect.Signature(sorted(parameters, key=lambda one: one.kind))
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function


def documented(kind: type) -> dict[str, str]:
    """Documentation of a dataclass's fields: ``Attributes:`` of its docstring and its bases'."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        if one.__module__ != "builtins":
            found |= _attributes(inspect.cleandoc(one.__doc__ or ""))
    return found


def _attributes(docstring: str) -> dict[str, str]:
    """Entries of a docstring's ``Attributes:``, each as one line."""
    found: dict[str, list[str]] = {}
    name = None
    for line in _block(docstring.splitlines()):
        if entry := re.fullmatch(r" {4}(\w+)(?: \([^)]*\))?: *(.*)", line):
            name = entry[1]
            found[name] = [entry[2]]
        elif name is not None:
            found[name].append(line.strip())
    return {name: " ".join(part for part in parts if part) for name, parts in found.items()}


def _block(lines: Sequence[str]) -> list[str]:
    """The indented lines below ``Attributes:``."""
    if "Attributes:" not in lines:
        return []
    below = lines[lines.index("Attributes:") + 1 :]
    end = next((i for i, line in enumerate(below) if line and not line.startswith(" ")), len(below))
    return list(below[:end])


def _default(field: Field[Any]) -> Any:
    if field.default is not MISSING:
        return field.default
    return REQUIRED if field.default_factory is MISSING else field.default_factory()
