"""Draw the figures of docs/vanishing.md and docs/lens.md, and write the numbers of the former.

Usage: python tools/lens_figures.py

A number in the page stands between two comments, ``<!--name-->0.94<!--/-->``; it is put there from
what was computed for the figures.
"""

from __future__ import annotations

import math
import re
import runpy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import unrolled
from unrolled.lens import contributions, decay_of_influence, half_life, influence, jacobians
from unrolled.lens.figures import Line, Mark, Panel, Picture, plot, scales
from unrolled.lens.figures.picture import STYLES, Array

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "vanishing.md"
MARK = re.compile(r"<!--([a-z0-9_.]+)-->(.*?)<!--/-->", re.DOTALL)

STEPS, FEATURES, UNITS = 100, 8, 64
FAR = 50  # "fifty steps back" in the text


@dataclass(frozen=True)
class Shown:
    """A figure and the numbers that the text takes from it."""

    picture: Picture
    numbers: Mapping[str, str]


def linear_and_tanh() -> Shown:
    """‖∂h_t/∂h_{t−L}‖₂ of an orthogonal U times a gain, without and with tanh."""
    lags = [1, *range(10, STEPS, 10)]
    gains = (0.9, 1.0, 1.1)
    panels, numbers = [], {}
    for nonlinearity, title in (("identity", "Without a nonlinearity"), ("tanh", "With tanh")):
        lines = []
        for place, gain in enumerate(gains):
            layer = fresh(unrolled.RNN, nonlinearity=nonlinearity, recurrent_init="orthogonal")
            with torch.no_grad():
                layer.get_parameter("weight_hh_l0").mul_(gain)
            found = jacobians(layer, inputs(), lags=lags, steps=[STEPS - 1])["l0"]
            curve = 10 ** found.largest.flatten()
            name = f"U = {gain} Q"
            lines.append(Line(name, numpy(torch.tensor(lags)), numpy(curve), place, STYLES[place]))
            key = f"{nonlinearity}.{str(gain).replace('.', '_')}"
            numbers[key] = number(curve[lags.index(FAR)])
        panels.append(
            by_lag(title, lines, f"‖∂h_{{t}}/∂h_{{t−L}}‖_{{2}} at t = {STEPS - 1}", include=(1.0,))
        )
    picture = Picture(
        "The same matrix, time after time",
        f"{UNITS} units, Q orthogonal: all its singular values are 1.",
        tuple(panels),
        columns=2,
    )
    return Shown(picture, numbers)


def matrix() -> Shown:
    """Influence in a plain network."""
    found = influence(fresh(unrolled.RNN), inputs(), balance)
    curve = found.by_lag()
    decay = decay_of_influence(curve)
    numbers = {
        "rnn.far": number(curve[FAR]),
        "rnn.rate": number(torch.tensor(math.exp(decay.fit.slope))),
        "rnn.half_life": number(torch.tensor(decay.half_life)),
        "rnn.r2": f"{decay.fit.r_squared:.3f}",
        "rnn.hundredth": f"{decay.hundredth}",
    }
    return Shown(found.picture(), numbers)


def cells() -> Shown:
    """How much of an input arrives later, in three cells as they are by default."""
    lines, numbers = [], {}
    kinds = {"rnn": unrolled.RNN, "gru": unrolled.GRU, "lstm": unrolled.LSTM}
    for place, (name, kind) in enumerate(kinds.items()):
        curve = influence(fresh(kind), inputs(), balance).by_lag(state="x")
        share = curve / curve[0]
        lines.append(line(name.upper(), share, place))
        numbers[f"input.{name}"] = number(share[20])
        numbers[f"input.{name}.hundredth"] = f"{decay_of_influence(curve).hundredth}"
    picture = Picture(
        "Gates alone do not remember",
        f"{UNITS} units, all initial values as torch has them: ±1/√{UNITS}.",
        (
            by_lag(
                "What is left of an input, by the lag",
                lines,
                "‖∂ℓ_{t}/∂x_{t−L}‖ (share of that at lag 0)",
            ),
        ),
    )
    return Shown(picture, numbers)


