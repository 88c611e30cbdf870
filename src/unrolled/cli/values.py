"""Values of flags: checked before any is used, and taken from a file where they are not given."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cyclopts import App, ArgumentCollection
from cyclopts.config import Dict

from unrolled.errors import UserError
from unrolled.ranges import (
    expected,
    fits,
    flag,
    hints,
    is_choice,
    names_code,
    number_kind,
    read,
    shown,
)
from unrolled.training.options import check_table, read_toml


def check_values(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Refuse words that are no value of their option, before any is used.

    Raises:
        UserError: A flag is unknown; a number is none, or outside its option's range; a zero byte
            is in a word.
    """
    for argument in arguments:
        hint = argument.field_info.annotation
        for token in argument.tokens:
            name = token.keyword or argument.name.removeprefix("--").upper()
            if "\0" in token.value:
                raise UserError(
                    f"{name}: expected text without zero bytes, got {shown(token.value)}"
                )
            if argument.parameter.allow_leading_hyphen and token.value[:1] == "-" != token.value:
                raise UserError(_unknown(token.value, arguments))
            value = read(token.value, hint)
            if (is_choice(hint) or number_kind(hint) is not None) and not fits(value, hint):
                raise UserError(f"{name}: expected {expected(hint)}, got {shown(value)}")


def _unknown(word: str, arguments: ArgumentCollection) -> str:
    """One line about a flag that the command does not have, with the nearest that it has."""
    flags = [name for argument in arguments for name in argument.names if name.startswith("--")]
    word = word.partition("=")[0]
    near = difflib.get_close_matches(word, flags, n=1)
    return f"unknown option {shown(word)}" + (f"; did you mean {near[0]}?" if near else "")


class ConfigFile:
    """Values from ``--config FILE`` for options that were not given as flags.

    The file has the sections of a run's ``options.toml``, so that file itself will do.

    Args:
        options: Dataclass of the task's options.
    """

    def __init__(self, options: type) -> None:
        self._options = options

    def __call__(self, app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        """Fill in what was not given.

        Raises:
            UserError: The file cannot be read, or holds an unknown key or a wrong value.
        """
        given = {a.field_info.name: a.tokens[-1].value for a in arguments if a.tokens}
        if "config" not in given:
            return
        name = given["config"]
        sections = check_table(self._options, read_toml(Path(name)), name)
        sections.pop("task", None)
        self._refuse_code(sections, given, name)
        if "words" in given:  # both ways to name the files count as the flag
            given["data"] = ""
        flat = {
            key.replace("_", "-"): list(value) if isinstance(value, tuple) else value
            for section in sections.values()
            for key, value in section.items()
            if key not in given
        }
        Dict(flat, source=name, use_commands_as_keys=False)(app, commands, arguments)

    def _refuse_code(
        self, sections: Mapping[str, Any], given: Mapping[str, str], file: str
    ) -> None:
        """Refuse an option that names code, if it is to be taken from the file.

        Raises:
            UserError: There is one.
        """
        for section, values in sections.items():
            known = hints(hints(self._options)[section])
            for key, value in values.items():
                if key not in given and names_code(known[key], value):
                    raise UserError(
                        f"{file}: [{section}] {key}: {shown(value)} names code, which is not taken "
                        f"from a file; give it as {flag(key)}"
                    )


def decoded(word: str) -> str:
    """A word of the command line that is UTF-8, whatever the locale says."""
    try:
        return os.fsencode(word).decode() if any("\udc80" <= c <= "\udcff" for c in word) else word
    except UnicodeError:
        return word
