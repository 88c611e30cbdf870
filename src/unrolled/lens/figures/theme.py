"""Light and dark, in colours that the colour-blind tell apart too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ThemeName = Literal["light", "dark"]

# Perceptually uniform, readable in grey and with any colour vision: viridis (in the public domain)
# at every sixteenth.
_VIRIDIS = (
    "#440154 #48186a #472d7b #424086 #3b528b #33638d #2c728e #26828e #21918c "
    "#1fa088 #28ae80 #3fbc73 #5ec962 #84d44b #addc30 #d8e219 #fde725"
)


@dataclass(frozen=True)
class Theme:
    """The colours of a figure.

    Attributes:
        page: behind everything.
        ink: texts and axes.
        soft: what stands back.
        rule: the grid.
        zero: exact zeros of a heat map.
        missing: what was not computed.
        lines: of lines, in this order (Okabe & Ito's).
        sequential: from small to large.
        signed: from minus to plus, the middle close to the page.
    """

    page: str
    ink: str
    soft: str
    rule: str
    zero: str
    missing: str
    lines: tuple[str, ...]
    signed: tuple[str, ...]
    sequential: tuple[str, ...] = tuple(_VIRIDIS.split())


THEMES: dict[str, Theme] = {
    "light": Theme(
        page="#ffffff",
        ink="#1f2328",
        soft="#5b626b",
        rule="#e4e2dd",
        zero="#efeeea",
        missing="#b4b4b4",
        lines=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1f2328"),
        signed=("#08457e", "#3b82c4", "#a8cbe8", "#f6f5f2", "#f3bd84", "#d9731a", "#7f3600"),
    ),
    "dark": Theme(
        page="#16181c",
        ink="#e6e4df",
        soft="#a3a9b3",
        rule="#33373e",
        zero="#3c4047",
        missing="#80858d",
        lines=("#56b4e9", "#f08a4b", "#2fbf94", "#e2a0c6", "#f0c04a", "#8fb7ff", "#e6e4df"),
        signed=("#9cd0ff", "#4a9be0", "#27517a", "#24272c", "#7a4a1c", "#de8a3a", "#ffcf94"),
    ),
}


def theme_named(name: str) -> Theme:
    """The theme of a name.

    Raises:
        ValueError: if there is none.
    """
    if name not in THEMES:
        raise ValueError(f"theme must be 'light' or 'dark', got {name!r}")
    return THEMES[name]