def terms() -> Shown:
    """What every step adds to the gradient of U."""
    found = contributions(fresh(unrolled.RNN), inputs(), balance)
    norms = found["l0"].norms.nan_to_num()
    lag = torch.arange(STEPS)[:, None] - torch.arange(STEPS)[None]
    total = norms.sum()
    last = norms[STEPS - 1]
    numbers = {
        "terms.count": f"{STEPS * (STEPS + 1) // 2:,}",
        "terms.near": number(100 * norms[(lag >= 0) & (lag < 10)].sum() / total),
        "terms.far": number(100 * norms[lag >= FAR].sum() / total),
        "terms.ratio": number(last[STEPS - 1 - FAR] / last[STEPS - 1]),
    }
    return Shown(found.picture(), numbers)


def forget_bias() -> Shown:
    """Influence on an LSTM's c for several biases of its forget gate."""
    lines: list[Line] = []
    numbers: dict[str, str] = {}
    for place, bias in enumerate((0, 1, 2, 4)):
        layer = fresh(unrolled.LSTM, forget_bias=float(bias))
        curve = influence(layer, inputs(), balance).by_lag(state="c")
        lines.append(line(f"bias {bias}", curve / curve[0], place))
        open_ = 1 / (1 + math.exp(-bias))
        numbers |= {
            f"bias{bias}.open": f"{open_:.3f}",
            f"bias{bias}.rule": number(torch.tensor(math.log(2) / -math.log(open_))),
            f"bias{bias}.half": lag(decay_of_influence(curve).half),
            f"bias{bias}.far": number(curve[FAR] / curve[0]),
        }
    picture = Picture(
        "The forget gate's bias is the memory",
        f"LSTM of {UNITS} units; all other initial values are the same.",
        (
            by_lag(
                "Influence on the cell state, by the lag",
                lines,
                "‖∂ℓ_{t}/∂c_{t−L}‖ (share of that at lag 0)",
            ),
        ),
    )
    return Shown(picture, numbers)


def clipping() -> Shown:
    """One weight that must be just below 1, by plain descent and by clipped descent."""
    steps, target, start, rate, bound = 50, 0.5, 1.08, 1e-3, 1.0
    x = torch.zeros(steps, 1, 1)
    x[0] = 1
    layer = unrolled.RNN(1, 1, nonlinearity="identity", bias=False)
    enter, u = layer.parameters()
    with torch.no_grad():
        enter.fill_(1.0)
        u.fill_(start)
    path, sizes = [], []
    for _ in range(140):
        loss = (layer(x)[0][-1, 0, 0] - target).square()
        (gradient,) = torch.autograd.grad(loss, [u])
        path.append(float(u.detach()))
        sizes.append(float(gradient.abs()))
        with torch.no_grad():
            u.sub_(rate * min(1.0, bound / sizes[-1]) * gradient)
    best = target ** (1 / (steps - 1))
    away = start - rate * sizes[0]  # where the first update goes without clipping
    norm, weight = (line(name, torch.tensor(y), 0) for name, y in (("", sizes), ("", path)))
    picture = Picture(
        "A gradient that explodes, clipped",
        f"h_{{t}} = u h_{{t−1}} over {steps} steps should end at {target}: u must be {best:.3f}.",
        (
            Panel(
                "Its norm, before clipping",
                scales.steps("update", norm.x),
                scales.logarithmic("|∂L/∂u|", norm.y),
                lines=(norm,),
                marks=(Mark("y", bound, f"θ = {bound:g}: what is above is clipped"),),
            ),
            Panel(
                "The weight",
                scales.steps("update", weight.x),
                scales.linear("u", weight.y, include=(1.0,)),
                lines=(weight,),
                marks=(Mark("y", best, f"{best:.3f}"),),
            ),
        ),
        columns=2,
    )
    numbers = {
        "clip.start": f"{start}",
        "clip.best": f"{best:.3f}",
        "clip.norm": number(torch.tensor(sizes[0])),
        "clip.away": number(torch.tensor(away)),
        "clip.arrived": f"{next(i for i, size in enumerate(sizes) if size < bound)}",
        "clip.rate": f"{rate:g}",
        "clip.gap": number(torch.tensor(start - best)),
    }
    return Shown(picture, numbers)


