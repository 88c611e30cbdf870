"""Figures of the lens: described once, drawn by matplotlib or by Plotly."""

from .drawable import Drawable, figure, plot
from .dynamics import jacobians, lyapunov
from .gradients import contributions, influence
from .memory import half_life, saturation
from .picture import Axis, Colours, Heat, Line, Mark, Panel, Picture
from .states import trace
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
    "contributions",
    "figure",
    "half_life",
    "influence",
    "jacobians",
    "lyapunov",
    "plot",
    "saturation",
    "trace",
]
