"""What a drawn figure says, read back from either library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.lens.figures import Picture, figure, plot


@dataclass(frozen=True)
class Drawn:
    """Texts with their markup, per panel; numbers as they are drawn."""

    title: str
    panels: list[str]
    axes: list[tuple[str, str]]
    ranges: list[tuple[tuple[float, float], tuple[float, float]]]
    heats: list[NDArray[np.float64]]
    limits: list[tuple[float, float]]
    bars: list[str]
    lines: list[tuple[str, NDArray[np.float64]]]


def by_matplotlib(picture: Picture) -> Drawn:
    found = plot(picture)
    found.canvas.draw()
    everything = found.subfigs[0].axes
    panels = [axes for axes in everything if axes.get_label() != "<colorbar>"]
    bars = [axes for axes in everything if axes.get_label() == "<colorbar>"]
    meshes = [axes.collections[0] for axes in panels if axes.collections]
    return Drawn(
        found.get_suptitle(),
        [axes.get_title(loc="left") for axes in panels],
        [(axes.get_xlabel(), axes.get_ylabel()) for axes in panels],
        [(axes.get_xlim(), axes.get_ylim()) for axes in panels],
        [np.ma.filled(np.ma.asarray(mesh.get_array(), dtype=float), np.nan) for mesh in meshes],
        [mesh.get_clim() for mesh in meshes],
        [axes.get_ylabel() for axes in bars],
        [
            (str(line.get_label()), np.asarray(line.get_ydata(), dtype=float))
            for axes in panels
            for line in axes.lines
            if not str(line.get_label()).startswith("_")
        ],
    )


def by_plotly(picture: Picture) -> Drawn:
    found: Any = figure(picture)
    across, down = list(found.select_xaxes()), list(found.select_yaxes())
    heats = [trace for trace in found.data if trace.type == "heatmap"]

    def reach(axis: Any) -> tuple[float, float]:
        low, high = axis.range
        return (10**low, 10**high) if axis.type == "log" else (low, high)

    return Drawn(
        found.layout.title.text,
        [note.text for note in found.layout.annotations],
        [(x.title.text, y.title.text) for x, y in zip(across, down, strict=True)],
        [(reach(x), reach(y)) for x, y in zip(across, down, strict=True)],
        [np.asarray(heat.z, dtype=float) for heat in heats],
        [(heat.zmin, heat.zmax) for heat in heats],
        [heat.colorbar.title.text for heat in heats],
        [(t.name, np.asarray(t.y, dtype=float)) for t in found.data if t.type == "scatter"],
    )