def debugged(*, hold: bool) -> Shown:
    """The half-life of examples/debug_model.py, before training."""
    example = runpy.run_path(str(DOCS.parent / "examples" / "debug_model.py"))
    torch.manual_seed(0)
    model = example["Recall"]()
    if hold:
        example["hold"](model.lstm, 60)
    letters = example["batch"](60, rows=4)
    found = half_life(model, letters, lambda scores: cross_entropy(scores[-1], letters[0]))
    return Shown(found.picture(), {})


FIGURES: dict[str, Callable[[], Shown]] = {
    "vanishing-linear": linear_and_tanh,
    "vanishing-matrix": matrix,
    "vanishing-cells": cells,
    "vanishing-terms": terms,
    "vanishing-forget-bias": forget_bias,
    "vanishing-clipping": clipping,
    "lens-before": lambda: debugged(hold=False),
    "lens-after": lambda: debugged(hold=True),
}


def arithmetic() -> dict[str, str]:
    """Numbers that need no network."""
    return {
        "power.below": number(torch.tensor(0.9**FAR)),
        "power.above": number(torch.tensor(1.1**FAR)),
        "power.sigmoid": number(torch.tensor(0.25**FAR)),
    }


def fresh(kind: Callable[..., nn.Module], **options: object) -> nn.Module:
    """A layer with the same initial values in every run."""
    torch.manual_seed(0)
    return kind(FEATURES, UNITS, **options).double()


def inputs() -> Tensor:
    """One sequence of independent normal numbers, the same in every run."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(STEPS, 1, FEATURES, generator=generator, dtype=torch.float64)


def balance(output: Tensor) -> Tensor:
    """ℓ_t = Σ h_t / √H, whose gradient at h_t has the norm 1 at every step."""
    return output.sum((1, 2)) / math.sqrt(output.shape[2])


def line(name: str, curve: Tensor, place: int) -> Line:
    """A curve over whole numbers."""
    return Line(name, numpy(torch.arange(len(curve))), numpy(curve), place, STYLES[place])


def by_lag(title: str, lines: list[Line], size: str, include: tuple[float, ...] = ()) -> Panel:
    """Lines over the lag."""
    return Panel(
        title,
        scales.steps("lag L (steps)", lines[0].x),
        scales.logarithmic(size, *(one.y for one in lines), include=include),
        lines=tuple(lines),
    )


def numpy(values: Tensor) -> Array:
    """A tensor's numbers."""
    found: Array = values.double().numpy()
    return found


def number(value: Tensor) -> str:
    """Two digits, as the page writes them."""
    text = scales.number(float(value), 2)
    return re.sub(r"\^\{(.*?)\}", r"<sup>\1</sup>", text)


def lag(found: int | None) -> str:
    """A lag, or that there is none."""
    return "none" if found is None else f"{found}"


def fill(text: str, numbers: Mapping[str, str]) -> str:
    """A page with its numbers put in.

    Raises:
        KeyError: if the page asks for a number that there is not.
    """
    return MARK.sub(lambda mark: f"<!--{mark[1]}-->{numbers[mark[1]]}<!--/-->", text)


def main() -> None:
    """Write the figures and the numbers."""
    torch.set_num_threads(1)  # quicker for matrices so small
    folder = DOCS / "figures"
    folder.mkdir(exist_ok=True)
    numbers = arithmetic()
    with mpl.rc_context({"svg.hashsalt": "unrolled"}):
        for name, make in FIGURES.items():
            shown = make()
            numbers |= shown.numbers
            path = folder / f"{name}.svg"
            plot(shown.picture).savefig(path, metadata={"Date": None})
            print(f"{path.relative_to(DOCS.parent)}: {dict(shown.numbers)}")
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), numbers), encoding="utf-8")


if __name__ == "__main__":
    main()
