"""What every result of the lens can do: be drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from .picture import Picture
from .theme import ThemeName, theme_named

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.figure import Figure


class Drawable(ABC):
    """A result that has a picture.

    ``plot`` and ``figure`` take the same arguments as ``picture``.
    """

    @abstractmethod
    def picture(self, *args: Any, **kwargs: Any) -> Picture:
        """What the figure shows, described once for both libraries."""

    def plot(self, *args: Any, theme: ThemeName = "light", **kwargs: Any) -> Figure:
        """A figure of matplotlib's; ``.savefig("name.svg")`` writes it, a notebook shows it.

        Args:
            args: see ``picture``.
            theme: "light" or "dark".
            kwargs: see ``picture``.

        Raises:
            ImportError: if matplotlib is not installed.
            ValueError: if there is no such theme.
        """
        return plot(self.picture(*args, **kwargs), theme)

    def figure(self, *args: Any, theme: ThemeName = "light", **kwargs: Any) -> go.Figure:
        """A figure of Plotly's, to hover and zoom; ``.show()`` opens it in a browser.

        Args:
            args: see ``picture``.
            theme: "light" or "dark".
            kwargs: see ``picture``.

        Raises:
            ImportError: if Plotly is not installed.
            ValueError: if there is no such theme.
        """
        return figure(self.picture(*args, **kwargs), theme)


def plot(picture: Picture, theme: ThemeName = "light") -> Figure:
    """A picture drawn by matplotlib.

    Raises:
        ImportError: if matplotlib is not installed.
        ValueError: if there is no such theme.
    """
    colours = theme_named(theme)
    try:
        from .matplotlib import draw
    except ModuleNotFoundError as error:
        raise _missing("plot", "matplotlib", error) from None
    return draw(picture, colours)


def figure(picture: Picture, theme: ThemeName = "light") -> go.Figure:
    """A picture drawn by Plotly.

    Raises:
        ImportError: if Plotly is not installed.
        ValueError: if there is no such theme.
    """
    colours = theme_named(theme)
    try:
        from .plotly import draw
    except ModuleNotFoundError as error:
        raise _missing("figure", "plotly", error) from None
    return draw(picture, colours)


def _missing(verb: str, library: str, error: ModuleNotFoundError) -> ImportError:
    if (error.name or "").split(".")[0] != library:
        return error
    return ImportError(f"{verb} needs {library}: pip install 'unrolled[lens]'")
