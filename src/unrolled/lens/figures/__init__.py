"""Figures of the lens: described once, drawn by matplotlib or by Plotly."""

from . import results
from .drawable import Drawable, figure, plot
from .picture import Axis, Colours, Heat, Line, Mark, Panel, Picture
from .theme import THEMES, Theme, ThemeName

__all__ = [
    "THEMES",
    "Axis",
    "Colours",
    "Drawable",
    "Heat",
    "Line",
    "Mark",
    "Panel",
    "Picture",
    "Theme",
    "ThemeName",
    "figure",
    "plot",
    "results",
]
