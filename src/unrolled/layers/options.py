"""What a layer can be made with beyond torch.nn's arguments, as one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, make_dataclass
from typing import Any

from ..options import OPTIONS, Option

_Fields: Any = make_dataclass(
    "_Fields",
    [(option.name, option.hint, option.default) for option in OPTIONS.values()],
    frozen=True,
)


@dataclass(frozen=True)
class Options(_Fields):  # type: ignore[misc]
    """Keyword-only arguments of every layer; none is on by default."""

    def given(self) -> list[tuple[Option, Any]]:
        """Those that are not the default, each with its value."""
        values = [(option, getattr(self, name)) for name, option in OPTIONS.items()]
        return [(option, value) for option, value in values if value != option.default]

    def __str__(self) -> str:
        """Those that are not the default, as in a layer's representation."""
        return "".join(f", {option.name}={value}" for option, value in self.given())


Options.__doc__ = f"{Options.__doc__}\n\n    Attributes:\n" + "".join(
    f"        {option.name}: {option.doc}\n" for option in OPTIONS.values()
)


def split_options(keywords: Mapping[str, Any]) -> tuple[Options, dict[str, Any]]:
    """The options among a constructor's keyword arguments, and the rest."""
    options = {name: _plain(value) for name, value in keywords.items() if name in OPTIONS}
    rest = {name: value for name, value in keywords.items() if name not in OPTIONS}
    return Options(**options), rest


def _plain(value: Any) -> Any:
    """A list as a tuple, so that options can be compared and looked up."""
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
